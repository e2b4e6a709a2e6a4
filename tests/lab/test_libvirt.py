# SPDX-License-Identifier: Apache-2.0
"""libvirt takes what we prepared, and refuses what we said it would."""

import pathlib

from tests.behaviour.host import PF, VFS
from tests.behaviour.preparing_case import FOUR, PreparingCase
from tests.lab import libvirt

#: One VF each: on its host driver, on vfio-pci, on its variant driver, and
#: one that libvirt is to bind.
PLAIN, ON_VFIO, ON_VARIANT, MANAGED = VFS[:4]
_SPEC = (
    'device_spec = {{"address": "{}", "managed": "{}",'
    ' "resource_class": "CUSTOM_VF"}}\n'
)
_PCI = (
    "[pci]\n"
    + "".join(_SPEC.format(one, "no") for one in (PLAIN, ON_VFIO, ON_VARIANT))
    + _SPEC.format(MANAGED, "yes")
    + 'alias = {"name": "vf", "device_type": "type-VF",'
    ' "resource_class": "CUSTOM_VF"}\nreport_in_placement = true\n'
    "[filter_scheduler]\npci_in_placement = true\n"
)


class LibvirtTest(PreparingCase):
    def setUp(self) -> None:
        super().setUp()
        libvirt.start()

    def domain(self, address: str) -> str:
        """Define a domain and attach a function to it, as we say it.

        :returns: its name
        """
        name = f"with-{address.replace(':', '-')}"
        xml = self.folder / f"{name}.xml"
        xml.write_text(
            libvirt.DOMAIN.format(name=name, console=self.console(name))
        )
        self.virsh("define", str(xml))
        self.addCleanup(libvirt.virsh, "undefine", name)
        # Status 1 where nobody has prepared it, which libvirt is to say too.
        ran = self.run_command(
            *("guest", "xml", "--address", address),
            *("--output-dir", str(self.folder / "xml")),
        )
        self.assertIn(ran.status, (0, 1), ran.err)
        file = self.folder / f"xml/{address}.xml"
        self.virsh("attach-device", name, str(file), "--config")
        self.assertIn("<hostdev", self.virsh("dumpxml", name))
        return name

    def console(self, name: str) -> pathlib.Path:
        """What a domain writes."""
        return self.folder / f"{name}.log"

    def virsh(self, *words: str) -> str:
        """Run it, and it succeeds."""
        ran = libvirt.virsh(*words)
        self.assertEqual(0, ran.returncode, ran.stdout)
        return ran.stdout

    def prepare(self) -> None:
        """A host on which each VF is in another state."""
        self.apply(
            FOUR,
            f'{{"address": "{ON_VFIO}", "driver": "vfio-pci"}}',
            f'{{"address": "{ON_VARIANT}", "driver": "variant"}}',
            more=_PCI,
        )
        self.done("device", "sync")

    def test_libvirt_does_what_config_check_says_and_a_guest_boots(
        self,
    ) -> None:
        self.prepare()
        found = self.run_command("config", "check", "-f", "json").rows
        refused = {
            row["subject"] for row in found if "will refuse" in row["message"]
        }
        self.assertEqual({PLAIN}, refused)
        names = {
            address: self.domain(address)
            for address in (PLAIN, ON_VFIO, MANAGED)
        }
        for address in (PLAIN, ON_VFIO):
            ran = libvirt.virsh("start", "--paused", names[address])
            if address in refused:
                self.assertNotEqual(0, ran.returncode)
                self.assertIn("must be manually detached", ran.stdout)
                continue
            self.assertEqual(0, ran.returncode, ran.stdout)
            self.virsh("destroy", names[address])
            # Not libvirt's to give back.
            self.assertEqual("vfio-pci", self.driver(address))
        self.assertEqual("igbvf", self.driver(MANAGED))
        self.virsh("start", "--paused", names[MANAGED])
        # What is made for the function, if libvirt sees that there is.
        self.assertIn(self.driver(MANAGED), ("vfio-pci", "igbvf_vfio_pci"))
        self.virsh("destroy", names[MANAGED])
        self.eventually(lambda: self.driver(MANAGED) == "igbvf")
        self.boot()
        self.restore()
        self.assertEqual([], self.vfs(PF))

    def boot(self) -> None:
        """A guest sees its VF, and keeps it as long as it runs."""
        name = self.domain(ON_VARIANT)
        self.virsh("start", name)
        said = self.console(name)
        self.eventually(lambda: "DOMAIN-READY" in said.read_text())
        self.assertRegex(said.read_text(), r"DOMAIN-PCI \S+ 8086:10ca")
        for words in (("restore",), ("restore", ON_VARIANT)):
            told = self.run_command("host", *words)
            self.assertEqual(2, told.status)
            self.assertIn("is open in process", told.err)
        self.virsh("destroy", name)
        self.assertEqual("igbvf_vfio_pci", self.driver(ON_VARIANT))
