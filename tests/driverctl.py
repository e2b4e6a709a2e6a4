# SPDX-License-Identifier: Apache-2.0
"""What driverctl does to a host, for hints that name it."""

import re

from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.testing import fake_host

_COMMAND = re.compile(
    r"driverctl (?:set-override ([0-9a-f:.]+) (none)"
    r"|unset-override ([0-9a-f:.]+))(?![^\s;,.])"
)


def paste(host: fake_host.FakeHost, hint: str | None) -> None:
    """Run the command of a hint, step by step as driverctl 0.111 does.

    It unbinds the device, writes its driver_override, and has a driver looked
    for unless that is ``none``.

    :raises AssertionError: the hint has none
    """
    found = _COMMAND.search(hint or "")
    assert found is not None, hint
    address, word = found[1] or found[3], found[2] or ""
    link = host.root / paths.DEVICES / address / "driver"
    if link.exists():
        driver = link.readlink().name
        host.write(f"sys/bus/pci/drivers/{driver}/unbind", address.encode())
    host.write(
        f"{paths.DEVICES}/{address}/driver_override", f"{word}\n".encode()
    )
    if not word:
        host.write("sys/bus/pci/drivers_probe", address.encode())
