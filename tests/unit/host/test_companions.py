# SPDX-License-Identifier: Apache-2.0
"""Which members of a group are in the way, and what is said of them."""

from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import facts, scanner
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address as pci_address
from tests import driverctl
from tests.unit.host import plan_case
from tests.unit.host.plan_case import NIC, OTHER, PF, VF

THIRD = "0000:31:03.0"
ENTRY = f'{{"address": "{NIC}", "driver": "vfio-pci"}}'


class CompanionsTest(plan_case.PlanCase):
    def bind(self, address: str, driver: str = "vfio-pci") -> None:
        writer = self.host.writer()
        writer.set_override(address, driver)
        writer.unbind(address)
        writer.probe(address)

    def hints(self, *texts: str) -> list[tuple[str, str]]:
        """Who is in the way, and what is to be done."""
        found = self.decision(*texts)
        self.assertEqual((), found.plan.changes)
        self.assertEqual(
            {host_codes.GROUP_COMPANIONS},
            {refusal.code for refusal in found.refusals},
        )
        return [
            (refusal.message.partition(" ")[0], str(refusal.hint))
            for refusal in found.refusals
        ]

    def test_bound_already_it_is_refused_as_before(self) -> None:
        before = self.hints(ENTRY)
        self.assertEqual(
            [(OTHER, f'add "companions": ["{OTHER}"] to have them unbound')],
            before,
        )
        self.bind(NIC)
        self.assertEqual(before, self.hints(ENTRY))
        # And once they are named they are unbound.
        text = ENTRY.replace("}", f', "companions": ["{OTHER}"]}}')
        self.assertEqual([f"{OTHER} unbind"], self.steps(text))
        self.host.writer().unbind(OTHER)
        self.assertEqual([], self.steps(text))
        self.assertEqual([], self.steps(ENTRY))

    def test_all_that_are_in_the_way_are_named_at_once(self) -> None:
        self.host.add(THIRD, "8086:100e", group=2)
        both = f'"companions": ["{OTHER}", "{THIRD}"]'
        self.assertEqual(
            [
                (OTHER, f"add {both} to have them unbound"),
                (THIRD, f"add {both} to have them unbound"),
            ],
            self.hints(ENTRY),
        )
        some = ENTRY.replace("}", f', "companions": ["{OTHER}"]}}')
        ((who, hint),) = self.hints(some)
        self.assertEqual(THIRD, who)
        self.assertIn(f"in place of its companions write {both} to", hint)

    def test_each_entry_has_companions_of_its_own(self) -> None:
        here, there = "0000:32:01.0", "0000:32:02.0"
        self.host.add(here, "8086:100e", group=7)
        self.host.add(there, "8086:100e", group=7)
        self.assertEqual(
            [
                (OTHER, f'add "companions": ["{OTHER}"] to have them unbound'),
                (there, f'add "companions": ["{there}"] to have them unbound'),
            ],
            self.hints(ENTRY, ENTRY.replace(NIC, here)),
        )

    def test_a_member_that_goes_to_the_hosts_driver_is_in_the_way(
        self,
    ) -> None:
        mate = f'{{"address": "{OTHER}", "driver": "WORD"}}'
        for word in ("e1000", "igbvf"):
            self.refused(
                host_codes.GROUP_COMPANIONS,
                NIC,
                ENTRY,
                mate.replace("WORD", word),
            )
        self.host.add_driver("pci-stub")
        for word in ("vfio-pci", "pci-stub"):
            self.assertEqual(
                6, len(self.steps(ENTRY, mate.replace("WORD", word)))
            )

    def test_a_bridge_is_no_companion_but_taken_from_its_driver(self) -> None:
        bridge = "0000:31:00.0"
        self.host.add_driver("odd", ["8086:3420"])
        self.host.add(
            bridge, "8086:3420", class_code=0x060400, group=2, driver="odd"
        )
        self.bind(OTHER)
        (found,) = self.hints(ENTRY)
        self.assertEqual(bridge, found[0])
        self.assertNotIn("companions", found[1])
        self.assertNotIn("card", found[1])
        # Named all the same it is not unbound.
        text = ENTRY.replace("}", f', "companions": ["{bridge}"]}}')
        self.assertNotIn(
            f"{bridge} unbind",
            [str(step) for step in self.decision(text).plan.steps],
        )
        # What the hint says helps.
        driverctl.paste(self.host, found[1])
        self.assertEqual(3, len(self.steps(ENTRY)))

    def test_a_host_bridge_is_named_as_nobodys_companion(self) -> None:
        bridge = "0000:31:00.0"
        self.host.add_driver("odd", ["8086:3420"])
        self.host.add(
            bridge, "8086:3420", class_code=0x060000, group=2, driver="odd"
        )
        hints = dict(self.hints(ENTRY))
        self.assertEqual(
            f'add "companions": ["{OTHER}"] to have them unbound', hints[OTHER]
        )

    def test_an_isa_bridge_is_a_function_like_any_other(self) -> None:
        isa = "0000:31:1f.0"
        self.host.add_driver("lpc_ich", ["8086:3421"])
        self.host.add(isa, "8086:3421", class_code=0x060100, group=2)
        self.bind(OTHER)
        ((_, hint),) = self.hints(ENTRY)
        self.assertIn(f'"companions": ["{isa}"]', hint)

    def test_a_companion_that_is_a_pf_has_to_be_allowed(self) -> None:
        pf = "0000:51:00.0"
        self.host.add(pf, "8086:10c9", group=2, vfs=7, vf_device="10ca")
        self.bind(OTHER)
        ((_, hint),) = self.hints(ENTRY)
        self.assertIn(f'"companions": ["{pf}"] and "allow_pf": true', hint)
        text = ENTRY.replace("}", f', "companions": ["{pf}"]}}')
        self.refused(host_codes.PF_NOT_ALLOWED, pf, text)
        allowed = text.replace("]}", '], "allow_pf": true}')
        self.assertEqual(f"{pf} unbind", self.steps(allowed)[0])

    def test_a_vf_whose_pf_is_on_a_vfio_driver(self) -> None:
        writer = self.host.writer()
        self.host.write("sys/module/vfio_pci/parameters/enable_sriov", b"1")
        self.bind(PF)
        writer.set_numvfs(PF, 1)
        self.refused(host_codes.VF_TOKEN, VF, plan_case.ON_VFIO)
        writer.set_override(VF, "vfio-pci")
        if writer.driver(VF):
            writer.unbind(VF)
        writer.probe(VF)
        self.refused(host_codes.VF_TOKEN, VF, plan_case.ON_VFIO)
        now = facts.gather(scanner.scan(self.host.tree))
        vf = now.scan.get(pci_address.PciAddress.parse(VF))
        assert vf is not None
        (found,) = assignability.verdict(vf, now).obstacles
        self.assertEqual(host_codes.VF_TOKEN, found.code)
        self.assertIn(f"its PF {PF} is on vfio-pci", found.message)


class VgpuTest(plan_case.PlanCase):
    """A VF that has a vGPU type is never taken from its driver."""

    def setUp(self) -> None:
        super().setUp()
        self.host.writer().set_numvfs(PF, 2)

    def give_type(self, text: str, address: str = VF) -> None:
        self.put(f"{paths.DEVICES}/{address}/nvidia/current_vgpu_type", text)

    def test_neither_it_nor_its_pf_is_touched(self) -> None:
        for_host = plan_case.ON_VFIO.replace("vfio-pci", "e1000")
        self.give_type("470\n")
        for text in (plan_case.ON_VFIO, for_host):
            self.refused(host_codes.VGPU_DRIVER, VF, text)
        self.refused(host_codes.VFS_IN_USE, PF, plan_case.FOUR_VFS)
        (found,) = self.decision(plan_case.FOUR_VFS).refusals
        self.assertIn(f"VF {VF} would go with the others", found.message)
        self.assertIn("vGPU type 470", found.message)
        # Its neighbour may go.
        other = '{"address": "0000:21:10.2", "driver": "vfio-pci"}'
        self.assertEqual(3, len(self.steps(other)))

    def test_as_a_companion_it_is_not_touched_either(self) -> None:
        mate = "0000:52:00.0"
        group = self.host.tree.readlink(f"{paths.DEVICES}/{VF}/iommu_group")
        self.host.add(
            mate, "8086:100e", group=int(str(group).rpartition("/")[2])
        )
        self.give_type("470\n")
        self.refused(
            host_codes.HAS_VGPU_TYPE,
            VF,
            f'{{"address": "{mate}", "driver": "vfio-pci",'
            f' "companions": ["{VF}"]}}',
        )

    def test_without_a_type_it_is_like_any_other(self) -> None:
        self.give_type("0\n")
        self.assertEqual(2, len(self.steps(plan_case.FOUR_VFS)))

    def test_a_type_that_can_not_be_read_counts_as_one(self) -> None:
        self.give_type("")
        self.refused(host_codes.VGPU_DRIVER, VF, plan_case.ON_VFIO)

    def test_where_it_is_it_is_no_obstacle_to_a_guest(self) -> None:
        self.give_type("470\n")
        now = facts.gather(scanner.scan(self.host.tree))
        vf = now.scan.get(pci_address.PciAddress.parse(VF))
        assert vf is not None
        self.assertNotIn(
            host_codes.HAS_VGPU_TYPE,
            [
                obstacle.code
                for obstacle in assignability.verdict(vf, now).obstacles
            ],
        )


class ProgramTest(plan_case.PlanCase):
    CARD = "0000:25:00.0"
    ENTRY = f'{{"address": "{CARD}", "num_vfs": 3}}'

    def test_a_vendors_program_that_is_missing_is_seen_beforehand(
        self,
    ) -> None:
        self.host.add_driver("nvidia", ["10de:25b6"], makes_vfs=True)
        self.host.add(self.CARD, "10de:25b6", vfs=3, class_code=0x030200)
        self.refused(host_codes.PROVIDER_REFUSES, self.CARD, self.ENTRY)
        (found,) = self.decision(self.ENTRY).refusals
        self.assertIn(
            "sriov-manage is in none of /usr/lib/nvidia", found.message
        )
        self.put("usr/lib/nvidia/sriov-manage", "#!/bin/sh\n")
        self.assertEqual(1, len(self.steps(self.ENTRY)))
