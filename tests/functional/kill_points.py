# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at every point of a command, one after the other.

A command is killed before and after each transaction of the store, each write
to Placement, each line of the journal and each write to the (fake) kernel:
between two of these it only reads.
"""

import contextlib
import functools
import pathlib
import typing as ty
from unittest import mock

from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import executor, journal
from nova_vfio_variant.placement import rest
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import store
from tests.functional import children, kept_files

#: What is said of a command that came to its end.
NOT_KILLED: ty.Final = "not killed"


class Killed(BaseException):
    """The process that this stands for is dead; nothing of it runs on."""


def perform(
    by: executor.LocalExecutor,
    step: ty.Any,
    _keep: tuple[int, ...],
    _meanwhile: process.Meanwhile,
) -> str:
    """Do what a process of its own would, in this one."""
    return executor.do(by._writer, step)


class Points:
    """Counts what a command writes, and kills it at one of these.

    :param at: the number of the point, from 0
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self.struck = False

    def point(self) -> None:
        """Another one; a dead process comes to no further."""
        if self.struck:
            return
        if self._left == 0:
            self.struck = True
            raise Killed
        self._left -= 1

    def around(self, real: ty.Callable[..., ty.Any]) -> ty.Any:
        """Points before and after a call."""

        @functools.wraps(real)
        def call(*args: ty.Any, **more: ty.Any) -> ty.Any:
            self.point()
            answer = real(*args, **more)
            self.point()
            return answer

        return call

    def request(self, real: ty.Callable[..., ty.Any]) -> ty.Any:
        """Points around a request that writes."""
        counted = self.around(real)

        @functools.wraps(real)
        def send(client: ty.Any, method: str, *args: ty.Any) -> ty.Any:
            call = real if method == "GET" else counted
            return call(client, method, *args)

        return send

    def transaction(self, real: ty.Callable[..., ty.Any]) -> ty.Any:
        """Points before a transaction and after its end."""

        @contextlib.contextmanager
        def write(opened: store.Store) -> ty.Iterator[ty.Any]:
            self.point()
            with real(opened) as link:
                yield link
            self.point()

        return write

    @contextlib.contextmanager
    def watched(self) -> ty.Iterator[None]:
        """See all that is written in this process."""
        with contextlib.ExitStack() as stack:
            for where, name, how in (
                (store.Store, "_write", self.transaction),
                (rest.Rest, "_send", self.request),
                (journal.Journal, "begin", self.around),
                (journal.Journal, "step", self.around),
                (journal.Journal, "end", self.around),
                (fake_host.FakeHost, "write", self.around),
            ):
                real = getattr(where, name)
                stack.enter_context(mock.patch.object(where, name, how(real)))
            stack.enter_context(
                mock.patch.object(executor.LocalExecutor, "perform", perform)
            )
            yield


class _Left(Points):
    """Kills nothing, and keeps what each point would leave.

    :param folder: where all stands
    """

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(-1)
        self._folder = str(folder)
        self.all: list[kept_files.Contents] = []

    def point(self) -> None:
        """See what is left here."""
        self.all.append(kept_files.contents(self._folder))


def _distinct(
    command: ty.Callable[[], object], folder: pathlib.Path
) -> list[bool]:
    """Of each point, whether it leaves other files than the one before."""
    seen = _Left(folder)
    with seen.watched():
        command()
    return [
        not at or left != seen.all[at - 1] for at, left in enumerate(seen.all)
    ]


def kill_everywhere(
    command: ty.Callable[[], object],
    look: ty.Callable[[str], object],
    folder: pathlib.Path,
) -> int:
    """Kill a command at each point, in processes that begin alike.

    Of a killed process its files are left, and nothing else: of points that
    leave the same files one is tried.

    :param look: sees to what is left; is told at which point
    :param folder: where all stands, which is in the end as it was
    :returns: how many points there are
    """
    kept = kept_files.contents(str(folder))
    distinct: list[bool] = children.Child(_distinct, command, folder).result()

    def kill(at: int) -> bool:
        is_killed = killed(at, command)
        look(f"point {at}" if is_killed else NOT_KILLED)
        return is_killed

    for at, is_other in enumerate([*distinct, True]):
        kept_files.make(str(folder), kept)
        if is_other:
            is_killed = children.Child(kill, at).result()
            assert is_killed == (at < len(distinct)), "it has other points"
    kept_files.make(str(folder), kept)
    return len(distinct)


def killed(at: int, command: ty.Callable[[], object]) -> bool:
    """Kill a command at a point; False once it has no more.

    :param at: the number of the point, from 0
    """
    points = Points(at)
    with points.watched():
        try:
            command()
        except Killed:
            return True
    assert not points.struck, "somebody caught it"
    return False
