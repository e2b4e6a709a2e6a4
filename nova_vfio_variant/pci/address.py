# SPDX-License-Identifier: Apache-2.0
"""Where a PCI function sits, and patterns over such places."""

from __future__ import annotations

import dataclasses
import re

#: With no zero in front of a domain that has more digits than four: another
#: text for the same address could be taken for another device.
_ADDRESS = re.compile(
    r"(0[0-9a-fA-F]{3}|[1-9a-fA-F][0-9a-fA-F]{3,7})"
    r":([0-9a-fA-F]{2}):([01][0-9a-fA-F])\.([0-7])"
)


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class PciAddress:
    """Where a PCI function sits: ``domain:bus:slot.function``.

    The kernel prints at least four hex digits of domain and more when it has
    to (VMD domains start at 0x10000), so the domain is never cut or padded
    to a fixed width.

    :param domain: 0 to 0xffffffff
    :param bus: 0 to 0xff
    :param slot: 0 to 0x1f
    :param function: 0 to 7
    """

    domain: int
    bus: int
    slot: int
    function: int

    @classmethod
    def parse(cls, text: str) -> PciAddress:
        """Read an address as the kernel prints it.

        :raises ValueError: the text is no full PCI address
        """
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text!r} is no PCI address such as 0000:25:00.4"
            )
        domain, bus, slot, number = found.groups()
        return cls(int(domain, 16), int(bus, 16), int(slot, 16), int(number))

    def __str__(self) -> str:
        return (
            f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function}"
        )
