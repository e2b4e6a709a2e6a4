# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at every point of a command, one after the other.

A command is killed before and after each transaction of the store, each write
to Placement, each line of the journal and each write to the (fake) kernel:
between two of these it only reads.
"""

import contextlib
import functools
import typing as ty
from unittest import mock

from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import executor, journal
from nova_vfio_variant.placement import rest
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import store


class Killed(BaseException):
    """The process that this stands for is dead; nothing of it runs on."""


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

        def perform(
            by: executor.LocalExecutor,
            step: ty.Any,
            _keep: tuple[int, ...],
            _meanwhile: process.Meanwhile,
        ) -> str:
            return executor.do(by._writer, step)

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
