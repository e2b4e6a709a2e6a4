# SPDX-License-Identifier: Apache-2.0
"""What is to be done so that VFs have their vGPU types, or why nothing is."""

import errno
import os

from nova_vfio_variant import source
from nova_vfio_variant.host import vgpu
from nova_vfio_variant.host.act import executor, sysfs_writer
from nova_vfio_variant.host.decide import (
    codes,
    host_spec,
    plan,
    plausible,
    vgpu_reasons,
)
from nova_vfio_variant.host.observe import function_state, vgpu_card
from nova_vfio_variant.pci import address as pci_address
from tests import base
from tests.unit.host import vgpu_case

UUID = "11111111-1111-4111-8111-111111111111"


class WritingTest(vgpu_case.VgpuCase):
    def test_a_type_is_set_and_read_back(self) -> None:
        found = self.decided({0: "471"})
        (step,) = found.plan.steps
        self.assertEqual("471", executor.do(self.host.writer(), step))
        self.assertEqual([], self.steps(self.decided({0: "471"})))

    def test_only_ids_of_types_reach_the_file(self) -> None:
        writer = self.host.writer()
        for wrong in ("", "-1", "0471", "none", "471\n", "1" * 11):
            self.assertRaises(
                ValueError, writer.set_vgpu_type, vgpu_case.VFS[0], wrong
            )

    def test_what_has_no_folder_is_given_none(self) -> None:
        writer = sysfs_writer.of_directory(str(self.host.root))
        error = self.assertRaises(
            OSError, writer.set_vgpu_type, vgpu_case.PF, "471"
        )
        self.assertEqual(errno.ENOENT, error.errno)

    def test_the_state_of_a_vf_has_its_type(self) -> None:
        self.set(0, "471")
        vf = vgpu_case.VFS[0]
        now = function_state.state_now(self.host.tree, vf)
        assert now is not None
        self.assertEqual("471", now.vgpu_type)
        seen = self.facts().states
        self.assertEqual(now, seen[pci_address.PciAddress.parse(vf)])
        self.assertIsNone(
            seen[pci_address.PciAddress.parse(vgpu_case.PF)].vgpu_type
        )

    def test_who_writes_for_others_looks_for_himself(self) -> None:
        self.set(0, "471")
        step = plan.Step(
            vgpu_case.VFS[0],
            plan.Action.SET_VGPU_TYPE,
            "0",
            "471",
            "",
            provider="vendor_vfio",
        )
        self.assertEqual((), plausible.of_step(step, self.facts()))
        self.host.hold(vgpu_case.VFS[0])
        (reason,) = plausible.of_step(step, self.facts())
        self.assertEqual(codes.IS_OPEN, reason.code)


class OrderTest(vgpu_case.VgpuCase):
    def test_frees_come_first_and_sets_are_decided_anew_then(self) -> None:
        self.set(0, "471")
        self.set(1, "471")
        self.assertEqual(
            [
                ".4 set-vgpu-type 0",
                ".5 set-vgpu-type 0",
                ".4 set-vgpu-type 470?",
                ".5 set-vgpu-type 470?",
            ],
            self.steps(self.decided({0: "470", 1: "470"})),
        )

    def test_one_alone_goes_from_type_to_type_as_a_whole(self) -> None:
        self.set(0, "471")
        found = self.decided({0: "473"})
        self.assertEqual(
            [".4 set-vgpu-type 0", ".4 set-vgpu-type 473"], self.steps(found)
        )
        self.assertEqual(1, len(found.plan.changes))

    def test_what_is_there_stays(self) -> None:
        self.set(0, "471")
        self.assertEqual(
            [".5 set-vgpu-type 472"],
            self.steps(self.decided({0: "471", 1: "472"})),
        )


class MixedTest(vgpu_case.VgpuCase):
    def test_the_largest_framebuffer_comes_first(self) -> None:
        way = vgpu.named("vendor_vfio")
        way.set_heterogeneous(self.host.writer(), vgpu_case.PF, True)
        found = self.declared(
            '{"address": "0000:41:00.4", "vgpu_type": "470"}',
            '{"address": "0000:41:00.5", "vgpu_type": "471"}',
        )
        self.assertEqual(
            [".5 set-vgpu-type 471", ".4 set-vgpu-type 470"],
            self.steps(found),
        )


class RefusalTest(vgpu_case.VgpuCase):
    def test_whoever_has_it_open_is_named(self) -> None:
        self.set(0, "471")
        pid = self.host.hold(vgpu_case.VFS[0])
        (why,) = self.refused(self.decided({0: "0"}))
        self.assertIn(str(pid), why)
        self.assertIn("qemu", why)

    def test_a_claim_and_a_quarantine_keep_it(self) -> None:
        vf = pci_address.PciAddress.parse(vgpu_case.VFS[0])
        for records, said in (
            ({"owners": {vf: UUID}}, UUID),
            ({"quarantined": {vf: "a write hung"}}, "a write hung"),
        ):
            (why,) = self.refused(self.decided({0: "471"}, **records))
            self.assertIn(said, why)

    def test_unseen_processes_keep_it(self) -> None:
        (self.host.root / "proc/1").rename(self.host.root / "proc/gone")
        (why,) = self.refused(self.decided({0: "471"}))
        self.assertIn("/proc", why)

    def test_nothing_is_freed_where_one_can_not_be_set(self) -> None:
        self.set(0, "471")
        why = self.refused(self.decided({0: "0", 1: "999"}))
        self.assertEqual(1, len(why))
        self.assertIn("VFIO563", why[0])

    def test_a_full_card_is_told(self) -> None:
        self.set(0, "473")
        (why,) = self.refused(self.decided({1: "473"}))
        self.assertIn("VFIO564 0000:41:00.5 it is not offered", why)
        self.assertIn("the card is full", why)

    def test_another_size_is_told_with_what_is_offered(self) -> None:
        self.set(0, "471")
        found = self.decided({1: "470"})
        (why,) = self.refused(found)
        self.assertIn("VFIO564", why)
        self.assertIn("NVIDIA A16-8A (472)", found.refusals[0].hint or "")

    def test_a_pf_has_no_type(self) -> None:
        found = self.declared(
            '{"address": "0000:41:00.0", "vgpu_type": "471"}'
        )
        (why,) = self.refused(found)
        self.assertIn("VFIO571 0000:41:00.0", why)

    def test_such_a_vf_goes_to_no_other_driver(self) -> None:
        self.host.add_driver("vfio-pci", vfio=True)
        found = self.declared(
            '{"address": "0000:41:00.4", "driver": "vfio-pci"}'
        )
        (why,) = self.refused(found)
        self.assertIn("VFIO572 0000:41:00.4", why)

    def test_nor_is_it_given_back_to_the_driver_that_it_has(self) -> None:
        found = self.declared('{"address": "0000:41:00.4", "driver": "host"}')
        self.assertEqual([], self.steps(found))


class DeclaredTest(vgpu_case.VgpuCase):
    def test_counts_are_laid_in_order_of_address(self) -> None:
        found = self.declared(
            '{"address": "0000:41:00.0", "vgpu_types": {"A16-4Q": 2}}'
        )
        self.assertEqual(
            [".4 set-vgpu-type 470", ".5 set-vgpu-type 470"],
            self.steps(found),
        )
        self.assertEqual(
            {"470": 2, "0": 2},
            {
                type_id: [*found.vgpus.values()].count(type_id)
                for type_id in found.vgpus.values()
            },
        )

    def test_a_mode_is_set_before_the_first_type(self) -> None:
        self.set(0, "471")
        text = (
            '{"address": "0000:41:00.0", "heterogeneous": true,'
            ' "vgpu_types": {"A16-8Q": 1, "A16-4Q": 1}}'
        )
        self.assertEqual(
            [
                ".4 set-vgpu-type 0",
                ".0 set-heterogeneous 1?",
                ".4 set-vgpu-type 471?",
                ".5 set-vgpu-type 470?",
            ],
            self.steps(self.declared(text)),
        )

    def test_types_of_vfs_to_come_are_expected(self) -> None:
        self.host.write(
            f"sys/bus/pci/devices/{vgpu_case.PF}/sriov_numvfs", b"0"
        )
        found = self.declared(
            '{"address": "0000:41:00.0", "num_vfs": 4}',
            '{"address": "0000:41:00.5", "vgpu_type": "NVIDIA A16-4Q"}',
        )
        self.assertEqual(
            [".0 set-numvfs 4", ".5 set-vgpu-type 470?"],
            self.steps(found),
        )

    def test_a_type_of_another_card_has_its_place(self) -> None:
        found = self.declared(
            '{"address": "0000:41:00.0", "vgpu_types": {"L40S-4Q": 2}}'
        )
        (wrong,) = found.findings
        self.assertEqual(codes.NO_SUCH_VGPU_TYPE, wrong.code)
        assert wrong.location is not None
        self.assertEqual(1, wrong.location.line)

    def test_a_card_and_its_vf_at_once_is_a_conflict(self) -> None:
        found = self.declared(
            '{"address": "0000:41:00.0", "vgpu_types": {"A16-4Q": 2}}',
            '{"address": "0000:41:00.5", "vgpu_type": "A16-4Q"}',
        )
        self.assertEqual(
            [codes.HOST_SPEC_CONFLICT],
            [wrong.code for wrong in found.findings],
        )

    def test_none_takes_a_type_away(self) -> None:
        self.set(0, "471")
        found = self.declared(
            '{"address": "0000:41:00.4", "vgpu_type": "none"}'
        )
        self.assertEqual([".4 set-vgpu-type 0"], self.steps(found))


class ReasonTest(vgpu_case.VgpuCase):
    def why(self, number: int, type_id: str, before: vgpu_card.Card) -> str:
        vf = vgpu_case.VFS[number]
        after = vgpu_card.look(
            self.host.tree, pci_address.PciAddress.parse(vf)
        )
        step = plan.Step(vf, plan.Action.SET_VGPU_TYPE, type_id, "0", "")
        return vgpu_reasons.why(step, os.strerror(errno.EIO), before, after)

    def test_it_is_found_by_what_changed_of_the_card(self) -> None:
        before = vgpu_card.look(
            self.host.tree, pci_address.PciAddress.parse(vgpu_case.VFS[1])
        )
        assert before is not None
        self.assertIn("it is offered still", self.why(1, "473", before))
        self.set(0, "473")
        why = self.why(1, "473", before)
        self.assertIn("0000:41:00.4 has 473 in place of 0 meanwhile", why)
        self.assertIn("it is offered no more: the card is full", why)
        self.assertTrue(why.startswith(os.strerror(errno.EIO)))

    def test_a_folder_that_is_gone_is_told(self) -> None:
        before = vgpu_card.look(
            self.host.tree, pci_address.PciAddress.parse(vgpu_case.VFS[1])
        )
        assert before is not None
        self.host.writer().unbind(vgpu_case.VFS[1])
        self.assertIn("folder is gone", self.why(1, "473", before))


class TextTest(base.TestCase):
    def wrong(self, text: str) -> list[str]:
        _, found = host_spec.parse_host_specs(
            [source.SourceText.of(text, "host_spec", "vfio")]
        )
        return [f"{wrong.code.id} {wrong.message}" for wrong in found]

    def test_each_value_is_of_its_kind(self) -> None:
        at = '{"address": "0000:41:00.0", '
        for value, said in (
            ('"vgpu_type": 471}', "vgpu_type is a number"),
            ('"vgpu_type": ""}', "vgpu_type is ''"),
            ('"vgpu_types": ["471"]}', "vgpu_types is a list"),
            ('"vgpu_types": {"471": true}}', "has a boolean of 471"),
            ('"vgpu_types": {"471": -1}}', "has -1 of 471"),
            ('"vgpu_types": {"none": 1}}', "names 'none'"),
            ('"heterogeneous": 3}', "heterogeneous"),
        ):
            found = self.wrong(at + value)
            self.assertEqual(1, len(found), "; ".join(found))
            self.assertIn(said, found[0])

    def test_a_pf_and_its_vfs_are_not_one_entry(self) -> None:
        at = '{"address": "0000:41:00.0", '
        for value in (
            '"vgpu_type": "471", "num_vfs": 4}',
            '"vgpu_type": "471", "vgpu_types": {"471": 1}}',
            '"driver": "vfio-pci", "heterogeneous": true}',
            '"driver": "vfio-pci", "vgpu_type": "471"}',
        ):
            (said,) = self.wrong(at + value)
            self.assertIn("one entry", said)
