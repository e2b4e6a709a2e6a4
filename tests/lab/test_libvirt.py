# SPDX-License-Identifier: Apache-2.0
"""libvirt takes what we prepared, and refuses what we said it would.

The first test runs before all others of the lab, the second one after them:
it takes minutes to boot a guest in an emulation inside an emulation.
"""

import pathlib
import subprocess
import time

from tests.behaviour import real
from tests.behaviour.host import PF, VFS
from tests.behaviour.test_preparing import FOUR, PreparingCase

#: One VF each: on its host driver, on vfio-pci, and one that libvirt is to
#: bind.
PLAIN, ON_VFIO, MANAGED = VFS[:3]
#: One on its variant driver, of the other igb: a guest boots with it.
BOOTED_PF = "0000:41:00.0"
BOOTED = "0000:41:10.0"
_KEPT = pathlib.Path("/var/tmp/lab")
_SPEC = (
    'device_spec = {{"address": "{}", "managed": "{}",'
    ' "resource_class": "CUSTOM_VF"}}\n'
)
_PCI = (
    "[pci]\n"
    + "".join(_SPEC.format(one, "no") for one in (PLAIN, ON_VFIO, BOOTED))
    + _SPEC.format(MANAGED, "yes")
    + 'alias = {"name": "vf", "device_type": "type-VF",'
    ' "resource_class": "CUSTOM_VF"}\nreport_in_placement = true\n'
    "[filter_scheduler]\npci_in_placement = true\n"
)
_SPECS = (
    FOUR.replace("4", "3"),
    f'{{"address": "{BOOTED_PF}", "num_vfs": 1}}',
    f'{{"address": "{ON_VFIO}", "driver": "vfio-pci"}}',
    f'{{"address": "{BOOTED}", "driver": "variant"}}',
)
_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/boot/vmlinux</kernel>
    <initrd>/boot/domain-initrd</initrd>
    <cmdline>console=ttyS0 quiet cryptomgr.notests lsm=</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='{console}'/></serial>
  </devices>
</domain>
"""
#: Seconds that a domain, emulated inside an emulation, may take to boot.
_BOOT = 400


def virsh(*words: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    return subprocess.run(
        ["virsh", "-q", *words],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class LibvirtTest(PreparingCase):
    """One host on which each VF is in another state."""

    def setUp(self) -> None:
        super().setUp()
        _KEPT.mkdir(parents=True, exist_ok=True)
        script = pathlib.Path(__file__).parent / "guest/libvirt.sh"
        subprocess.run(
            ["sh", str(script)], check=True, stdout=subprocess.DEVNULL
        )

    def domain(self, address: str) -> str:
        """Define a domain and attach a function to it, as we say it.

        :returns: its name
        """
        name = f"with-{address.replace(':', '-')}"
        xml = self.folder / f"{name}.xml"
        xml.write_text(
            _DOMAIN.format(name=name, console=f"{_KEPT}/{name}.log")
        )
        self.virsh("define", str(xml))
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

    def virsh(self, *words: str) -> str:
        """Run it, and it succeeds."""
        ran = virsh(*words)
        self.assertEqual(0, ran.returncode, ran.stdout)
        return ran.stdout

    def test_1_libvirt_does_what_config_check_says(self) -> None:
        # Kept for the test that comes last.
        self.state = _KEPT / "state"
        self.apply(*_SPECS, more=_PCI)
        self.done("device", "sync")
        found = self.run_command("config", "check", "-f", "json").rows
        refused = {
            row["subject"] for row in found if "will refuse" in row["message"]
        }
        self.assertEqual({PLAIN}, refused)
        names = {
            address: self.domain(address)
            for address in (PLAIN, ON_VFIO, MANAGED, BOOTED)
        }
        for address in (PLAIN, ON_VFIO):
            ran = virsh("start", "--paused", names[address])
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
        # This one boots while the other tests run.
        self.virsh("start", names[BOOTED])
        real.Real.kept.add(BOOTED_PF)
        told = self.run_command("host", "restore")
        self.assertEqual(2, told.status)
        self.assertIn("is open in process", told.err)
        self.restore(PF)
        self.assertEqual([], self.vfs(PF))
        # What the others begin with is a host that has this guest.
        self.booted.clear()

    def test_2_the_guest_that_booted_meanwhile_sees_its_vf(self) -> None:
        self.state = _KEPT / "state"
        self.assertEqual("igbvf_vfio_pci", self.driver(BOOTED))
        name = f"with-{BOOTED.replace(':', '-')}"
        self.assert_sees_its_vf(name)
        self.virsh("destroy", name)
        self.assertEqual("igbvf_vfio_pci", self.driver(BOOTED))
        self.restore()
        self.assertEqual([], self.vfs(BOOTED_PF))
        real.Real.kept.clear()
        self.booted.clear()

    def assert_sees_its_vf(self, name: str) -> None:
        """A domain boots and lists the VF on its own bus."""
        console = _KEPT / f"{name}.log"
        end = time.monotonic() + _BOOT
        while "DOMAIN-READY" not in console.read_text():
            self.assertLess(time.monotonic(), end, console.read_text()[-2000:])
            time.sleep(1)
        self.assertRegex(console.read_text(), r"DOMAIN-PCI \S+ 8086:10ca")
