# SPDX-License-Identifier: Apache-2.0
"""Kill -9 between any two lines of reconcile; then reconcile again.

A process of its own runs the command, and ends without a word at the n-th
line of what acts, for each line that it comes to. Whatever it leaves, the next
run ends it: nothing of the gone instance is left in the store, on the host or
in Placement, and nobody else's type is touched. What is killed within a write
to the host is tried at each write, before it and after.
"""

import os
import sys
import traceback
import types
import typing as ty

from nova_vfio_variant.host.act import actor
from nova_vfio_variant.node import claims, reconcile, vgpu_acting, vgpu_claims
from nova_vfio_variant.tracker import store
from tests.functional import vgpu_case
from tests.functional.cli_case import ONE, TWO
from tests.functional.vgpu_case import OTHER, VF

#: What acts: between their lines all that is kept changes.
_ACTING = frozenset(
    str(module.__file__)
    for module in (reconcile, claims, vgpu_acting, vgpu_claims, actor, store)
)
_KILLED = 9


class _Lines:
    """Sees each line of what acts that is come to for the first time."""

    def __init__(self, last: int | None = None) -> None:
        self.seen: set[tuple[str, int]] = set()
        self._last = last

    def trace(self, frame: types.FrameType, event: str, _: object) -> ty.Any:
        name = frame.f_code.co_filename
        if name not in _ACTING:
            return None
        if event == "line":
            self.seen.add((name, frame.f_lineno))
            if len(self.seen) == self._last:
                os._exit(_KILLED)
        return self.trace


class ReconcileCrashCase(vgpu_case.VgpuCase):
    #: Whose type goes, and whose stays.
    vf, other = VF, OTHER
    #: What stands there in the end.
    wanted = "0"

    def setUp(self) -> None:
        super().setUp()
        self.give_theirs()
        self.guest(TWO)
        self.theirs = self.ours()
        self.claimed = self.json("claim", "list")

    def give_theirs(self) -> None:
        """Give another instance, which lives, a vGPU."""
        self.give(OTHER, TWO, assignment="theirs")

    def killed_at(self, line: int) -> bool:
        """Run reconcile in a process that ends at a line.

        :returns: whether it came to that line
        """
        pid = os.fork()
        if not pid:
            try:
                lines = _Lines(line)
                sys.settrace(lines.trace)
                self.run_cli("reconcile")
            except BaseException:  # noqa: BLE001 - it is another process
                traceback.print_exc()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status) == _KILLED

    def assert_mended(self, what: str) -> None:
        """The next run leaves nothing of the gone instance."""
        done = self.run_cli("reconcile")
        self.assertEqual(0, done.status, f"{what}: {done}")
        self.assertEqual("nothing to do\n", self.ok("reconcile").err, what)
        self.assertEqual(
            (self.wanted, "557"),
            (self.type_of(self.vf), self.type_of(self.other)),
            what,
        )
        self.assertEqual(self.theirs, self.ours(), what)
        self.assertEqual(self.claimed, self.json("claim", "list"), what)
        self.assertEqual([], self.json("host", "recover"), what)

    def kill_at_each(
        self, prepare: ty.Callable[[], object], every: int
    ) -> None:
        """Kill it at its lines: the first, and each n-th after that."""
        line = 1
        while True:
            prepare()
            if not self.killed_at(line):
                break
            self.assert_mended(f"line {line}")
            line += every
        self.assertGreater(line, 100)
        self.assert_mended("not killed")


class FreeCrashTest(ReconcileCrashCase):
    def test_what_is_left_of_an_instance(self) -> None:
        self.kill_at_each(self.give, 7)

    def test_what_is_killed_within_a_write(self) -> None:
        for after in (False, True):
            for who in ("writer", "both"):
                self.give()
                pid = os.fork()
                if not pid:
                    self.fake.fault(1, crash=who, after=after)
                    self.run_cli("reconcile")
                    os._exit(0)
                os.waitpid(pid, 0)
                self.assert_mended(f"{who}, {after=}")


class ClaimCrashTest(ReconcileCrashCase):
    def claim(self, instance: str = ONE) -> str:
        words = ("claim", "create", "--vgpu-type", "NVIDIA A16-4Q")
        (claim,) = self.json(*words, "--instance", instance)
        (address,) = claim["addresses"]
        return str(address)

    def give_theirs(self) -> None:
        self.other = self.claim(TWO)
        self.age()

    def claim_again(self) -> None:
        self.vf = self.claim()
        self.assertNotEqual(self.other, self.vf)
        self.age_mine()

    def age_mine(self) -> None:
        self.age()
        self.theirs = [
            vgpu for vgpu in self.ours() if vgpu.instance_uuid == TWO
        ]

    def test_what_an_instance_has_claimed(self) -> None:
        self.kill_at_each(self.claim_again, 11)

    def assert_mended(self, what: str) -> None:
        super().assert_mended(what)
        self.assertEqual({}, self.allocations(ONE), what)


class DeclaredCrashTest(ReconcileCrashCase):
    """What is declared is set by the next run."""

    wanted = "557"

    def setUp(self) -> None:
        super().setUp()
        self.ok("vgpu", "set", VF, "NVIDIA A16-4Q")
        self.theirs = self.ours()

    def test_what_is_declared(self) -> None:
        self.kill_at_each(lambda: self.set_type("0"), 23)
