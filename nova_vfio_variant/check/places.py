# SPDX-License-Identifier: Apache-2.0
"""How to write where functions of a host sit, as ``address`` takes it."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import pattern


def of(
    functions: ty.Iterable[host_function.PciFunction],
) -> ty.Iterator[str | dict[str, str]]:
    """Addresses that take these functions and nothing else.

    Slots of one bus in which the same functions are meant share a regular
    expression.
    """
    slots: dict[tuple[int, int], dict[int, str]] = {}
    for seen in sorted(functions, key=lambda function: function.address):
        at = seen.address
        of_bus = slots.setdefault((at.domain, at.bus), {})
        of_bus[at.slot] = of_bus.get(at.slot, "") + f"{at.function:x}"
    for (domain, bus), of_bus in slots.items():
        alike: dict[str, list[str]] = {}
        for slot, digits in of_bus.items():
            alike.setdefault(digits, []).append(f"{slot:02x}")
        for digits, texts in alike.items():
            if len(digits) == len(texts) == 1:
                yield f"{domain:04x}:{bus:02x}:{texts[0]}.{digits}"
                continue
            by_first: dict[str, str] = {}
            for text in texts:
                by_first[text[0]] = by_first.get(text[0], "") + text[1]
            yield {
                "domain": f"{domain:04x}",
                "bus": f"{bus:02x}",
                "slot": "|".join(
                    first + _set(last) for first, last in by_first.items()
                ),
                "function": _set(digits),
            }


def alone(at: pci_address.PciAddress) -> dict[str, str]:
    """An address that takes a PF and none of its VFs.

    A PF whose address is written in full stands for its VFs as well, and a
    regular expression that isn't digits alone is no such address.
    """
    fields = pattern.texts(at)
    return fields | {"function": f"[{fields['function']}]"}


def _set(digits: str) -> str:
    """A set of hex digits, in rising order, as a regular expression."""
    if len(digits) == 1:
        return digits
    every = "0123456789abcdef"
    shown = ""
    at = 0
    while at < len(digits):
        run = at
        while (
            run + 1 < len(digits)
            and digits[at : run + 2] in every
            and digits[run].isdigit()
            == digits[at].isdigit()
            == digits[run + 1].isdigit()
        ):
            run += 1
        shown += digits[at] if run == at else f"{digits[at]}-{digits[run]}"
        at = run + 1
    return f"[{shown}]"
