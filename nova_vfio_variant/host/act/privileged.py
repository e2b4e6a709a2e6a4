# SPDX-License-Identifier: Apache-2.0
"""All that needs privileges: four functions that take and give plain data.

For root they run in the command itself. For others they run in a privsep
daemon as root with two capabilities, to see what other users' processes have
open. The files of sysfs and the locks in ``/run`` are root's own, so that
writing them takes none; and modprobe, being a program that root starts, has
its own. The daemon ends with the command, and with it the locks that it
holds; helpers that are stuck keep their copies. A command doesn't outlive its
daemon either: another would hold none of its locks.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import typing as ty

from oslo_privsep import capabilities, daemon, priv_context

from nova_vfio_variant import exception, lock_file, shown
from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import executor, guard, lock, sysfs_writer
from nova_vfio_variant.host.decide import plan, plausible
from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import device_files, processes
from nova_vfio_variant.host.tree import opening

_LOG = logging.getLogger(__name__)

#: The one host there is to change; nobody else's word is taken for it.
ROOT: ty.Final = "/"
#: Of whoever takes a lock, others are told no more than that.
_SHOWN = 1000
_ENDED = "the privileged process ended"

context = priv_context.PrivContext(
    "nova_vfio_variant",
    cfg_section="vfio_privsep",
    pypath=f"{__name__}.context",
    capabilities=[
        capabilities.CAP_SYS_PTRACE,
        capabilities.CAP_DAC_READ_SEARCH,
    ],
)


class _Held(ty.NamedTuple):
    """Locks that were taken together, and how they are given back."""

    keys: tuple[str, ...]
    descriptors: tuple[int, ...]
    free: ty.Callable[[], None]


#: What :func:`take_locks` took, the last one last.
_held: list[_Held] = []


@context.entrypoint
def take_locks(
    keys: list[str], timeout: float, holder: str
) -> tuple[str, str, str | None]:
    """Take some locks of this host, until they are given back or we end.

    :param keys: as :func:`~nova_vfio_variant.host.act.lock.hold` wants them
    :param timeout: seconds to wait for others
    :param holder: what others are told of whoever takes them
    :returns: ``ok``, or ``busy`` or ``failed`` with a message and a hint
    """
    stack = contextlib.ExitStack()
    try:
        # A text is a row of texts too.
        if not isinstance(keys, list | tuple) or not all(
            isinstance(key, str) for key in keys
        ):
            raise TypeError(f"{keys!r} is no list of keys")
        found = stack.enter_context(
            lock.hold(ROOT, keys, plan.seconds(timeout), _shown(holder))
        )
    except exception.LockTimeout as error:
        return "busy", error.message, error.hint
    except (exception.VfioVariantError, TypeError, ValueError) as error:
        return "failed", str(error), None
    except OSError as error:
        return "failed", f"the locks can't be taken: {error}", None
    _held.append(_Held(tuple(sorted(set(keys))), found, stack.close))
    return "ok", "", None


@context.entrypoint
def give_locks() -> None:
    """Give back the locks that were taken last, if any are held."""
    if _held:
        _held.pop().free()


@context.entrypoint
def do_step(step: dict[str, ty.Any]) -> tuple[str, int, str]:
    """Do one step on this host, in a helper process with its deadline.

    Only with the lock of the host and that of what it changes: which one that
    is, is seen here. And only if a look at the host right before the write
    has nothing against it, whatever the caller saw and decided.

    :param step: the fields of a :class:`~nova_vfio_variant.host.decide.plan.Step`
    :returns: ``ok`` and what is seen, ``os`` and an errno with its text,
        ``hung`` and the process that is left, or ``failed`` and why
    """
    try:
        if not isinstance(step, dict):
            raise TypeError(f"{step!r} is no step")
        wanted = plan.Step.of_data(step)
        plausible.check_step(wanted)
        _check_locked(wanted)
        keep = tuple(
            fd
            for held in _held
            for key, fd in zip(held.keys, held.descriptors, strict=True)
            if key != lock.HOST
        )
        writer = sysfs_writer.of_directory(ROOT)
        seen = process.run(
            lambda: _guarded(writer, wanted), wanted.deadline, keep
        )
    except OSError as error:
        return "os", error.errno or 0, error.strerror or str(error)
    except process.Hung as error:
        return "hung", error.pid or 0, error.message
    except exception.VfioVariantError as error:
        return "failed", 0, str(error)
    except (LookupError, TypeError, ValueError) as error:
        return "failed", 0, str(error)
    return "ok", 0, seen


def _guarded(writer: sysfs_writer.SysfsWriter, step: plan.Step) -> str:
    """Do a step, unless our own look at the host is against it.

    :raises HostStepFailed: it is
    """
    guard.check(writer.root, step)
    return executor.do(writer, step)


@context.entrypoint
def look_into_processes() -> tuple[
    list[tuple[int, str, str, str | None, str | None]], list[str]
]:
    """What all processes have open of what may be a function's.

    :returns: (process id, command, path, instance, place in sysfs) of each;
        and those that could not be looked into, with the reason
    """
    found = processes.look(opening.open_tree(ROOT))
    return [
        (
            file.holder.pid,
            file.holder.command,
            file.holder.path,
            file.holder.instance_uuid,
            file.place,
        )
        for file in found.files
    ], list(found.unreadable)


def _shown(text: str) -> str:
    """A line that may stand before anybody.

    :raises TypeError: it is no text
    """
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    return shown.line(text[:_SHOWN])


def _check_locked(step: plan.Step) -> None:
    """See that the locks of the host and of what a step changes are held.

    :raises HostStepFailed: it isn't
    :raises ValueError: the step's subject makes no sense
    """
    if step.action is plan.Action.LOAD_MODULE:
        serve = {lock.of_module(step.subject)}
    else:
        tree = opening.open_tree(ROOT)
        serve = lock.that_serve(tree, step.subject)
    held = {key for held in _held for key in held.keys}
    for wanted in ({lock.HOST}, serve):
        if not wanted & held:
            raise exception.HostStepFailed(
                f"{step}: the lock {' or '.join(sorted(wanted))} isn't held"
            )


class _EndedError(exception.HostError):
    """The daemon that was started is gone, and its locks with it."""


def _ask(entry: ty.Callable[..., ty.Any], *args: object) -> ty.Any:
    """Call the daemon that was started, and no other.

    oslo.privsep would start another in place of one that ended.

    :raises _EndedError: it ended, maybe in the middle of what is asked
    """
    channel = context.channel
    if context.client_mode and channel is not None and not channel.running:
        raise _EndedError(_ENDED)
    try:
        return entry(*args)
    except OSError as error:
        raise _EndedError(_ENDED) from error


@contextlib.contextmanager
def _calling(meanwhile: process.Meanwhile) -> ty.Iterator[None]:
    """Call something now and then, in a thread: the daemon doesn't."""
    over = threading.Event()

    def call() -> None:
        while not over.wait(process.INTERVAL):
            with contextlib.suppress(OSError):
                meanwhile()

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    try:
        yield
    finally:
        over.set()
        caller.join()


def start() -> None:
    """Start the privsep daemon, before anything is done with it.

    :raises HostError: we are not allowed to
    """
    try:
        context.start()
    except (daemon.FailedToDropPrivileges, OSError) as error:
        raise exception.HostError(
            f"the host can't be changed without root's privileges: {error}",
            "run as root, or let sudo start privsep-helper for this user",
        ) from error
    _LOG.info("privsep: the privileged process is there")


class PrivilegedExecutor(executor.Executor):
    """Has the daemon do it that :func:`start` started."""

    @contextlib.contextmanager
    def hold(
        self, keys: ty.Iterable[str], timeout: float
    ) -> ty.Iterator[tuple[int, ...]]:
        """See :meth:`.executor.Executor.hold`.

        :returns: nothing: who does the steps has the descriptors
        :raises LockTimeout: another process has one; the message says which
        :raises HostError: they can't be taken
        """
        wanted, us = sorted(keys), lock_file.ourselves()
        kind, message, hint = _ask(take_locks, wanted, 0, us)
        if kind == "busy" and timeout > 0:
            # What the daemon logs is lost: it is not in our name.
            _LOG.info("waiting for the locks %s", ", ".join(wanted))
            kind, message, hint = _ask(take_locks, wanted, timeout, us)
        if kind == "busy":
            raise exception.LockTimeout(message, hint)
        if kind != "ok":
            raise exception.HostError(message)
        try:
            yield ()
        finally:
            # A daemon that ended gave them back.
            with contextlib.suppress(_EndedError):
                _ask(give_locks)

    def perform(
        self,
        step: plan.Step,
        keep: tuple[int, ...],
        meanwhile: process.Meanwhile,
    ) -> str:
        """See :meth:`.executor.Executor.perform`.

        :param keep: empty; see :meth:`hold`
        """
        try:
            with _calling(meanwhile):
                kind, number, text = _ask(do_step, step.as_data())
        except _EndedError as error:
            # Its helper may be writing all the same.
            raise process.Hung(error.message, None) from error
        if kind == "os":
            raise OSError(number, text)
        if kind == "hung":
            raise process.Hung(text, number)
        if kind == "failed":
            raise exception.HostStepFailed(text)
        return str(text)

    def open_files(self) -> device_files.OpenFiles:
        """See :meth:`.executor.Executor.open_files`.

        :raises HostError: who could look is gone
        """
        files, unreadable = _ask(look_into_processes)
        return device_files.OpenFiles(
            tuple(
                device_files.OpenFile(use.Holder(*holder), place)
                for *holder, place in files
            ),
            tuple(unreadable),
        )
