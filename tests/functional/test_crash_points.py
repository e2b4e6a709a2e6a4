# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at every point of apply, restore and recover; then recover.

A command runs in a process of its own that is killed right before one of its
system calls that changes anything, or its helper is, or both are. Each such
point of each plan is tried, in turn. What is between two of these calls only
reads, so that there are no other points to tell apart. The write to the
(fake) kernel is one point: a kernel ends what it has begun.

Whatever was killed, after a recovery in a fresh process every function is as
it was before or as it is declared, the journal knows which, a second
recovery finds nothing to do, and the way back leads to what was there before
in every file.
"""

import collections
import fcntl
import functools
import mmap
import os
import pathlib
import shutil
import signal
import struct
import traceback
import typing as ty

import fixtures

from nova_vfio_variant import source
from nova_vfio_variant.host import (
    act,
    apply,
    hands,
    host_spec,
    journal,
    observe,
    plan,
    recover,
    restore,
)
from nova_vfio_variant.testing import fake_host
from tests import base, sample_hosts

#: Modules and names of what is counted: all that changes a file, a lock or
#: a process.
_CALLS = (
    (os, "open"),
    (os, "write"),
    (os, "pwrite"),
    (os, "fsync"),
    (os, "ftruncate"),
    (os, "replace"),
    (os, "mkdir"),
    (os, "pipe"),
    (os, "fork"),
    (os, "waitpid"),
    (os, "setsid"),
    (os, "_exit"),
    (fcntl, "flock"),
)

PF = "0000:21:00.0"
VF = "0000:21:10.0"
NIC = "0000:31:01.0"
OTHER = "0000:31:02.0"

FOUR = '{"address": "0000:21:00.0", "num_vfs": 4}'
TWO = '{"address": "0000:21:00.0", "num_vfs": 2}'
NONE = '{"address": "0000:21:00.0", "num_vfs": 0}'
VFIO = '{"vendor_id": "8086", "product_id": "10ca", "driver": "vfio-pci"}'
VARIANT = VFIO.replace("vfio-pci", "variant")
FIRST = '{"address": "0000:21:10.0", "driver": "vfio-pci"}'
PAIR = (
    '{"address": "0000:31:01.0", "driver": "vfio-pci",'
    ' "companions": ["0000:31:02.0"]}'
)
BOTH = '{"address": "0000:31:*.0", "driver": "vfio-pci"}'
BACK = '{"address": "0000:31:01.0", "driver": "host"}'
AWAY = PAIR.replace("vfio-pci", "igbvf_vfio_pci")
THE_PF = '{"address": "0000:21:00.0", "driver": "vfio-pci", "allow_pf": true}'

Start = ty.Callable[[fake_host.FakeHost], None]


def bound(host: fake_host.FakeHost, name: str, driver: str) -> None:
    """Put a function on a driver."""
    host.hands().set_override(name, driver)
    host.hands().unbind(name)
    host.hands().probe(name)


def plain(host: fake_host.FakeHost) -> None:
    """As the kernel leaves it."""


def two_vfs(host: fake_host.FakeHost) -> None:
    """Two VFs, one of them on vfio-pci already."""
    host.hands().set_numvfs(PF, 2)
    bound(host, VF, "vfio-pci")


def no_autoprobe(host: fake_host.FakeHost) -> None:
    """New VFs get no driver."""
    host.hands().set_autoprobe(PF, False)


def odd_override(host: fake_host.FakeHost) -> None:
    """Bound by one override, and left with another."""
    bound(host, NIC, "igbvf")
    host.hands().set_override(NIC, "nobody")
    host.hands().unbind(OTHER)


def on_vfio(host: fake_host.FakeHost) -> None:
    """Somebody bound it."""
    bound(host, NIC, "vfio-pci")


#: Each plan: how the host is before, and what is declared.
PLANS: dict[str, tuple[Start, tuple[str, ...]]] = {
    "vfs": (plain, (TWO,)),
    "vfs_on_vfio_pci": (plain, (TWO, VFIO)),
    "vfs_on_a_variant_driver": (plain, (TWO, VARIANT)),
    "one_vf_of_two": (plain, (TWO, FIRST)),
    "more_vfs": (two_vfs, (FOUR,)),
    "no_vfs": (two_vfs, (NONE,)),
    "vfs_without_autoprobe": (no_autoprobe, (TWO, FIRST)),
    "a_companion": (plain, (PAIR,)),
    "a_whole_group": (plain, (BOTH,)),
    "an_odd_override": (odd_override, (PAIR,)),
    "a_driver_to_load": (plain, (AWAY,)),
    "back_to_the_kernel": (on_vfio, (BACK,)),
    "a_pf": (plain, (THE_PF,)),
}


class Points:
    """Counts calls in a command and its helpers, and kills at one of them.

    The counts are shared by the processes; a command and its helper never
    count the same.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 64)
        self.who = ""
        self.number = 0
        self._main = 0
        self._in_kernel = False

    def arm(self, who: str, number: int) -> None:
        """Kill ``main``, ``helper`` or ``both`` at a point; 0 for never."""
        self.who, self.number = who, number
        self._memory[:16] = bytes(16)

    def counts(self) -> dict[str, int]:
        """How many points main and helpers had so far."""
        main, helper = struct.unpack("qq", self._memory[:16])
        return {"main": main, "helper": helper, "both": helper}

    def start(self) -> None:
        """Count from here on, in this process and its children."""
        self._main = os.getpid()
        for module, name in _CALLS:
            setattr(
                module,
                name,
                functools.partial(self._call, getattr(module, name)),
            )

    def kernel(
        self, write: ty.Callable[[str, bytes], None]
    ) -> ty.Callable[[str, bytes], None]:
        """A write to the kernel: a point before it and one after it."""

        def counted(rel: str, data: bytes) -> None:
            self._count()
            self._in_kernel = True
            write(rel, data)
            self._in_kernel = False
            self._count()

        return counted

    def _call(
        self, real: ty.Callable[..., ty.Any], *args: ty.Any, **more: ty.Any
    ) -> ty.Any:
        changes = real.__name__ != "open" or args[1] & (
            os.O_CREAT | os.O_WRONLY | os.O_RDWR
        )
        if changes and not self._in_kernel:
            self._count()
        result = real(*args, **more)
        if real.__name__ == "fork" and result:
            # The command is killed, and its helper goes on.
            self._count()
        return result

    def _count(self) -> None:
        main = os.getpid() == self._main
        place = 0 if main else 8
        (count,) = struct.unpack("q", self._memory[place : place + 8])
        count += 1
        self._memory[place : place + 8] = struct.pack("q", count)
        if count != self.number or (self.who == "main") != main:
            return
        if self.who == "both":
            os.kill(self._main, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class Lab:
    """One host with its state path, from which copies are made."""

    def __init__(
        self, folder: pathlib.Path, start: Start, texts: tuple[str, ...]
    ) -> None:
        self.folder = folder
        host = sample_hosts.with_igb(folder / "now/host")
        start(host)
        (folder / "now/state").mkdir()
        self.keep("before")
        self.points = Points()
        self._journal = journal.Journal(folder, "")
        self.specs, findings = host_spec.parse_host_specs(
            [source.SourceText.of(text, "host_spec", "vfio") for text in texts]
        )
        assert not findings

    @property
    def host(self) -> fake_host.FakeHost:
        return fake_host.FakeHost(self.folder / "now/host")

    def keep(self, name: str) -> None:
        """Copy all that there is, to come back to it."""
        shutil.copytree(self.folder / "now", self.folder / name, symlinks=True)

    def reset(self, name: str) -> None:
        """Make all as it was kept."""
        shutil.rmtree(self.folder / "now")
        shutil.copytree(self.folder / name, self.folder / "now", symlinks=True)

    def actor(self, *, counted: bool = False) -> act.Actor:
        """Who acts: as a command does, or quicker, without helpers."""
        host = self.host
        if counted:
            write = self.points.kernel(host.write)
            perform = act.forked(hands.Hands(host.tree, write, host.modprobe))
        else:
            worker = host.hands()

            def perform(step: plan.Step, keep: tuple[int, ...]) -> str:
                return act.do(worker, step)

        self._journal.close()
        self._journal = journal.Journal.open(
            self.folder / "now/state", observe.boot_id(host.tree)
        )
        return act.Actor(
            host.tree, perform, self._journal, self.folder / "now/state"
        )

    def lines(self) -> bytes:
        """The journal; nothing where there is none."""
        path = self.folder / "now/state" / journal.NAME
        return path.read_bytes() if path.exists() else b""

    def apply(self, actor: act.Actor) -> None:
        recover.recover(actor, {})
        apply.apply(actor, self.specs, {})

    def restore(self, actor: act.Actor) -> None:
        recover.recover(actor, {})
        restore.restore(actor, {})

    def recover(self, actor: act.Actor) -> None:
        recover.recover(actor, {})

    def killed(
        self, command: ty.Callable[[act.Actor], None], who: str, number: int
    ) -> bool:
        """Run a command in a process of its own that is killed at a point.

        :returns: False if it came to its end before that point
        """
        self.points.arm(who, number)
        pid = os.fork()
        if not pid:
            try:
                self.points.start()
                command(self.actor(counted=True))
            except BaseException:  # noqa: BLE001 - shown, and told by status
                traceback.print_exc()
                os.kill(os.getpid(), signal.SIGABRT)
            finally:
                # Wrapped too, and past the last point.
                self.points.arm("", 0)
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, "it broke"
        return self.points.counts()[who] >= number


class CrashPointsTest(base.TestCase):
    """Every plan's every point; see the methods that are made below."""

    tried: ty.ClassVar[collections.Counter[str]] = collections.Counter()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        tried = ", ".join(f"{cls.tried[one]} of {one}" for one in cls.tried)
        print(f"killed at {cls.tried.total()} points: {tried}")

    def setUp(self) -> None:
        super().setUp()
        # fsync(2) of a disk would take most of the time.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = pathlib.Path(
            self.useFixture(fixtures.TempDir(memory)).path
        )

    def try_plan(self, start: Start, texts: tuple[str, ...]) -> None:
        """Kill apply, then restore, then recover, at every point."""
        lab = Lab(self.folder, start, texts)
        before = lab.host.picture()
        seen = [self.states(lab)]
        lab.apply(lab.actor())
        lab.keep("declared")
        declared = self.states(lab)
        seen.append(declared)
        self.assertNotEqual(seen[0], declared)
        middles = []
        for who, number in self.every_point(lab, lab.apply, "before"):
            self.check(lab, seen[0], declared, before)
            if who == "both":
                middles.append(number)
        for _ in self.every_point(lab, lab.restore, "declared"):
            self.check(lab, seen[0], declared, before)
        # Recovery itself is killed after some of the crashes of apply.
        for number in middles[:: max(len(middles) // 3, 1)]:
            lab.reset("before")
            lab.killed(lab.apply, "both", number)
            name = f"crashed-{number}"
            lab.keep(name)
            for _ in self.every_point(lab, lab.recover, name):
                self.check(lab, seen[0], declared, before)

    def every_point(
        self, lab: Lab, command: ty.Callable[[act.Actor], None], begin: str
    ) -> ty.Iterator[tuple[str, int]]:
        """Kill a command at each of its points, one after the other."""
        for who in ("main", "helper", "both"):
            number = 1
            while True:
                lab.reset(begin)
                if not lab.killed(command, who, number):
                    break
                self.tried[command.__name__] += 1
                yield who, number
                number += 1

    def states(self, lab: Lab) -> dict[str, plan.State]:
        found = lab.actor().look().states
        return {str(address): state for address, state in found.items()}

    def check(
        self,
        lab: Lab,
        before: dict[str, plan.State],
        declared: dict[str, plan.State],
        picture: dict[str, ty.Any],
    ) -> None:
        """After a crash: recover, and find nothing unexplained."""
        where = f"{lab.points.who} {lab.points.number}"
        judged = recover.recover(lab.actor(), {})
        for one in judged:
            self.assertNotEqual(recover.Verdict.LEAVE, one.verdict, where)
        actor = lab.actor()
        self.assertEqual({}, actor.journal.unfinished, where)
        states = self.states(lab)
        for name in {*before, *declared, *states}:
            account = actor.journal.account(name)
            state = states.get(name)
            if account == "as declared":
                self.assertEqual(declared.get(name), state, f"{where} {name}")
            else:
                self.assertEqual("as before", account, where)
                wanted = [before.get(name)]
                if name not in before:
                    # Its PF made it, and nobody touched it since.
                    wanted += [plan.State(), plan.State("igbvf")]
                self.assertIn(state, wanted, f"{where} {name}")
        lines = lab.lines()
        self.assertEqual([], recover.recover(lab.actor(), {}), where)
        self.assertEqual(lines, lab.lines(), where)
        restore.restore(lab.actor(), {})
        self.assertEqual(picture, lab.host.picture(), where)
        self.assertEqual({}, lab.actor().journal.priors, where)


for _name, (_start, _texts) in PLANS.items():
    setattr(
        CrashPointsTest,
        f"test_killed_at_every_point_of_{_name}",
        functools.partialmethod(CrashPointsTest.try_plan, _start, _texts),
    )
