# SPDX-License-Identifier: Apache-2.0
"""Stopping nvidia-persistenced while something is done to a function.

It has each of NVIDIA's cards of the host open, so that a driver can't be taken
from one, nor one reset. That it was stopped is on disk before it is: what a
crash leaves stopped, the next command that changes the host starts again.
"""

from __future__ import annotations

import contextlib
import os
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host import process
from nova_vfio_variant.host.observe import function_state, programs

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.act import actor as host_actor
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.tracker import store as tracker_store

SERVICE: ty.Final = "nvidia-persistenced"
_TOOL: ty.Final = "systemctl"
#: The boot of the host in which it was stopped, while it is.
_STOPPED: ty.Final = "persistenced_stopped"
#: Seconds: systemd itself kills what doesn't end in 90.
_DEADLINE: ty.Final = 120.0


def left_stopped(
    store: tracker_store.Store, tree: host_tree.HostTree
) -> tuple[str, ...]:
    """What a command stopped in this boot, and has not started again."""
    boot = tree.read_text(function_state.BOOT_ID)
    return (SERVICE,) if boot and store.meta(_STOPPED) == boot else ()


@contextlib.contextmanager
def paused(
    actor: host_actor.Actor, store: tracker_store.Store, *, asked: bool
) -> ty.Iterator[None]:
    """Have it stopped, if it runs; start it again whatever happens.

    :param asked: without it, only what a crash left stopped is started
    :raises HostStepFailed: it can't be stopped
    :raises HostStepHung: systemd doesn't answer
    """
    if asked and _run(actor.tree, "is-active", "--quiet") is None:
        store.set_meta(_STOPPED, actor.journal.boot)
        try:
            _expect(actor.tree, "stop")
        except BaseException:
            _start(actor, store)
            raise
        actor.observer.note(f"{SERVICE} is stopped")
    try:
        yield
    finally:
        if left_stopped(store, actor.tree):
            _start(actor, store)


def _start(actor: host_actor.Actor, store: tracker_store.Store) -> None:
    """Start it again, or tell that it isn't."""
    try:
        _expect(actor.tree, "start")
    except exception.HostError as error:
        actor.observer.failed(
            f"{SERVICE} was stopped, and is not started again:"
            f" {error.message}: {_TOOL} start {SERVICE}"
        )
        return
    store.set_meta(_STOPPED, "")
    actor.observer.note(f"{SERVICE} is started again")


def _expect(tree: host_tree.HostTree, verb: str) -> None:
    """Have systemd do something.

    :raises HostStepFailed: it doesn't
    :raises HostStepHung: it does not answer
    """
    said = _run(tree, verb)
    if said is not None:
        raise exception.HostStepFailed(
            f"{_TOOL} {verb} {SERVICE}: {said}",
            "run the command as root" if os.geteuid() else None,
        )


def _run(tree: host_tree.HostTree, *words: str) -> str | None:
    """Ask systemd.

    :returns: what it says against it; None where it says yes
    :raises HostStepFailed: it can't be asked
    """

    def work() -> str:
        done = programs.run(tree, _TOOL, *words, SERVICE)
        if done.returncode == 0:
            return ""
        return done.stdout.strip() or f"it ended with {done.returncode}"

    try:
        return " ".join(process.run(work, _DEADLINE).split()) or None
    except OSError as error:
        raise exception.HostStepFailed(
            f"{_TOOL} {words[0]} {SERVICE}: {error.strerror}",
            f"stop {SERVICE} by hand",
        ) from error
