# SPDX-License-Identifier: Apache-2.0
"""Hosts are prepared and taken back; nothing else of them changes."""

import os
import pathlib
import re
import shlex

from tests.behaviour.case import on_the_fake_alone
from tests.behaviour.host import (
    BRIDGE,
    DEVICES,
    DISPLAY,
    EDU,
    EDU_TOO,
    NIC,
    NIC_TOO,
    NVME,
    PF,
    ROOT_PORT,
    VF,
    VFS,
    VIRTIO,
)
from tests.behaviour.preparing_case import (
    EDUS,
    FOUR,
    PAIR,
    VFIO,
    PreparingCase,
    contents,
)

VARIANT = VFIO.replace("vfio-pci", "variant")
VIRTIO_VARIANT = f'{{"address": "{VIRTIO}", "driver": "variant"}}'
THE_PF = f'{{"address": "{PF}", "driver": "vfio-pci", "allow_pf": true}}'
_UNIT = (
    pathlib.Path(__file__).parents[2] / "etc/systemd/nova-vfio-host.service"
)


class SriovTest(PreparingCase):
    def test_vfs_of_an_igb_come_and_go(self) -> None:
        self.assertEqual([f"{PF} set-numvfs 4"], self.apply(FOUR))
        self.assertEqual(list(VFS[:4]), self.vfs(PF))
        self.eventually(lambda: self.driver(VFS[3]) == "igbvf")
        self.apply(FOUR.replace("4", "7"))
        self.assertEqual(7, len(self.vfs(PF)))
        self.restore()
        self.assert_as_before()

    def test_vfs_of_an_nvme_are_bound_without_its_driver_seeing_them(
        self,
    ) -> None:
        steps = self.apply(
            f'{{"address": "{NVME}", "num_vfs": 3}}',
            *(
                f'{{"address": "0000:22:00.{n}", "driver": "vfio-pci"}}'
                for n in (1, 2, 3)
            ),
        )
        self.assertEqual(f"{NVME} set-autoprobe 0", steps[0])
        self.assertEqual(
            ["vfio-pci"] * 3, [self.driver(vf) for vf in self.vfs(NVME)]
        )
        self.restore()
        self.assert_as_before()

    def test_vfs_on_vfio_pci_stay_as_long_as_they_are_open(self) -> None:
        self.apply(FOUR, VFIO)
        for vf in VFS[:4]:
            self.assertEqual("vfio-pci", self.driver(vf))
            self.assertEqual("vfio-pci", self.attribute(vf, "driver_override"))
        self.assertEqual("1", self.attribute(PF, "sriov_drivers_autoprobe"))
        pid = self.host.hold(VF)
        for words in (("host", "restore"), ("host", "restore", VF)):
            ran = self.run_command(*words)
            self.assertEqual(2, ran.status)
            self.assertIn(f"is open in process {pid} (", ran.err)
        self.assertEqual("vfio-pci", self.driver(VF))
        self.host.let_go(pid)
        self.restore(VF)
        self.assertIsNone(self.attribute_or_none(VF))
        self.assertEqual("vfio-pci", self.driver(VFS[1]))
        self.restore()
        self.assert_as_before()

    def attribute_or_none(self, vf: str) -> str | None:
        """Its override."""
        text = self.attribute(vf, "driver_override")
        return None if text == "(null)" else text

    def test_a_pf_goes_to_vfio_pci_only_if_it_is_allowed_to(self) -> None:
        said = self.refusal(THE_PF.replace(', "allow_pf": true', ""))
        self.assertIn(f"error: {PF}: it is a PF", said)
        self.apply(THE_PF)
        self.assertEqual("vfio-pci", self.driver(PF))
        self.restore()
        self.assert_as_before()

    @on_the_fake_alone
    def test_more_vfs_than_there_can_be_are_refused(self) -> None:
        said = self.refusal(FOUR.replace("4", "8"), VFIO)
        self.assertIn("8 VFs are asked for, and it can have 7", said)


class VariantDriverTest(PreparingCase):
    def test_config_check_finds_nothing_on_variant_drivers(self) -> None:
        pci = (
            "[pci]\n"
            'device_spec = {"address": "0000:21:*.*", "product_id": "10ca",'
            ' "vendor_id": "8086", "managed": "no",'
            ' "resource_class": "CUSTOM_VF"}\n'
            f'device_spec = {{"address": "{VIRTIO}", "managed": "no",'
            ' "resource_class": "CUSTOM_NET"}\n'
            'alias = {"name": "vf", "device_type": "type-VF",'
            ' "resource_class": "CUSTOM_VF"}\n'
            'alias = {"name": "net", "device_type": "type-PCI",'
            ' "resource_class": "CUSTOM_NET"}\n'
            "report_in_placement = true\n"
            "[filter_scheduler]\npci_in_placement = true\n"
        )
        self.declare(FOUR, VARIANT, VIRTIO_VARIANT, more=pci)
        ran = self.run_command("config", "check", "-f", "json")
        self.assertNotEqual([], ran.rows)
        steps = self.apply(FOUR, VARIANT, VIRTIO_VARIANT, more=pci)
        self.assertIn(f"{VF} probe igbvf_vfio_pci", steps)
        for name, driver in (
            (VF, "igbvf_vfio_pci"),
            (VIRTIO, "virtio_vfio_pci"),
        ):
            self.assertEqual(driver, self.driver(name))
            self.assertEqual(
                1, len(self.host.names(f"{DEVICES}/{name}/vfio-dev"))
            )
        self.host.let_go(self.host.hold(VF))
        self.assertEqual(
            (0, "[]\n", ""), self.run_command("config", "check", "-f", "json")
        )
        # And on a recording of the host as it is now.
        recording = self.snapshot()
        ran = self.run_command(
            "--host-root", str(recording), "config", "check", "-f", "json"
        )
        self.assertEqual((0, "[]\n", ""), ran)
        ran = self.run_command(
            "--host-root", str(recording), "host", "list", "-f", "json"
        )
        self.assertEqual(
            {VIRTIO: "virtio_vfio_pci"}
            | dict.fromkeys(VFS[:4], "igbvf_vfio_pci"),
            {
                row["address"]: row["vfio_driver"]
                for row in ran.rows
                if row["vfio_driver"] and row["physfn"] in (PF, None)
            },
        )
        out = os.environ.get("LAB_OUT")
        if out:
            (pathlib.Path(out) / "variant-drivers.tar.gz").write_bytes(
                recording.read_bytes()
            )
        self.restore()
        self.assert_as_before()


class GroupTest(PreparingCase):
    def test_a_group_with_a_bridge_needs_its_companion_named(self) -> None:
        said = self.refusal(PAIR.partition(', "comp')[0] + "}")
        self.assertIn(f"{NIC_TOO} is in IOMMU group", said)
        steps = self.apply(PAIR)
        self.assertEqual(f"{NIC_TOO} unbind", steps[0])
        self.assertEqual("vfio-pci", self.driver(NIC))
        self.assertIsNone(self.driver(NIC_TOO))
        self.assertIsNone(self.driver(BRIDGE))
        # It can be given to a guest now.
        self.host.let_go(self.host.hold(NIC))
        self.restore()
        self.assert_as_before()

    def test_both_of_a_group_without_a_bridge(self) -> None:
        self.apply(*EDUS)
        self.host.let_go(self.host.hold(EDU_TOO))
        self.restore()
        self.assertIsNone(self.driver(EDU))
        self.assert_as_before()

    def test_prior_driver_and_override_come_back_together(self) -> None:
        self.unbind(NIC_TOO)
        self.set_attribute(NIC_TOO, "driver_override", "nobody")
        self.set_attribute(NIC, "driver_override", "nobody-too")
        self.before = contents(self.host.root)
        self.apply(PAIR)
        self.assertEqual("vfio-pci", self.attribute(NIC, "driver_override"))
        self.restore()
        self.assertEqual("e1000", self.driver(NIC))
        self.assert_as_before()


class RefusalTest(PreparingCase):
    def test_what_the_host_needs_is_not_taken(self) -> None:
        said = self.refusal(
            f'{{"address": "{ROOT_PORT}", "driver": "vfio-pci"}}'
        )
        self.assertIn(f"{ROOT_PORT}: it is a bridge", said)
        said = self.refusal(
            f'{{"address": "{DISPLAY}", "driver": "vfio-pci"}}'
        )
        self.assertIn("connector", said)

    def test_nothing_is_in_the_way_of_a_disk_that_nobody_uses(self) -> None:
        """With NVMe's own multipath it is listed with a hidden path."""
        self.assertTrue(self.host.exists("sys/class/block/nvme0c0n1"))
        self.declare(
            f'{{"address": "{NVME}", "driver": "vfio-pci", "allow_pf": true}}'
        )
        ran = self.run_command("host", "plan", "-f", "json")
        self.assertEqual(1, ran.status, ran.err)
        self.assertIn(NVME, [row["subject"] for row in ran.rows])

    @on_the_fake_alone
    def test_entries_that_fit_nothing_change_nothing(self) -> None:
        said = self.refusal(
            '{"address": "0000:99:00.0", "driver": "vfio-pci"}',
            FOUR,
            FOUR.replace("4", "5"),
            f'{{"address": "{EDU}", "driver": "nobody"}}',
        )
        for part in (
            "0000:99:00.0",
            "num_vfs of 0000:21:00.0 is 5 here and 4 at",
            "is named 'nobody'",
        ):
            self.assertIn(part, said)

    def test_what_an_instance_has_stays_and_comes_back_after_a_reboot(
        self,
    ) -> None:
        more = (
            "[pci]\n"
            'device_spec = {"address": "0000:21:*.*", "vendor_id": "8086",'
            ' "product_id": "10ca"}\n'
            f'device_spec = {{"address": "{NIC}"}}\n'
            'alias = {"name": "vf", "device_type": "type-VF",'
            ' "vendor_id": "8086", "product_id": "10ca"}\n'
            'alias = {"name": "nic", "vendor_id": "8086",'
            ' "product_id": "100e"}\n'
        )
        self.apply(FOUR, VFIO, PAIR, more=more)
        self.done("device", "sync")
        name = "11111111-2222-4333-8444-555555555555"
        wanted = ("--instance", name, "--alias", "vf:2,nic:1")
        self.done("claim", "create", *wanted)
        to_host = f'{{"address": "{NIC}", "driver": "host"}}'
        for entries, words in (
            ((to_host,), ("apply",)),
            ((FOUR.replace("4", "5"), VFIO, PAIR), ("apply",)),
            ((), ("restore",)),
            ((), ("restore", NIC)),
        )[: 1 if self.host.is_slow else None]:
            self.declare(*entries, more=more)
            ran = self.run_command("host", *words)
            self.assertEqual(2, ran.status)
            self.assertIn(f"instance {name} has it", ran.err)
        # What a reboot undoes, as far as that can be had without one.
        self.set_attribute(PF, "sriov_numvfs", "0")
        self.bind(NIC, "e1000")
        self.set_attribute(NIC, "driver_override", "")
        self.apply(FOUR, VFIO, PAIR, more=more)
        for address in (*VFS[:4], NIC):
            self.assertEqual("vfio-pci", self.driver(address))
        self.done("claim", "delete", name)
        self.restore()
        self.assert_as_before()


class BootTest(PreparingCase):
    """The commands of the unit, in the order in which systemd runs them."""

    def commands(self, setting: str) -> list[list[str]]:
        """The words of a setting's command, its program left out."""
        text = _UNIT.read_text().replace("\\\n", "")
        [line] = re.findall(rf"^{setting}=(.*)$", text, re.MULTILINE)
        found = [shlex.split(line)]
        if found[0][0] == "/bin/sh":
            found = [
                shlex.split(one.removeprefix("exec "))
                for one in re.findall(r"exec [^;]*", found[0][2])
            ]
        for words in found:
            self.assertEqual("nova-vfio", words.pop(0))
            words.remove("$NOVA_VFIO_ARGS")
        return found

    @on_the_fake_alone
    def test_start_prepares_the_host_and_stop_gives_it_back(self) -> None:
        """In the lab systemd itself does: ``tests/lab/test_unit.py``."""
        self.declare(FOUR, VFIO, PAIR)
        for words in self.commands("ExecStart"):
            self.done(*words)
        self.assertEqual("vfio-pci", self.driver(VFS[3]))
        # Started again it finds nothing to do.
        for words in self.commands("ExecStart"):
            self.assertEqual("", self.done(*words).out.strip())
        for words in self.commands("ExecStop"):
            self.done(*words)
        self.assert_as_before()

    def test_it_comes_before_what_uses_the_devices(self) -> None:
        text = _UNIT.read_text()
        for name in ("nova-compute", "libvirtd", "virtqemud"):
            self.assertRegex(text, rf"(?m)^Before=.*\b{name}\.service")
        self.assertIn("Type=oneshot\nRemainAfterExit=yes\n", text)
        drop_in = _UNIT.parent / "nova-compute.service.d/nova-vfio-host.conf"
        self.assertIn(
            "Requires=nova-vfio-host.service\nAfter=nova-vfio-host.service",
            drop_in.read_text(),
        )
