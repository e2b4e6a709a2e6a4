# SPDX-License-Identifier: Apache-2.0
"""A journal with right checksums that nobody of ours wrote is only data."""

import dataclasses
import pathlib
import re
import shutil
import tempfile
import typing as ty

import fixtures
import hypothesis
from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import (
    apply,
    executor,
    journal,
    journal_file,
    recover,
    sysfs_writer,
    undoing,
)
from nova_vfio_variant.host.decide import judgement, plan, planning
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing import fake_host
from tests import base, sample_hosts
from tests.unit.host import acting, plan_case

PF, NIC, OTHER = sample_hosts.PF, sample_hosts.NIC, sample_hosts.OTHER
VF, VF_TOO = "0000:21:10.0", "0000:21:10.2"
BRIDGE = "0000:20:00.0"
ABSENT = "0000:99:00.0"
State = function_state.State
Data = dict[str, ty.Any]


def make_host(root: pathlib.Path) -> fake_host.FakeHost:
    """A PF with two VFs, two others in a group, and a bridge."""
    host = sample_hosts.with_igb(root)
    host.add(BRIDGE, "8086:3420", class_code=0x060400)
    host.writer().set_numvfs(PF, 2)
    for module in ("dccp", "mlx5_core"):
        host._kernel.can_load(module)
    return host


class ForgedCase(base.TestCase):
    """A host, and a journal that says anything."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch(f"{sysfs_writer.__name__}._SETTLE", 0)
        )
        self.folder = pathlib.Path(
            self.useFixture(fixtures.TempDir(sample_hosts.MEMORY)).path
        )
        self.host = make_host(self.folder / "host")
        self.state = self.folder / "state"
        self.loaded: list[str] = []

    def forge(self, *entries: Data) -> None:
        """Write a journal, each line with its checksum."""
        file = journal_file.JournalFile(
            self.state / journal.NAME,
            function_state.boot_id(self.host.tree),
        )
        for entry in entries:
            file.append(entry)
        file.close()

    def actor(self) -> host_actor.Actor:
        known = journal.Journal.open(
            self.state, function_state.boot_id(self.host.tree)
        )
        self.addCleanup(known.close)

        def modprobe(name: str) -> None:
            self.loaded.append(name)
            self.host.modprobe(name)

        writer = sysfs_writer.SysfsWriter(
            self.host.tree, self.host.write, modprobe
        )
        by = acting.Doing(writer, lambda step, *_: executor.do(writer, step))
        self.begun: list[plan.Change] = []
        self.told = acting.Told(lambda change, *_: self.begun.append(change))
        return host_actor.Actor(self.host.tree, by, known, observer=self.told)


def begin(change: plan.Change, number: ty.Any = 1, **more: object) -> Data:
    """A line of a journal."""
    return {
        "kind": "begin",
        "number": number,
        "purpose": "apply",
        "change": change.as_data() | more,
    }


def end(number: int = 1, outcome: str = "done") -> Data:
    """Likewise."""
    return {"kind": "end", "number": number, "outcome": outcome, "why": ""}


def moves(
    subject: str, before: State, after: State, pf: str | None = None
) -> plan.Change:
    """A change of a driver, as one is planned."""
    return plan.Change(
        subject,
        plan.What.DRIVER,
        before,
        after,
        planning.driver_steps(subject, before, after, "forged"),
        pf,
    )


def counts(subject: str, before: State, after: State) -> plan.Change:
    """A change of a PF's number of VFs."""
    step = plan.Step(
        subject,
        plan.Action.SET_NUMVFS,
        str(after.numvfs),
        str(before.numvfs),
        "forged",
    )
    return plan.Change(subject, plan.What.VFS, before, after, (step,))


ON_IGB = State("igb", None, 2, True)
NONE_LEFT = dataclasses.replace(ON_IGB, numvfs=0)
ON_E1000, ON_VFIO = State("e1000"), State("vfio-pci", "vfio-pci")
FEWER = counts(PF, ON_IGB, NONE_LEFT)
TO_VFIO = moves(NIC, ON_E1000, ON_VFIO)
FREE, TYPED = (State("igbvf", vgpu_type=kind) for kind in ("0", "471"))
TO_TYPED = plan.Change(
    VF,
    plan.What.VGPU,
    FREE,
    TYPED,
    (
        plan.Step(
            VF,
            plan.Action.SET_VGPU_TYPE,
            "471",
            "0",
            "forged",
            provider="vendor_vfio",
        ),
    ),
    PF,
)


class GarbledTest(ForgedCase):
    """What has a form that no plan has stops every command that writes."""

    def garbled(self, *entries: Data) -> str:
        self.forge(*entries)
        before = self.host.written
        error = self.assertRaises(exception.JournalError, self.actor)
        self.assertRegex(error.message, r"^[^\n]* is garbled in line \d+: ")
        self.assertEqual(before, self.host.written)
        shutil.rmtree(self.state)
        return error.message

    def test_a_step_for_another_function(self) -> None:
        for action, value in (
            ("unbind", ""),
            ("set-override", "vfio-pci"),
            ("set-numvfs", "0"),
            ("probe", "vfio-pci"),
        ):
            step = plan.Step(OTHER, plan.Action(action), value, "", "forged")
            for change in (TO_VFIO, FEWER):
                said = self.garbled(begin(change, steps=[step.as_data()]))
                self.assertIn("is no step of a change of", said)
            said = self.garbled(
                begin(TO_VFIO),
                {
                    "kind": "begun",
                    "number": 1,
                    "step": step.as_data(),
                    "why": "",
                },
            )
            self.assertIn("is no step of a change of", said)

    def test_a_module_of_another_name(self) -> None:
        load = planning.load_change("vfio_pci", "forged")
        other = dataclasses.replace(
            load.steps[0], subject="dccp", value="dccp"
        )
        self.garbled(begin(load, steps=[other.as_data()]))
        self.garbled(begin(load, subject="../dccp"))
        self.garbled(begin(TO_VFIO, steps=[load.steps[0].as_data()]))

    def test_names_and_values_that_nobody_writes(self) -> None:
        (first, *_) = (step.as_data() for step in TO_VFIO.steps)
        (count,) = (step.as_data() for step in FEWER.steps)
        for name in ("a/b", "-x", "a b", "x" * 65, "a\n"):
            self.garbled(begin(TO_VFIO, steps=[first | {"value": name}]))
        for value in ("-1", "65536", "2 ", "0x2", "", "2", "²"):
            self.garbled(begin(FEWER, steps=[count | {"value": value}]))
        for provider in ("", "../x", 7, None):
            self.garbled(begin(FEWER, steps=[count | {"provider": provider}]))
        for deadline in ("9", -1, 1e9, True, None):
            self.garbled(begin(FEWER, steps=[count | {"deadline": deadline}]))

    def test_values_of_another_type(self) -> None:
        whole = dataclasses.asdict(ON_IGB)
        for wrong in (
            {"driver": 7},
            {"driver": ""},
            {"override": ["vfio-pci"]},
            {"numvfs": "2"},
            {"numvfs": True},
            {"numvfs": -1},
            {"numvfs": 2.0},
            {"autoprobe": 1},
            {"autoprobe": "1"},
            {"more": 1},
        ):
            for name in ("before", "after"):
                self.garbled(begin(FEWER, **{name: whole | wrong}))
        for name, value in (
            ("subject", 7),
            ("subject", [NIC]),
            ("subject", "0000:31:01.0\n"),
            ("subject", "0000:31:1.0"),
            ("subject", "0000:3A:01.0"),
            ("pf", 7),
            ("pf", "x"),
            ("pf", NIC),
            ("lost", {OTHER: dataclasses.asdict(ON_E1000)}),
            ("what", "vfs"),
            ("what", "module"),
            ("identity", {"vendor_id": 7, "product_id": "100e"}),
            ("identity", []),
        ):
            self.garbled(begin(TO_VFIO, **{name: value}))
        for number in (0, 2, "1", 1.5, None):
            self.garbled(begin(TO_VFIO, number=number))
        self.garbled({"kind": "forget", "number": 0, "subject": "x"})
        self.garbled({"kind": "forget", "number": 0, "subject": [NIC]})

    def test_vfs_that_have_vfs_or_are_their_own_pf(self) -> None:
        for lost in (
            {VF: dataclasses.asdict(ON_IGB)},
            {PF: dataclasses.asdict(State("igb"))},
            {"x": dataclasses.asdict(State("igb"))},
        ):
            self.garbled(begin(FEWER, lost=lost))

    def test_a_vgpu_that_is_something_else_as_well(self) -> None:
        (step,) = (step.as_data() for step in TO_TYPED.steps)
        typed = dataclasses.asdict(TYPED)
        mode = step | {"action": "set-heterogeneous", "value": "1"}
        for more in (
            {"after": typed | {"vgpu_type": None}},
            {"after": typed | {"heterogeneous": True}},
            {"after": typed | {"driver": "vfio-pci"}},
            {"after": typed | {"vgpu_type": "0x1"}},
            {"pf": VF},
            {"pf": None},
            {"steps": [mode]},
            {"steps": [step | {"action": "unbind", "value": ""}]},
            {"steps": [step | {"subject": VF_TOO}]},
            {"steps": [step | {"value": "0471"}]},
            {"steps": [step | {"provider": "../x"}]},
        ):
            self.garbled(begin(TO_TYPED, **more))
        for change in (TO_VFIO, FEWER):
            own = step | {"subject": change.subject}
            self.garbled(begin(change, steps=[own]))


class RefusedTest(ForgedCase):
    """What doesn't fit its function is refused before it is touched."""

    def left(self, change: plan.Change, why: str) -> None:
        """Recovery leaves it; what is on record of it isn't restored."""
        before = self.host.written
        self.forge(begin(change))
        (found, *_) = recover.recover(self.actor())
        self.assertEqual(judgement.Verdict.LEAVE, found.verdict)
        self.assertIn(why, found.reason)
        self.assertNotIn("\n", found.reason)
        self.assertEqual(before, self.host.written)
        shutil.rmtree(self.state)

    def kept(self, change: plan.Change, why: str) -> None:
        before = self.host.written
        self.forge(begin(change), end())
        actor = self.actor()
        error = self.assertRaises(
            exception.HostRefused, undoing.restore, actor
        )
        self.assertIn(why, error.message)
        self.assertNotIn("\n", str(error))
        failed = undoing.take_back(self.actor(), {change.subject})
        self.assertIn(why, failed[0])
        self.assertEqual(before, self.host.written)
        self.assertEqual([], self.loaded)
        shutil.rmtree(self.state)

    def test_a_vf_has_no_vfs(self) -> None:
        had = State("igbvf", None, 2, True)
        to = dataclasses.replace(had, numvfs=0)
        self.left(counts(VF, had, to), "it is a VF of 0000:21:00.0, and was")
        self.kept(counts(VF, had, to), "it is a VF of 0000:21:00.0, and was")
        on_vfio = dataclasses.replace(ON_VFIO, numvfs=2, autoprobe=True)
        for subject, pf in ((VF, PF), (NIC, None)):
            change = moves(subject, had, on_vfio, pf)
            self.left(change, "it had 2 VFs on record, and can have none")
            self.kept(change, "it had 2 VFs on record, and can have none")

    def test_a_function_without_sriov_has_none_either(self) -> None:
        had = State("e1000", None, None, None)
        change = counts(NIC, had, dataclasses.replace(had, numvfs=2))
        self.left(change, "to have 2 VFs by the journal, and can have none")

    def test_nor_more_than_it_can_have(self) -> None:
        many = dataclasses.replace(ON_IGB, numvfs=8)
        for change in (counts(PF, ON_IGB, many), counts(PF, NONE_LEFT, many)):
            self.left(change, "to have 8 VFs by the journal, and can have 7")
        self.kept(counts(PF, many, ON_IGB), "it had 8 VFs on record, and can")

    def test_a_bridge_is_left(self) -> None:
        for change in (
            moves(BRIDGE, State("pcieport"), ON_VFIO),
            moves(BRIDGE, ON_VFIO, State("pcieport")),
            counts(BRIDGE, State(None, None, 2), State(None, None, 0)),
        ):
            self.left(change, "it is a bridge")
            self.kept(change, "it is a bridge")

    def test_a_vf_of_another_pf(self) -> None:
        change = moves(VF, State("igbvf"), ON_VFIO, NIC)
        self.left(change, f"a VF of {PF}, and was a VF of {NIC}")
        self.kept(change, f"a VF of {PF}, and was a VF of {NIC}")
        change = moves(NIC, ON_E1000, ON_VFIO, PF)
        self.left(change, f"it is no VF, and was a VF of {PF} on record")

    def test_functions_that_are_none_of_its_vfs(self) -> None:
        lost = dataclasses.replace(FEWER, lost={NIC: ON_E1000})
        self.left(lost, f"{NIC} is to go with its VFs, and is none of them")
        more = counts(PF, NONE_LEFT, ON_IGB)
        for name in (NIC, ABSENT, "0000:21:10.4"):
            probe = plan.Step(name, plan.Action.PROBE, "", "", "forged")
            change = dataclasses.replace(more, steps=(*more.steps, probe))
            self.left(change, f"{name} is to come with its VFs, and is none")

    def test_vfs_by_another_vendors_way(self) -> None:
        for provider in ("nvidia", "nobodys"):
            step = dataclasses.replace(FEWER.steps[0], provider=provider)
            change = dataclasses.replace(FEWER, steps=(step,))
            self.left(change, f"made by sysfs, and not by {provider}")

    def vendors_folder(self) -> None:
        """Let the VF be one that takes vGPUs."""
        folder = self.host.root / f"sys/bus/pci/devices/{VF}/nvidia"
        folder.mkdir()
        (folder / "current_vgpu_type").write_text("0\n")
        (folder / "creatable_vgpu_types").write_text("")

    def test_vgpus_by_another_vendors_way(self) -> None:
        self.left(TO_TYPED, "made by nobody, and not by vendor_vfio")
        self.vendors_folder()
        step = dataclasses.replace(TO_TYPED.steps[0], provider="nobodys")
        change = dataclasses.replace(TO_TYPED, steps=(step,))
        self.left(change, "made by vendor_vfio, and not by nobodys")

    def test_a_vgpu_of_what_is_no_vf(self) -> None:
        had = dataclasses.replace(ON_E1000, vgpu_type="471")
        self.kept(moves(NIC, had, ON_VFIO), "it had vGPU type 471 on record")

    def test_a_vf_that_takes_vgpus_is_not_bound_anew(self) -> None:
        self.vendors_folder()
        self.kept(moves(VF, ON_VFIO, FREE, PF), "a vendor's vGPU folder")

    def test_an_odd_name_that_was_seen(self) -> None:
        for name in ("a/b", "a b", "-x", "x" * 65):
            for before in (State(name), State("e1000", name)):
                change = dataclasses.replace(TO_VFIO, before=before)
                self.left(change, f"{name!r} is no name of a driver")
                self.kept(change, f"{name!r} is no name of a driver")

    def test_a_driver_that_is_not_there_is_nowhere_named(self) -> None:
        written = self.host.written
        for name in ("nobodys", "dccp", "mlx5_core"):
            there = State("e1000")
            change = moves(NIC, State(name), there)
            self.forge(begin(change), end())
            (why,) = undoing.restore(self.actor())
            self.assertIn(f"probe {name}: no driver {name} is there", why)
            shutil.rmtree(self.state)
            self.forge(begin(moves(NIC, there, State(name))))
            (found,) = recover.recover(self.actor())
            self.assertEqual(judgement.Verdict.UNDO, found.verdict)
            shutil.rmtree(self.state)
        self.assertEqual(written, self.host.written)
        self.assertEqual([], self.loaded)

    def test_the_others_are_restored_by_their_addresses(self) -> None:
        self.forge(
            begin(moves(BRIDGE, State("pcieport"), ON_VFIO)),
            end(),
            begin(moves(NIC, ON_VFIO, ON_E1000), 2),
            end(2),
        )
        only = [pci_address.PciAddress.parse(NIC)]
        # Its mate in the group is still in the way of vfio-pci's guests.
        self.assertEqual((), undoing.restore(self.actor(), only))
        state = function_state.state_now(self.host.tree, NIC)
        self.assertEqual(ON_VFIO, state)


_SUBJECTS = st.sampled_from(
    (PF, VF, VF_TOO, NIC, OTHER, BRIDGE, ABSENT, "0000:21:10.4")
)
_DRIVERS = st.sampled_from(
    (
        *(None, None, "igb", "igbvf", "e1000", "vfio-pci", "pcieport"),
        *("igbvf_vfio_pci", "host", "dccp", "mlx5_core", "a/b", "nobodys"),
    )
)
_SELDOM = st.sampled_from((False, False, False, False, True))
_THERE = {
    PF: ON_IGB,
    VF: State("igbvf"),
    VF_TOO: State("igbvf"),
    NIC: ON_E1000,
    OTHER: ON_E1000,
    BRIDGE: State("pcieport"),
}
_COUNTS = st.sampled_from((None, 0, 1, 2, 4, 7, 8, 65535))
_STATES = st.builds(
    State, _DRIVERS, _DRIVERS, _COUNTS, st.sampled_from((None, True, False))
)
_STEPS = st.builds(
    plan.Step,
    _SUBJECTS,
    st.sampled_from(plan.Action),
    st.sampled_from(("", "0", "1", "2", "8", "vfio-pci", "igb", "dccp")),
    st.just(""),
    st.just("forged"),
    provider=st.sampled_from(("sysfs", "sysfs", "nvidia", "x")),
)


@st.composite
def _changes(draw: st.DrawFn) -> plan.Change:
    """A change as one may be planned, but for what is forged of it."""
    kind = draw(st.sampled_from((*plan.What, plan.What.DRIVER)))
    if kind is plan.What.MODULE:
        name = draw(st.sampled_from(("vfio_pci", "dccp", "igbvf_vfio_pci")))
        return planning.load_change(name, "forged")
    subject = PF if kind is plan.What.VFS else draw(_SUBJECTS)
    if draw(_SELDOM):
        subject = draw(_SUBJECTS)
    here = _THERE.get(subject, State())
    other = draw(_STATES)
    if kind is plan.What.DRIVER:
        if not draw(_SELDOM):
            other = State(other.driver, other.override)
            other = dataclasses.replace(
                other, numvfs=here.numvfs, autoprobe=here.autoprobe
            )
        else:
            here = dataclasses.replace(
                here, numvfs=other.numvfs, autoprobe=other.autoprobe
            )
        # What is there by now is what it was, or what was made of it.
        before, after = draw(st.permutations((here, other)))
        pf = PF if subject.startswith("0000:21:10") else None
        change = moves(subject, before, after, pf)
    else:
        before = here if not draw(_SELDOM) else other
        after = dataclasses.replace(before, numvfs=draw(_COUNTS) or 0)
        change = counts(subject, before, after)
        if before.numvfs != after.numvfs:
            lost = st.dictionaries(
                _SUBJECTS, st.builds(State, _DRIVERS), max_size=2
            )
            change = dataclasses.replace(change, lost=draw(lost))
    if draw(_SELDOM):
        steps = (*change.steps, draw(_STEPS))
        change = dataclasses.replace(change, steps=steps)
    if draw(_SELDOM):
        pf = draw(st.sampled_from((None, PF, NIC)))
        change = dataclasses.replace(change, pf=pf)
    return change


@st.composite
def _journals(draw: st.DrawFn) -> list[Data]:
    """Some changes, begun by one command or other, and what became of each."""
    entries: list[Data] = []
    for number, change in enumerate(
        draw(st.lists(_changes(), min_size=1, max_size=4)), 1
    ):
        purpose = draw(st.sampled_from(("apply", "apply", "restore")))
        entries.append(begin(change, number) | {"purpose": purpose})
        step = {"number": number, "why": "forged"}
        for kind in draw(st.sampled_from(((), ("begun",), ("begun", "hung")))):
            if change.steps:
                done = draw(st.sampled_from(change.steps))
                entries.append(step | {"kind": kind, "step": done.as_data()})
        outcome = draw(st.sampled_from((None, "done", "done", "undone")))
        if outcome is not None:
            entries.append(end(number, outcome))
    return entries


_WRITES = re.compile(
    rf"sys/bus/pci/(?:drivers_probe b'(?:{PF}|0000:21:1[01]\.\d|{NIC}|{OTHER})'"
    rf"|devices/(?P<at>{PF}|0000:21:1[01]\.\d|{NIC}|{OTHER})"
    rf"/(?:driver/unbind b'(?P=at)'"
    r"|driver_override b'(?:[A-Za-z0-9][\w.+-]{0,63})?\\n')"
    rf"|devices/{PF}/(?:sriov_numvfs b'[0-7]'"
    r"|sriov_drivers_autoprobe b'[01]'))"
)


class ForgedTest(ForgedCase):
    def test_only_what_a_plan_could_name_is_written(self) -> None:
        """Whatever the journal says, and each refusal is one line."""
        reached = set()

        @hypothesis.settings(deadline=None, max_examples=80)
        @hypothesis.given(_journals(), st.sampled_from(("", NIC, VF)))
        def check(entries: list[Data], only: str) -> None:
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                root = pathlib.Path(folder)
                shutil.copytree(
                    self.folder / "host", root / "host", symlinks=True
                )
                self.host = fake_host.FakeHost(root / "host")
                self.state = root / "state"
                self.forge(*entries)
                reached.update(self.written_by(only))

        check()
        # It isn't all refused, whichever examples were drawn.
        self.assertNotEqual(set(), reached)

    def written_by(self, only: str) -> set[str]:
        """Run all that goes by the journal; the names of what is written."""
        self.loaded.clear()
        names = [pci_address.PciAddress.parse(only)] if only else []
        before = len(self.host.written)
        for work in (
            recover.recover,
            lambda actor: undoing.put_back(actor, tell=True),
            lambda actor: undoing.restore(actor, names),
            lambda actor: undoing.take_back(actor, [NIC, VF, BRIDGE]),
            lambda actor: apply.apply(
                actor, plan_case.specs(plan_case.FOUR_VFS)
            ),
        ):
            try:
                actor = self.actor()
            except exception.JournalError as error:
                self.assertIn("is garbled in line", str(error))
                break
            try:
                work(actor)
            except exception.VfioVariantError as error:
                self.assertNotIn("\n", str(error))
            actor.journal.close()
            for told in self.told.failures:
                self.assertNotIn("\n", told)
            for judged in self.told.judgements:
                self.assertNotIn("\n", judged.reason)
                if judged.verdict is judgement.Verdict.LEAVE:
                    # What was begun of it failed in the kernel.
                    self.assertTrue(
                        judged.change not in self.begun
                        or judged.reason.startswith(judged.change.subject),
                        judged.reason,
                    )
        written = self.host.written[before:]
        for line in written:
            self.assertRegex(line, _WRITES)
        self.assertLessEqual(set(self.loaded), {"igbvf_vfio_pci", "vfio_pci"})
        return {line.split(" ")[0].rpartition("/")[2] for line in written}
