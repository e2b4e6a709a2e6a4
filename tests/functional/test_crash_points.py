# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at every point of apply, restore and recover; then recover.

What a killed process leaves is what stands there at that moment: so each
command runs once, and before each of its system calls that changes anything,
and before and after each write of its helpers to the (fake) kernel, what
stands there is kept. From each such state a recovery runs, whose points give
more states, until there are no new ones: so recovery is killed at every point
too, again and again. Helpers are killed alone as well, which the command
survives and has to deal with. What is between two of these calls only reads,
and a kernel ends what it has begun.

Whatever was killed, after a recovery every function is as it was before or as
it is declared, the journal knows which, a second recovery finds nothing to do,
and the way back leads to what was there before in every file.

That a killed process leaves just that is tried with real processes and
signals, at a sample of the points.
"""

import collections
import contextlib
import dataclasses
import fcntl
import functools
import json
import mmap
import os
import pathlib
import signal
import struct
import traceback
import typing as ty
from unittest import mock

import fixtures

from nova_vfio_variant import exception, source
from nova_vfio_variant.host import process, vf_provider, vgpu
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import (
    apply,
    executor,
    journal,
    recover,
    recycle,
    resetting,
    sysfs_writer,
    undoing,
)
from nova_vfio_variant.host.decide import host_spec, plan
from nova_vfio_variant.host.observe import (
    function_state,
    host_scan,
    records,
    vendor_vgpu,
)
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.host.vf_provider import nvidia, sysfs
from nova_vfio_variant.host.vgpu import vendor_vfio
from nova_vfio_variant.pci import address
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.testing.fake_kernel import kernel
from tests import base, sample_hosts
from tests.functional import kept_files
from tests.unit.host import acting

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

#: Those of them that change the journal.
_NOTES = ("write", "pwrite", "ftruncate", "replace")

PF = "0000:21:00.0"
VF = "0000:21:10.0"
NIC = "0000:31:01.0"
OTHER = "0000:31:02.0"
CARD = "0000:25:00.0"

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
ALL = '{"address": "0000:25:00.0", "num_vfs": 2}'
NO_MORE = ALL.replace("2}", "0}")
GPU = '{"address": "0000:25:00.4", "driver": "vfio-pci"}'
VGPU = '{"address": "0000:25:00.4", "vgpu_type": "471"}'
LARGE = '{"address": "0000:25:00.4", "vgpu_type": "473"}'
MIXED = (
    '{"address": "0000:25:00.0", "heterogeneous": true,'
    ' "vgpu_types": {"470": 1, "471": 1}}'
)

TYPES = {
    "470": ("NVIDIA A16-4Q", 4096),
    "471": ("NVIDIA A16-8Q", 8192),
    "473": ("NVIDIA A16-16Q", 16384),
}

Start = ty.Callable[[fake_host.FakeHost], None]


def bound(host: fake_host.FakeHost, name: str, driver: str) -> None:
    """Put a function on a driver."""
    host.writer().set_override(name, driver)
    host.writer().unbind(name)
    host.writer().probe(name)


def plain(host: fake_host.FakeHost) -> None:
    """As the kernel leaves it."""


def two_vfs(host: fake_host.FakeHost) -> None:
    """Two VFs, one of them on vfio-pci already."""
    host.writer().set_numvfs(PF, 2)
    bound(host, VF, "vfio-pci")


def no_autoprobe(host: fake_host.FakeHost) -> None:
    """New VFs get no driver."""
    host.writer().set_autoprobe(PF, False)


def odd_override(host: fake_host.FakeHost) -> None:
    """Bound by one override, and left with another."""
    bound(host, NIC, "igbvf")
    host.writer().set_override(NIC, "nobody")
    host.writer().unbind(OTHER)


def on_vfio(host: fake_host.FakeHost) -> None:
    """Somebody bound it."""
    bound(host, NIC, "vfio-pci")


def card(host: fake_host.FakeHost) -> None:
    """A card whose VFs are made by a tool that unbinds it meanwhile."""
    host.add_driver("nvidia", ["10de:25b6"], makes_vfs=True)
    host.add_driver("pci-pf-stub", makes_vfs=True)
    tool = host.root / "usr/lib/nvidia" / nvidia.TOOL
    tool.parent.mkdir(parents=True)
    tool.touch()
    host.add(
        CARD,
        "10de:25b6",
        class_code=0x030200,
        group=3,
        vfs=2,
        vf_device="25b7",
        vf_offset=4,
        vf_stride=1,
    )


def card_with_vfs(host: fake_host.FakeHost) -> None:
    """It has them already, one of them on vfio-pci."""
    card(host)
    host.writer().set_numvfs(CARD, 2)
    host.writer().set_override("0000:25:00.4", "vfio-pci")
    host.writer().probe("0000:25:00.4")


def divided(host: fake_host.FakeHost) -> None:
    """A card whose VFs can be given vGPU types, and has none yet."""
    card(host)
    host.add_driver("nvidia", ["10de:25b7"])
    host.add_vendor_vgpus(CARD, TYPES, 16384)


def divided_with_vfs(host: fake_host.FakeHost) -> None:
    """It has its VFs, and no vGPU."""
    divided(host)
    host.writer().set_numvfs(CARD, 2)


def with_a_vgpu(host: fake_host.FakeHost) -> None:
    """Somebody gave one of its VFs a type."""
    divided_with_vfs(host)
    host.writer().set_vgpu_type("0000:25:00.4", "471")


def of_several_sizes(host: fake_host.FakeHost) -> None:
    """Somebody let it have several sizes, and gave its VFs two of them."""
    divided_with_vfs(host)
    there = kernel.Kernel(host.root)
    with there.files.held():
        there.vgpus.set_heterogeneous(CARD, True)
    host.writer().set_vgpu_type("0000:25:00.4", "471")
    host.writer().set_vgpu_type("0000:25:00.5", "470")


class Card(vendor_vfio.VendorVfio):
    """Asks, and sets, a card's mode in this process."""

    def set_heterogeneous(
        self, writer: vgpu.Writer, address: str, flag: bool
    ) -> None:
        """A write as any; the fake host's nvidia-smi does the same."""
        there = kernel.Kernel(pathlib.Path(writer.root.root or ""))
        with there.files.held():
            there.vgpus.set_heterogeneous(address, flag)

    def heterogeneous(self, tree: host_tree.HostTree, address: str) -> str:
        """As it is."""
        there = kernel.Kernel(pathlib.Path(tree.root or ""))
        with there.files.held():
            return str(int(there.files.memory.cards[address].heterogeneous))


def _mode(
    way: vgpu.VgpuFramework, tree: host_tree.HostTree, address: str
) -> bool:
    """As :func:`.vgpu.mode`, without a process."""
    return way.heterogeneous(tree, address) == "1"


class Tool(nvidia.NvidiaVfProvider):
    """Does what sriov-manage does, in this process, with writes that count.

    The script goes on whatever a write gives, and takes a number of VFs that
    is there, by whichever driver, for all that there is to do.
    """

    def _run(self, writer: vf_provider.Writer, flag: str, address: str) -> str:
        assert isinstance(writer, sysfs_writer.SysfsWriter)
        count = 2 if flag == "-e" else 0
        drivers, card = "sys/bus/pci/drivers", f"sys/bus/pci/devices/{address}"
        if writer.root.read_text(f"{card}/sriov_numvfs") == str(count):
            return "nothing to do"
        for path, data in (
            (f"{card}/driver/unbind", address),
            (f"{drivers}/pci-pf-stub/new_id", "10de 25b6"),
            (f"{drivers}/pci-pf-stub/bind", address),
            (f"{card}/sriov_numvfs", str(count)),
            (f"{drivers}/pci-pf-stub/unbind", address),
            (f"{drivers}/pci-pf-stub/remove_id", "10de 25b6"),
            (f"{drivers}/nvidia/bind", address),
        ):
            with contextlib.suppress(OSError):
                writer._write(path, data.encode())
        return ""


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
    "vfs_by_a_tool": (card, (ALL, GPU)),
    "no_vfs_by_a_tool": (card_with_vfs, (NO_MORE,)),
    "a_vgpu_type": (divided_with_vfs, (VGPU,)),
    "another_vgpu_type": (with_a_vgpu, (LARGE,)),
    "vgpus_of_vfs_by_a_tool": (divided, (ALL, VGPU)),
    "vgpus_of_several_sizes": (with_a_vgpu, (MIXED,)),
}


class Killed(BaseException):
    """The process that this stands for is dead; nothing of it runs on."""


#: Of each test, how many points a command is killed at, and how many
#: different states that leaves. Fewer may be tried of a command that writes
#: less.
LEAST: ty.Final = {
    "a_companion": (4395, 81),
    "a_driver_to_load": (4632, 84),
    "a_pf": (1879, 36),
    "a_vgpu_type": (402, 14),
    "a_whole_group": (5351, 87),
    "an_odd_override": (1879, 36),
    "another_vgpu_type": (736, 18),
    "back_to_the_kernel": (1385, 27),
    "more_vfs": (8632, 125),
    "no_vfs": (5973, 96),
    "no_vfs_by_a_tool": (8497, 92),
    "one_vf_of_two": (2083, 42),
    "recycling_a_card": (8082, 96),
    "recycling_one_of_several_sizes": (11660, 168),
    "vfs": (617, 16),
    "vfs_by_a_tool": (7016, 74),
    "vfs_on_a_variant_driver": (3430, 67),
    "vfs_on_vfio_pci": (3061, 64),
    "vfs_without_autoprobe": (1208, 31),
    "vgpus_of_several_sizes": (2418, 53),
    "vgpus_of_vfs_by_a_tool": (5715, 72),
}


class Points:
    """Sees every call of a command that changes anything, and its writes.

    A command runs in this process, and its helpers do too. At each point
    ``at`` is called: what stands there then is what is left if the command
    is killed then, with its helper or without one.

    :param at: is told at each point
    :param changed: is told what may have changed
    :param strikes: is told before a helper alone is killed
    """

    def __init__(
        self,
        at: ty.Callable[[], None],
        changed: ty.Callable[..., None] = lambda **_: None,
        strikes: ty.Callable[[], None] = lambda: None,
    ) -> None:
        self._at = at
        self._changed = changed
        self._strikes = strikes
        self._in_kernel = False
        self._writes = 0
        #: At which of its writes the helper alone is killed, and whether
        #: that is once it is done; None for never.
        self.helper: tuple[int, bool] | None = None
        #: Set when it was.
        self.struck = False

    def perform(self, writer: sysfs_writer.SysfsWriter) -> acting.Perform:
        """Do steps as helpers do; they may be killed."""

        def perform(
            step: plan.Step, _keep: tuple[int, ...], _: process.Meanwhile
        ) -> str:
            try:
                return executor.do(writer, step)
            except Killed:
                # What the command hears of it (helper.run).
                raise exception.HostStepFailed(
                    "the helper process was killed"
                ) from None

        return perform

    def write(
        self, real: ty.Callable[[str, bytes], None]
    ) -> ty.Callable[[str, bytes], None]:
        """A write to the kernel, which ends what it has begun."""

        def write(rel: str, data: bytes) -> None:
            self._at()
            self._writes += 1
            mine = self.helper is not None and self.helper[0] == self._writes
            if mine and not (self.helper and self.helper[1]):
                self._kill()
            self._in_kernel = True
            try:
                real(rel, data)
            finally:
                self._in_kernel = False
            self._changed(noted=False)
            self._at()
            if mine:
                self._kill()

        return write

    def _kill(self) -> ty.NoReturn:
        """Kill the helper that writes."""
        self._strikes()
        self.struck = True
        raise Killed

    @contextlib.contextmanager
    def watched(self) -> ty.Iterator[None]:
        """See this process's calls."""
        with contextlib.ExitStack() as stack:
            for module, name in _CALLS:
                real = getattr(module, name)
                stack.enter_context(
                    mock.patch.object(
                        module, name, functools.partial(self._call, real)
                    )
                )
            yield

    def _call(
        self, real: ty.Callable[..., ty.Any], *args: ty.Any, **more: ty.Any
    ) -> ty.Any:
        reads = real.__name__ == "open" and not args[1] & (
            os.O_CREAT | os.O_WRONLY | os.O_RDWR
        )
        if not (reads or self._in_kernel):
            self._at()
        result = real(*args, **more)
        if real.__name__ in _NOTES and not self._in_kernel:
            self._changed(host=False)
        return result


class Known(ty.NamedTuple):
    """All that a command goes by, as text."""

    host: str
    journal: str


class _OnRecord(host_actor.OnRecord):
    """Cards are known from when they were empty; types are in a file.

    :param state: the state path
    """

    def __init__(self, state: pathlib.Path) -> None:
        self.place = state / "types"

    def laid(self) -> dict[str, str]:
        """The types that were noted."""
        if not self.place.exists():
            return {}
        found: dict[str, str] = json.loads(self.place.read_text())
        return found

    def declare(self, types: ty.Mapping[address.PciAddress, str]) -> None:
        new = {str(vf): type_id for vf, type_id in types.items()}
        wanted = {
            vf: type_id
            for vf, type_id in {**self.laid(), **new}.items()
            if type_id != vendor_vgpu.NONE
        }
        if wanted != self.laid():
            # At once, as the store does.
            part = self.place.with_suffix(".new")
            part.write_text(json.dumps(wanted))
            part.replace(self.place)

    def mix(self, card: address.PciAddress, flag: bool) -> None:
        place = self.place.with_name("mixed")
        if flag:
            place.touch()
        else:
            place.unlink(missing_ok=True)

    def of(self, seen: host_scan.HostScan) -> records.Records:
        mixed = {address.PciAddress.parse(CARD)}
        return records.Records(
            vgpu_mixed=frozenset(
                mixed if self.place.with_name("mixed").exists() else ()
            ),
            vgpu_types={
                address.PciAddress.parse(CARD): tuple(
                    vendor_vgpu.VgpuType(type_id, name, size)
                    for type_id, (name, size) in TYPES.items()
                )
            },
            vgpu_laid={
                address.PciAddress.parse(vf): type_id
                for vf, type_id in self.laid().items()
            },
        )


class Lab:
    """One host with its state path, from which copies are made."""

    def __init__(
        self, folder: pathlib.Path, start: Start, texts: tuple[str, ...]
    ) -> None:
        self.folder = folder
        host = sample_hosts.with_igb(folder / "now/host")
        start(host)
        (folder / "now/state").mkdir()
        self._journal = journal.Journal(folder, "")
        self.specs, findings = host_spec.parse_host_specs(
            [source.SourceText.of(text, "host_spec", "vfio") for text in texts]
        )
        assert not findings
        self._kept: dict[Known, kept_files.Contents] = {}
        self._picture: str | None = None
        self._noted: str | None = None
        self._read: dict[tuple[tuple[str, ty.Any], ...], str] = {}
        self.keep(self.known())

    @property
    def host(self) -> fake_host.FakeHost:
        return fake_host.FakeHost(self.folder / "now/host")

    def known(self) -> Known:
        """What stands there now.

        A recovery looks at the host for what was done of a change; of the
        journal's word on its steps it goes by the probes alone, and by
        whether one failed.
        """
        if self._picture is None:
            self._picture = repr(sorted(self.host.picture().items()))
        if self._noted is None:
            # The same files are read the same: runs begin alike.
            read = tuple(
                sorted(kept_files.contents(f"{self.folder}/now/state").items())
            )
            if read not in self._read:
                self._read[read] = self._note()
            self._noted = self._read[read]
        return Known(self._picture, self._noted)

    def _note(self) -> str:
        """What the state path tells, as text."""
        found = self.read_journal()
        unfinished = sorted(
            repr(
                (
                    begun.change,
                    begun.command,
                    [
                        str(step)
                        for step in begun.change.steps
                        if step.action == "probe" and step in begun.done
                    ],
                    begun.trouble is not None,
                    begun.hung,
                )
            )
            for begun in found.unfinished.values()
        )
        return repr(
            (
                found.priors,
                unfinished,
                sorted(found.outcomes.items()),
                sorted(found.owed),
                sorted(_OnRecord(self.folder / "now/state").laid().items()),
                (self.folder / "now/state/mixed").exists(),
            )
        )

    def changed(self, *, host: bool = True, noted: bool = True) -> None:
        """What is known may not be so any more."""
        if host:
            self._picture = None
        if noted:
            self._noted = None

    def keep(self, known: Known) -> bool:
        """Copy all that there is, to come back to it; False if it's there."""
        if known in self._kept:
            return False
        self._kept[known] = kept_files.contents(f"{self.folder}/now")
        return True

    def reset(self, known: Known) -> None:
        """Make all as it was kept."""
        self.changed()
        self._journal.close()
        kept_files.make(f"{self.folder}/now", self._kept[known])

    def read_journal(self) -> journal.Journal:
        """The journal as a command reads it."""
        return journal.Journal.open(
            self.folder / "now/state",
            function_state.boot_id(self.host.tree),
        )

    def actor(
        self,
        perform: acting.Perform | None = None,
        writer: sysfs_writer.SysfsWriter | None = None,
    ) -> host_actor.Actor:
        """Who acts."""
        host = self.host
        mine = host.writer()
        self._journal.close()
        self._journal = self.read_journal()
        return host_actor.Actor(
            host.tree,
            executor.LocalExecutor(writer)
            if writer is not None
            else acting.Doing(
                mine,
                perform or (lambda step, _keep, _: executor.do(mine, step)),
            ),
            self._journal,
            _OnRecord(self.folder / "now/state"),
        )

    def lines(self) -> bytes:
        """The journal; nothing where there is none."""
        path = self.folder / "now/state" / journal.NAME
        return path.read_bytes() if path.exists() else b""

    def apply(self, actor: host_actor.Actor) -> None:
        recover.recover(actor)
        apply.apply(actor, self.specs)

    def restore(self, actor: host_actor.Actor) -> None:
        recover.recover(actor)
        undoing.restore(actor)

    def recover(self, actor: host_actor.Actor) -> None:
        recover.recover(actor)

    def reset_nic(self, actor: host_actor.Actor) -> None:
        recover.recover(actor)
        # Its helper was killed, and it told that.
        with contextlib.suppress(exception.HostStepFailed):
            resetting.reset(actor, address.PciAddress.parse(NIC))

    def recycle(self, actor: host_actor.Actor) -> None:
        recover.recover(actor)
        recycle.recycle(actor, address.PciAddress.parse(CARD))


Command = ty.Callable[[host_actor.Actor], None]


class CrashPointsTest(base.TestCase):
    """Every plan's every point; see the methods that are made below."""

    points: ty.ClassVar[collections.Counter[str]] = collections.Counter()

    def assert_all_tried(self, before: int) -> None:
        """No fewer than there are known to be.

        :param before: points that had been tried before
        """
        of = self.id().rpartition("_at_every_point_of_")[2]
        points, states = LEAST[of]
        self.assertGreaterEqual(self.points.total() - before, points)
        self.assertGreaterEqual(len(self.lab._kept), states)

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        told = ", ".join(f"{cls.points[one]} {one}" for one in cls.points)
        print(f"killed at every point: {told}")

    def setUp(self) -> None:
        super().setUp()
        memory = fixtures.TempDir(sample_hosts.MEMORY)
        self.folder = pathlib.Path(self.useFixture(memory).path)
        # A host of files has nothing on its way.
        self.useFixture(
            fixtures.MonkeyPatch(f"{sysfs_writer.__name__}._SETTLE", 0)
        )
        ways = {"sysfs": sysfs.SysfsVfProvider(), "nvidia": Tool()}
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.vf_provider._providers", lambda: ways
            )
        )

        cards = {"vendor_vfio": Card()}
        for name, way in (("_frameworks", lambda: cards), ("mode", _mode)):
            self.useFixture(
                fixtures.MonkeyPatch(f"{vgpu.__name__}.{name}", way)
            )

    def try_plan(self, start: Start, texts: tuple[str, ...]) -> None:
        """Kill apply, restore and recover at every point, in any order."""
        points = self.points.total()
        self.lab = lab = Lab(self.folder, start, texts)
        self.frees = texts == (MIXED,)
        self.picture = lab.host.picture()
        self.before = self.states()
        first = lab.known()
        lab.apply(lab.actor())
        lab.changed()
        self.declared = self.states()
        self.assertNotEqual(self.before, self.declared)
        declared = lab.known()
        lab.keep(declared)
        self.left: collections.deque[Known] = collections.deque()
        self.ends: set[Known] = set()
        self.kill_everywhere(lab.apply, first, "of apply")
        self.kill_everywhere(lab.restore, declared, "of restore")
        crashed = list(self.left)
        while self.left:
            # What recovery leaves when it is killed is recovered in turn.
            known = self.left.popleft()
            self.run_watched(lab.recover, known, "of recover")
            self.check_end()
        self.assert_all_tried(points)
        self.points["states that were recovered from"] += len(lab._kept) - 2
        self.kill_really(lab.apply, first)
        self.kill_really(lab.recover, crashed[len(crashed) // 2])

    def test_killed_at_every_point_of_a_reset(self) -> None:
        """Nothing is left to take back, and another call resets it."""
        self.lab = lab = Lab(self.folder, plain, ())
        before = self.states()
        self.left = collections.deque()
        self.kill_everywhere(lab.reset_nic, lab.known(), "of reset")
        while self.left:
            known = self.left.popleft()
            self.run_watched(lab.recover, known, "of recover")
            lab.reset_nic(lab.actor())
            self.assertEqual({}, lab.actor().journal.unfinished)
            self.assertEqual({}, lab.actor().journal.priors)
            self.assertEqual(before, self.states())

    def test_killed_at_every_point_of_recycling_a_card(self) -> None:
        """Whatever was killed, another call gives each VF its type again."""
        self.try_recycle(with_a_vgpu, "0")

    def test_killed_at_every_point_of_recycling_one_of_several_sizes(
        self,
    ) -> None:
        self.try_recycle(of_several_sizes, "1")

    def try_recycle(self, start: Start, mode: str) -> None:
        points = self.points.total()
        self.lab = lab = Lab(self.folder, start, ())
        before = self.states()
        self.left = collections.deque()
        ends: set[Known] = set()
        self.kill_everywhere(lab.recycle, lab.known(), "of recycle")
        while self.left:
            known = self.left.popleft()
            self.run_watched(lab.recover, known, "of recover")
            end = lab.known()
            if end in ends:
                continue
            ends.add(end)
            self.assertEqual({}, lab.actor().journal.unfinished)
            lab.recycle(lab.actor())
            self.assertEqual(before, self.states())
            self.assertEqual(mode, Card().heterogeneous(lab.host.tree, CARD))
            self.assertEqual(
                frozenset(), lab.actor().look().records.vgpu_mixed
            )
            undoing.restore(lab.actor())
            self.assertEqual(before, self.states())
            self.assertEqual({}, lab.actor().journal.priors)
        self.assert_all_tried(points)

    def kill_everywhere(
        self, command: Command, begin: Known, name: str
    ) -> None:
        """Kill a command, or one of its helpers alone, at every point."""
        self.run_watched(command, begin, name)
        number = 1
        while self.run_watched(command, begin, name, (number, False)):
            self.run_watched(command, begin, name, (number, True))
            number += 1

    def run_watched(
        self,
        command: Command,
        begin: Known,
        name: str,
        helper: tuple[int, bool] | None = None,
    ) -> bool:
        """Run a command; each point's state is one to recover from.

        :param helper: at which write the helper is killed, and whether
            after it
        :returns: whether it was
        """
        lab = self.lab
        lab.reset(begin)

        def at() -> None:
            self.points[name] += 1
            if helper is not None and not points.struck:
                # As in the run whose helpers all live, which was seen.
                return
            known = lab.known()
            if lab.keep(known):
                self.left.append(known)

        def strikes() -> None:
            self.assertIn(lab.known(), lab._kept, "it was no such run")

        points = Points(at, lab.changed, strikes)
        points.helper = helper
        host = lab.host
        writer = sysfs_writer.SysfsWriter(
            host.tree, points.write(host.write), host.modprobe
        )
        actor = lab.actor(points.perform(writer))
        with points.watched():
            command(actor)
        lab.changed()
        at()
        return points.struck

    def kill_really(self, command: Command, begin: Known) -> None:
        """Kill -9 processes at some moments; nothing new is left by them."""
        lab = self.lab
        for number in range(2, 60, 7):
            lab.reset(begin)
            if not _killed(lab, command, number):
                break
            self.points["processes killed"] += 1
            lab.changed()
            self.assertIn(lab.known(), lab._kept, f"killed at {number}")

    def states(self) -> dict[str, function_state.State]:
        found = self.lab.actor().look().states
        return {str(address): state for address, state in found.items()}

    def check_end(self) -> None:
        """After a recovery: nothing is unexplained."""
        lab = self.lab
        end = lab.known()
        if end in self.ends:
            return
        self.ends.add(end)
        actor = lab.actor()
        self.assertEqual({}, actor.journal.unfinished)
        states = self.states()
        for name in {*self.before, *self.declared, *states}:
            account = actor.journal.account(name)
            state = states.get(name)
            if account == "as declared":
                wanted = [self.declared.get(name)]
                if self.frees and state is not None and state.vgpu_type:
                    # It makes room for others first, as the journal says.
                    wanted.append(dataclasses.replace(state, vgpu_type="0"))
                self.assertIn(state, wanted, name)
            else:
                self.assertEqual("as before", account)
                wanted = [self.before.get(name)]
                if name not in self.before:
                    # Its PF made it, and nobody touched it since.
                    wanted += [
                        function_state.State(),
                        function_state.State("igbvf"),
                        function_state.State("nvidia", vgpu_type="0"),
                    ]
                self.assertIn(state, wanted, name)
        lines = lab.lines()
        self.assertEqual((), recover.recover(lab.actor()))
        self.assertEqual(lines, lab.lines())
        undoing.restore(lab.actor())
        self.assertEqual(self.picture, lab.host.picture())
        self.assertEqual({}, lab.actor().journal.priors)


def _killed(lab: Lab, command: Command, number: int) -> bool:
    """Run a command in a process of its own, and kill it with its helper.

    :param number: at which of the points of both
    :returns: False if it came to its end before that
    """
    memory = mmap.mmap(-1, 8)

    def at() -> None:
        (count,) = struct.unpack("q", memory[:])
        memory[:] = struct.pack("q", count + 1)
        if count + 1 == number:
            kill(main, signal.SIGKILL)
            kill(os.getpid(), signal.SIGKILL)

    kill = os.kill
    pid = os.fork()
    if not pid:
        main = os.getpid()
        try:
            points = Points(at)
            host = lab.host
            writer = sysfs_writer.SysfsWriter(
                host.tree, points.write(host.write), host.modprobe
            )
            with points.watched():
                command(lab.actor(writer=writer))
        except BaseException:  # noqa: BLE001 - shown, and told by status
            traceback.print_exc()
            kill(os.getpid(), signal.SIGABRT)
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, "it broke"
        return True
    return False


for _name, (_start, _texts) in PLANS.items():
    setattr(
        CrashPointsTest,
        f"test_killed_at_every_point_of_{_name}",
        functools.partialmethod(CrashPointsTest.try_plan, _start, _texts),
    )
