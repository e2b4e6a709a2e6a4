# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at every point of a claim with a vGPU type, and of its end.

A command is killed before and after each transaction of the store, each write
to Placement, each line of the journal and each write to the (fake) kernel.
Whatever was killed, nobody's type is lost, what is ours is known as ours, the
same command again ends what was begun, and nothing is left once the claim is
gone.
"""

import contextlib
import functools
import typing as ty
from unittest import mock

from nova_vfio_variant import exception
from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import executor, journal
from nova_vfio_variant.node import node
from nova_vfio_variant.placement import rest
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import store
from tests.functional import claimed_vgpus

ONE, VFS = claimed_vgpus.ONE, claimed_vgpus.VFS
#: Another tool's, on the last VF.
THEIRS: ty.Final = "560"


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


class CrashTest(claimed_vgpus.OnDemand):
    def setUp(self) -> None:
        super().setUp()
        self.fake.writer().set_vgpu_type(VFS[3], THEIRS)
        self.node = node.Node(["nova.conf"], None, "host", "state")
        self.create()
        self.delete()

    def create(self) -> None:
        """Claim one."""
        self.node.claims.claim(ONE, "q8:1")

    def delete(self) -> None:
        """End it."""
        self.node.claims.release(ONE)

    def killed(self, at: int, command: ty.Callable[[], None]) -> bool:
        """Kill a command at a point; False once it has no more."""
        points = Points(at)
        with points.watched():
            try:
                command()
            except Killed:
                return True
        self.assertFalse(points.struck, "somebody caught it")
        return False

    def assert_nothing_astray(self, at: int) -> None:
        """Each type is another's, or on record with whom it is for."""
        rows = {str(row.address): row for row in self.rows()}
        for vf, kind in zip(VFS, self.types(), strict=True):
            if vf == VFS[3]:
                self.assertEqual(THEIRS, kind, f"point {at}")
            elif kind != "0":
                self.assertIn(vf, rows, f"point {at}")
                self.assertEqual(
                    ("558", ONE), (rows[vf].type_id, rows[vf].instance_uuid)
                )

    def assert_clean(self, at: int) -> None:
        """Nothing of the claim is left."""
        self.assertEqual(["0", "0", "0", THEIRS], self.types(), f"point {at}")
        self.assertEqual((), self.rows(), f"point {at}")
        self.assertEqual((), self.node.devices.claims(), f"point {at}")
        self.assertEqual({}, self.allocations(ONE), f"point {at}")

    def test_a_claim_killed_anywhere_is_ended_by_the_same_or_a_report(
        self,
    ) -> None:
        at = 0
        while self.killed(at, self.create):
            self.assert_nothing_astray(at)
            if at % 2 and self.node.devices.claims():
                self.node.reporting.report()
            else:
                with contextlib.suppress(exception.ClaimError):
                    # It has all already.
                    self.create()
            (claim,) = self.node.devices.claims()
            self.assertEqual(tracked.Status.ALLOCATED, claim.status)
            (row,) = self.rows()
            self.assertEqual(claim.addresses, (row.address,))
            self.assertEqual("558", self.type_of(str(row.address)))
            self.assertEqual(1, len(self.allocations(ONE)), f"point {at}")
            self.delete()
            self.assert_clean(at)
            at += 1
        self.assertGreater(at, 15)

    def test_a_claim_killed_anywhere_can_be_taken_back(self) -> None:
        at = 0
        while self.killed(at, self.create):
            if self.node.devices.claims():
                self.delete()
            self.assert_clean(at)
            at += 1
        self.assertGreater(at, 15)

    def test_an_end_killed_anywhere_is_ended_by_the_same_command(
        self,
    ) -> None:
        at = 0
        self.create()
        while self.killed(at, self.delete):
            self.assert_nothing_astray(at)
            if self.node.devices.claims():
                self.delete()
            self.assert_clean(at)
            self.create()
            at += 1
        self.assert_clean(at)
        self.assertGreater(at, 8)
