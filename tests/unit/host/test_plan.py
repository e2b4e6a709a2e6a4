# SPDX-License-Identifier: Apache-2.0
"""What is planned for a host, and that planning writes nothing."""

import os
import shutil

from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address as pci_address
from tests import driverctl
from tests.unit.host.plan_case import (
    FOUR_VFS,
    NIC,
    ON_VFIO,
    OTHER,
    PF,
    VF,
    PlanCase,
)


class PlanTest(PlanCase):
    def test_nothing_is_planned_for_nothing(self) -> None:
        self.assertEqual([], self.steps())

    def test_vfs_are_made_without_drivers_of_the_host(self) -> None:
        found = self.decision(FOUR_VFS, ON_VFIO)
        self.assertEqual(
            [
                f"{PF} set-autoprobe 0",
                f"{PF} set-numvfs 4",
                f"{PF} set-autoprobe 1",
            ],
            [str(step) for step in found.plan.changes[0].steps],
        )
        # They aren't there yet, and the plan shows them all the same.
        later = found.plan.changes[1:]
        self.assertEqual(
            [VF, "0000:21:10.2", "0000:21:10.4", "0000:21:10.6"],
            [change.subject for change in later],
        )
        self.assertEqual({True}, {change.expected for change in later})
        self.assertEqual(found.plan.changes[:1], found.plan.ready)
        self.assertEqual(
            [f"{VF} set-override vfio-pci", f"{VF} probe vfio-pci"],
            [str(step) for step in later[0].steps],
        )

    def test_vfs_that_nobody_names_get_the_kernels_choice(self) -> None:
        self.assertEqual([f"{PF} set-numvfs 4"], self.steps(FOUR_VFS))
        one = '{"address": "0000:21:10.0", "driver": "vfio-pci"}'
        change = self.decision(FOUR_VFS, one).plan.changes[0]
        self.assertEqual(
            ["0000:21:10.2 probe", "0000:21:10.4 probe", "0000:21:10.6 probe"],
            [str(step) for step in change.steps[3:]],
        )

    def test_some_vfs_become_others_by_way_of_none(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        change = self.decision(FOUR_VFS).plan.changes[0]
        self.assertEqual(
            [f"{PF} set-numvfs 0", f"{PF} set-numvfs 4"],
            [str(step) for step in change.steps],
        )
        self.assertEqual(
            {
                VF: function_state.State("igbvf"),
                "0000:21:10.2": function_state.State("igbvf"),
            },
            change.lost,
        )

    def test_the_deadline_grows_with_the_number_of_vfs(self) -> None:
        four = self.decision(FOUR_VFS).plan.steps[0].deadline
        seven = (
            self.decision('{"address": "0000:21:00.0", "num_vfs": 7}')
            .plan.steps[0]
            .deadline
        )
        self.assertEqual(6, seven - four)

    def test_a_vf_is_taken_from_its_driver_by_an_override(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        self.assertEqual(
            [
                f"{VF} set-override vfio-pci",
                f"{VF} unbind",
                f"{VF} probe vfio-pci",
            ],
            self.steps(ON_VFIO),
        )

    def test_what_is_as_declared_needs_nothing_though_it_is_in_use(
        self,
    ) -> None:
        self.host.writer().set_numvfs(PF, 4)
        self.host.writer().set_override(VF, "vfio-pci")
        self.host.writer().unbind(VF)
        self.host.writer().probe(VF)
        self.owners[pci_address.PciAddress.parse(VF)] = "x"
        self.assertEqual(
            [],
            self.steps(
                FOUR_VFS, '{"address": "0000:21:10.0", "driver": "vfio-pci"}'
            ),
        )

    def test_a_variant_driver_is_loaded_and_named_by_its_driver(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        text = ON_VFIO.replace("vfio-pci", "variant")
        found = self.decision(text)
        self.assertEqual(
            [plan.What.MODULE, plan.What.DRIVER],
            [change.what for change in found.plan.changes],
        )
        self.assertTrue(found.plan.changes[1].expected)
        # The driver's name may differ from the module's.
        (self.host.root / "sys/bus/pci/drivers/igbvf-vfio-pci").mkdir()
        self.assertIn(f"{VF} probe igbvf-vfio-pci", self.steps(text))

    def test_companions_are_unbound_and_never_bound(self) -> None:
        self.assertEqual(
            [
                f"{OTHER} unbind",
                f"{NIC} set-override vfio-pci",
                f"{NIC} unbind",
                f"{NIC} probe vfio-pci",
            ],
            self.steps(
                '{"address": "0000:31:01.0", "driver": "vfio-pci",'
                ' "companions": ["0000:31:02.0"]}'
            ),
        )

    def test_a_companion_that_is_a_pf_has_to_be_allowed(self) -> None:
        other, pf = "0000:51:00.1", "0000:51:00.0"
        self.host.add(pf, "8086:10c9", group=30, vfs=7, vf_device="10ca")
        self.host.add(other, "8086:100e", group=30)
        text = (
            f'{{"address": "{other}", "driver": "vfio-pci",'
            f' "companions": ["{pf}"]}}'
        )
        [found] = self.decision(text).refusals
        self.assertEqual(
            (host_codes.PF_NOT_ALLOWED, pf), (found.code, found.subject)
        )
        allowed = text.replace("]}", '], "allow_pf": true}')
        self.assertEqual(f"{pf} unbind", self.steps(allowed)[0])
        self.host.writer().set_numvfs(pf, 1)
        [found] = self.decision(allowed).refusals
        self.assertEqual(
            (host_codes.VFS_IN_USE, pf), (found.code, found.subject)
        )

    def test_members_that_all_go_to_vfio_need_no_companions(self) -> None:
        steps = self.steps('{"address": "0000:31:*.0", "driver": "vfio-pci"}')
        self.assertEqual(6, len(steps))

    def test_a_function_is_left_to_the_kernel(self) -> None:
        text = '{"address": "0000:31:01.0", "driver": "host"}'
        self.assertEqual([], self.steps(text))
        self.host.writer().set_override(NIC, "vfio-pci")
        self.host.writer().unbind(NIC)
        self.host.writer().probe(NIC)
        self.assertEqual(
            [f"{NIC} clear-override", f"{NIC} unbind", f"{NIC} probe"],
            self.steps(text),
        )

    def test_only_limits_what_is_touched_and_what_refuses(self) -> None:
        found = self.decision(
            FOUR_VFS,
            '{"address": "0000:31:01.0", "driver": "vfio-pci"}',
            only=(PF,),
        )
        self.assertEqual((), found.refusals)
        self.assertEqual(
            [PF], [change.subject for change in found.plan.changes]
        )

    def test_each_step_says_how_it_is_undone(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        text = '{"address": "0000:21:10.0", "driver": "variant"}'
        self.assertEqual(
            [
                "none: the module stays loaded",
                "clear-override",
                "bind igbvf",
                "unbind",
            ],
            [step.undo for step in self.decision(text).plan.steps],
        )


class FindingTest(PlanCase):
    def found(self, *texts: str) -> list[object]:
        return [finding.code for finding in self.decision(*texts).findings]

    def test_a_function_that_is_not_there(self) -> None:
        self.assertEqual(
            [host_codes.HOST_SPEC_ABSENT],
            self.found('{"address": "0000:99:00.0", "driver": "vfio-pci"}'),
        )
        self.assertEqual([host_codes.HOST_SPEC_ABSENT], self.found(ON_VFIO))
        self.assertEqual([], self.found(ON_VFIO, FOUR_VFS))

    def test_a_companion_that_is_not_there(self) -> None:
        self.assertEqual(
            [host_codes.HOST_SPEC_ABSENT],
            self.found(
                '{"address": "0000:31:01.0", "driver": "host",'
                ' "companions": ["0000:99:00.0"]}'
            ),
        )

    def test_entries_that_disagree(self) -> None:
        self.assertEqual(
            [host_codes.HOST_SPEC_CONFLICT],
            self.found(FOUR_VFS, FOUR_VFS.replace("4", "5")),
        )
        self.assertEqual(
            [host_codes.HOST_SPEC_CONFLICT],
            self.found(FOUR_VFS, ON_VFIO, ON_VFIO.replace("vfio-pci", "host")),
        )
        self.assertEqual([], self.found(FOUR_VFS, FOUR_VFS, ON_VFIO, ON_VFIO))

    def test_a_driver_that_does_not_exist(self) -> None:
        self.assertEqual(
            [host_codes.NO_SUCH_DRIVER],
            self.found(FOUR_VFS, ON_VFIO.replace("vfio-pci", "vfoi-pci")),
        )

    def test_a_module_that_is_made_for_no_function_here(self) -> None:
        for module, ids in (("dccp", []), ("mlx5_core", ["15b3:1017"])):
            self.host._kernel.can_load(module, ids)
            self.assertEqual(
                [host_codes.NO_SUCH_DRIVER],
                self.found(FOUR_VFS, ON_VFIO.replace("vfio-pci", module)),
            )
        for module, ids in (("uio_pci_generic", []), ("xe", ["8086:56c0"])):
            self.host._kernel.can_load(module, ids)
            self.assertEqual(
                [], self.found(FOUR_VFS, ON_VFIO.replace("vfio-pci", module))
            )


class RefusalTest(PlanCase):
    def test_more_vfs_than_there_can_be(self) -> None:
        self.refused(
            host_codes.TOO_MANY_VFS,
            PF,
            '{"address": "0000:21:00.0", "num_vfs": 8}',
        )

    def test_vfs_of_what_is_no_pf(self) -> None:
        self.refused(
            host_codes.NOT_A_PF,
            NIC,
            '{"address": "0000:31:01.0", "num_vfs": 1}',
        )

    def test_vfs_of_a_pf_that_is_on_vfio_pci(self) -> None:
        self.host.writer().set_override(PF, "vfio-pci")
        self.host.writer().unbind(PF)
        self.refused(host_codes.PF_WITHOUT_DRIVER, PF, FOUR_VFS)
        self.host.writer().probe(PF)
        self.refused(host_codes.PF_WITHOUT_DRIVER, PF, FOUR_VFS)

    def test_another_number_of_vfs_while_one_is_claimed_or_open(self) -> None:
        self.host.writer().set_numvfs(PF, 2)
        self.owners[pci_address.PciAddress.parse(VF)] = "x"
        self.refused(host_codes.VFS_IN_USE, PF, FOUR_VFS)
        self.owners.clear()
        self.assertEqual(2, len(self.steps(FOUR_VFS)))
        self.open_file(self.vf_group())
        self.refused(host_codes.VFS_IN_USE, PF, FOUR_VFS)

    def test_a_pf_that_nobody_gave_away(self) -> None:
        text = '{"address": "0000:21:00.0", "driver": "vfio-pci"}'
        self.refused(host_codes.PF_NOT_ALLOWED, PF, text)
        allowed = text.replace("}", ', "allow_pf": true}')
        self.assertEqual(3, len(self.steps(allowed)))
        self.host.writer().set_numvfs(PF, 1)
        self.refused(host_codes.VFS_IN_USE, PF, allowed)

    def test_a_pf_with_vfs_that_is_left_to_the_kernel(self) -> None:
        text = '{"address": "0000:21:00.0", "driver": "host"}'
        self.pf_on_vfio()
        self.refused(host_codes.VFS_IN_USE, PF, text)
        # Whoever has the PF says what opens its VFs.
        token = "a0b1c2d3-0000-4000-8000-00000000abcd"
        self.host.let_go(self.host.hold(PF, token=token))
        pid = self.host.hold(VF, token=token)
        found = [refusal.message for refusal in self.decision(text).refusals]
        self.assertIn("it has 2 VFs, which go when it loses its driver", found)
        self.assertIn(f"is open in process {pid} (", found[1])
        self.host.let_go(pid)
        hint = self.decision(text).refusals[0].hint
        driverctl.paste(self.host, hint)
        self.assertEqual([], self.steps(text))

    def pf_on_vfio(self) -> None:
        """A PF whose VFs vfio-pci made."""
        self.host.write("sys/module/vfio_pci/parameters/enable_sriov", b"1")
        writer = self.host.writer()
        writer.set_override(PF, "vfio-pci")
        writer.unbind(PF)
        writer.probe(PF)
        writer.set_autoprobe(PF, False)
        writer.set_numvfs(PF, 2)
        writer.set_override(VF, "vfio-pci")
        writer.probe(VF)

    def test_a_group_with_others_in_it(self) -> None:
        text = '{"address": "0000:31:01.0", "driver": "vfio-pci"}'
        self.refused(host_codes.GROUP_COMPANIONS, NIC, text)
        self.host.writer().unbind(OTHER)
        self.assertEqual(3, len(self.steps(text)))

    def test_a_claimed_function_stays_on_its_vfio_driver(self) -> None:
        writer = self.host.writer()
        writer.set_numvfs(PF, 1)
        writer.set_override(VF, "vfio-pci")
        writer.unbind(VF)
        writer.probe(VF)
        self.owners[pci_address.PciAddress.parse(VF)] = "x"
        for driver in ("variant", "igbvf", "host"):
            self.refused(
                host_codes.IS_CLAIMED, VF, ON_VFIO.replace("vfio-pci", driver)
            )

    def test_a_claimed_function_comes_to_a_vfio_driver(self) -> None:
        # As after a reboot.
        self.owners[pci_address.PciAddress.parse(VF)] = "x"
        self.assertEqual(11, len(self.steps(FOUR_VFS, ON_VFIO)))
        self.host.writer().set_numvfs(PF, 1)
        self.assertEqual(3, len(self.steps(ON_VFIO)))
        self.host.writer().unbind(VF)
        self.assertEqual(2, len(self.steps(ON_VFIO)))
        self.refused(
            host_codes.IS_CLAIMED, VF, ON_VFIO.replace("vfio-pci", "igbvf")
        )

    def test_what_speaks_against_a_vf_is_known_before_it_is_made(self) -> None:
        vf = pci_address.PciAddress.parse(VF)
        self.owners[vf] = "x"
        self.refused(
            host_codes.IS_CLAIMED,
            VF,
            FOUR_VFS,
            ON_VFIO.replace("vfio-pci", "igbvf"),
        )
        self.quarantined[vf] = "it hung"
        self.refused(host_codes.IS_QUARANTINED, VF, FOUR_VFS, ON_VFIO)

    def test_a_quarantined_function_comes_to_no_driver(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        self.host.writer().unbind(VF)
        self.quarantined[pci_address.PciAddress.parse(VF)] = "it hung"
        self.refused(host_codes.IS_QUARANTINED, VF, ON_VFIO)

    def test_an_override_that_could_not_be_put_back_is_left_alone(
        self,
    ) -> None:
        self.host.writer().set_numvfs(PF, 1)
        place = self.host.root / paths.DEVICES / VF / "driver_override"
        for override in (b"caf\xe9\n", b"two words\n", b"x" * 65 + b"\n"):
            place.write_bytes(override)
            self.refused(host_codes.NOT_PUT_BACK, VF, ON_VFIO)
            hint = self.decision(ON_VFIO).refusals[0].hint
            self.refused(
                host_codes.NOT_PUT_BACK,
                VF,
                ON_VFIO.replace("vfio-pci", "host"),
            )
            # Nor does it go with the others of its PF.
            self.refused(host_codes.VFS_IN_USE, PF, FOUR_VFS)
            driverctl.paste(self.host, hint)
            self.steps(ON_VFIO)
        place.write_bytes(b"nobody\n")
        self.steps(ON_VFIO)

    def test_so_is_a_driver_that_could_not_be(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        place = self.host.root / paths.DEVICES / VF / "driver"
        place.unlink(missing_ok=True)
        os.symlink(b"../../../bus/pci/drivers/caf\xe9", place)
        self.refused(host_codes.NOT_PUT_BACK, VF, ON_VFIO)

    def test_a_module_with_no_name_of_one_is_made_for_nothing(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        release = self.host.tree.read_text("proc/sys/kernel/osrelease")
        place = self.host.root / f"lib/modules/{release}/modules.alias"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(
            b"alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
            b"alias vfio_pci:v00008086d*sv*sd*bc*sc*i* caf\xe9\n"
        )
        self.assertIn(
            f"{VF} probe vfio-pci",
            self.steps(ON_VFIO.replace("vfio-pci", "variant")),
        )

    def test_an_open_function_is_refused_and_its_holder_named(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        self.open_file(self.vf_group())
        self.refused(host_codes.IS_OPEN, VF, ON_VFIO)
        [found] = self.decision(ON_VFIO).refusals
        self.assertEqual(
            f"{self.vf_group()} is open in process 7 (qemu)", found.message
        )

    def test_processes_that_cannot_be_looked_into(self) -> None:
        self.host.writer().set_numvfs(PF, 1)
        # A file in its place: not a directory, whoever asks.
        self.put("proc/7/fd")
        self.refused(host_codes.NOT_KNOWN, VF, ON_VFIO)

    def test_no_iommu(self) -> None:
        for place in (self.host.root / "sys/devices").rglob("iommu_group"):
            place.unlink()
        self.refused(
            host_codes.NOT_IN_A_GROUP,
            NIC,
            '{"address": "0000:31:01.0", "driver": "vfio-pci"}',
        )

    def test_no_vfio_pci(self) -> None:
        shutil.rmtree(self.host.root / "sys/bus/pci/drivers/vfio-pci")
        self.put("lib/modules/6.12/modules.dep", "k/igbvf_vfio_pci.ko:\n")
        self.put(
            "lib/modules/6.12/modules.alias",
            "alias vfio_pci:v00008086d* igbvf_vfio_pci\n",
        )
        self.refused(
            host_codes.VFIO_MISSING,
            NIC,
            '{"address": "0000:31:*.0", "driver": "igbvf_vfio_pci"}',
        )

    def test_nothing_is_made_for_it(self) -> None:
        self.put("lib/modules/6.12/modules.alias")
        self.refused(
            host_codes.NO_VARIANT,
            NIC,
            '{"address": "0000:31:*.0", "driver": "variant"}',
        )

    def test_a_bridge_whatever_its_driver_is_to_be(self) -> None:
        self.host.add_driver("pci-stub")
        for address, kind in (
            ("0000:20:00.0", 0x0604),
            ("0000:00:00.0", 0x0600),
        ):
            self.host.add(address, "8086:3420", class_code=kind << 8)
            text = f'{{"address": "{address}", "driver": "vfio-pci"}}'
            for word in ("vfio-pci", "variant", "pci-stub", "igbvf"):
                self.refused(
                    host_codes.IS_BRIDGE,
                    address,
                    text.replace("vfio-pci", word),
                )
            # As it is it may stay.
            self.assertEqual([], self.steps(text.replace("vfio-pci", "host")))

    def test_a_bridge_that_somebody_took_away(self) -> None:
        address = "0000:20:00.0"
        self.host.add(address, "8086:3420", class_code=0x060400)
        self.host.write(
            f"{paths.DEVICES}/{address}/driver_override", b"pci-stub\n"
        )
        self.refused(
            host_codes.IS_BRIDGE,
            address,
            f'{{"address": "{address}", "driver": "host"}}',
        )

    def vf_group(self) -> str:
        """The group file of the first VF."""
        group = self.host.tree.readlink(f"{paths.DEVICES}/{VF}/iommu_group")
        return f"/dev/vfio/{str(group).rpartition('/')[2]}"

    def open_file(self, path: str) -> None:
        """Process 7 opens it."""
        self.put("proc/7/comm", "qemu\n")
        (self.host.root / "proc/7/fd").mkdir()
        (self.host.root / "proc/7/fd/3").symlink_to(path)
