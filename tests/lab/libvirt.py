# SPDX-License-Identifier: Apache-2.0
"""libvirt in the guest."""

import pathlib
import subprocess
import typing as ty

#: Its name, and where its serial line goes, are left open.
DOMAIN: ty.Final = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/boot/domain</kernel>
  </os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/>
    <controller type='pci' model='pcie-root'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <memballoon model='none'/>
    <serial type='file'><source path='{console}'/></serial>
  </devices>
</domain>
"""


def virsh(*words: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    return subprocess.run(
        ["virsh", "-q", *words],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start() -> None:
    """Start its daemons, if no test has."""
    script = pathlib.Path(__file__).parent / "guest/libvirt.sh"
    subprocess.run(["sh", str(script)], check=True, stdout=subprocess.DEVNULL)
