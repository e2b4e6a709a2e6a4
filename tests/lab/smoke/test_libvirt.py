# SPDX-License-Identifier: Apache-2.0
"""The guest's libvirt works, and a domain of its own sees a VF."""

import pathlib
import time

from tests import base
from tests.lab import guest

_DOMAIN = """
<domain type='qemu'>
  <name>lab</name>
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
    <hostdev mode='subsystem' type='pci' managed='no'>
      <source>
        <address domain='0x{domain}' bus='0x{bus}' slot='0x{slot}'
                 function='0x{function}'/>
      </source>
      <rom bar='off'/>
    </hostdev>
  </devices>
</domain>
"""

#: Seconds that a domain, emulated inside an emulation, may take to boot.
_BOOT_SECONDS = 300


class LibvirtTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        script = pathlib.Path(guest.__file__).parent / "libvirt.sh"
        self.version = guest.call("sh", str(script))

    def test_the_daemon_answers_and_knows_its_qemu(self) -> None:
        self.assertIn("Running hypervisor: QEMU ", self.version)

    def test_a_domain_boots_with_a_vf_on_a_variant_driver(self) -> None:
        guest.call("modprobe", "igbvf_vfio_pci")
        pf = guest.bound("igb")[0]
        guest.write(pf / "sriov_numvfs", "1")
        self.addCleanup(guest.write, pf / "sriov_numvfs", "0")
        vf = (pf / "virtfn0").resolve()
        guest.bind(vf, "igbvf_vfio_pci")

        console = pathlib.Path("/tmp/domain.log")
        domain, bus, rest = vf.name.split(":")
        slot, function = rest.split(".")
        xml = pathlib.Path("/tmp/domain.xml")
        xml.write_text(
            _DOMAIN.format(
                console=console,
                domain=domain,
                bus=bus,
                slot=slot,
                function=function,
            ),
            encoding="utf-8",
        )
        guest.call("virsh", "create", str(xml))
        self.addCleanup(guest.call, "virsh", "destroy", "lab")
        end = time.monotonic() + _BOOT_SECONDS
        while time.monotonic() < end:
            if "DOMAIN-READY" in console.read_text(encoding="utf-8"):
                break
            time.sleep(2)
        self.assertRegex(
            console.read_text(encoding="utf-8"), r"DOMAIN-PCI \S+ 8086:10ca"
        )
        self.assertEqual("igbvf_vfio_pci", guest.driver(vf))
