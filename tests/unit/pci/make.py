# SPDX-License-Identifier: Apache-2.0
"""Functions, devices and texts in as few words as a test can bear."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from nova_vfio_variant import finding, source
from nova_vfio_variant.pci import address, alias_parse, function, parse, spec
from nova_vfio_variant.tracker import device


def at(text: str) -> address.PciAddress:
    """An address; the domain may be left out."""
    return address.PciAddress.parse(
        text if text.count(":") == 2 else f"0000:{text}"
    )


def pci(place: str, ids: str = "10de:25b6", **facts: Any) -> Any:
    """A function as observed; ``physfn`` may be a text."""
    vendor_id, product_id = ids.split(":")
    if isinstance(facts.get("physfn"), str):
        facts["physfn"] = at(facts["physfn"])
    return function.PciFunction(
        at(place), vendor_id, product_id, 0x030200, **facts
    )


def card(bus: str, vfs: int, ids: str = "10de:25b6") -> list[Any]:
    """A PF and its VFs, in rising order of address."""
    pf = f"{bus}:00.0"
    found = [pci(pf, "10de:2235", sriov_totalvfs=max(vfs, 1))]
    for number in range(vfs):
        slot, rest = divmod(number + 4, 8)
        found.append(pci(f"{bus}:{slot:02x}.{rest}", ids, physfn=pf))
    return found


def tracked(one: Any, **facts: Any) -> device.Device:
    """A function as a tracked device."""
    made = device.Device(
        address=one.address,
        vendor_id=one.vendor_id,
        product_id=one.product_id,
        dev_type=one.dev_type,
        numa_node=one.numa_node,
        parent_addr=one.physfn,
        resource_class="CUSTOM_X",
    )
    return dataclasses.replace(made, **facts)


def specs(*texts: str) -> tuple[spec.DeviceSpec, ...]:
    """Entries of which nothing is wrong."""
    made, findings = read(*texts)
    assert not findings, findings
    return made


def read(
    *texts: str,
) -> tuple[tuple[spec.DeviceSpec, ...], tuple[finding.Finding, ...]]:
    """Entries and findings of device_spec values."""
    return parse.parse_device_specs([source.SourceText.of(t) for t in texts])


def read_aliases(
    *texts: str, in_placement: bool = True
) -> tuple[alias_parse.Aliases, tuple[finding.Finding, ...]]:
    """Aliases and findings of alias values."""
    return alias_parse.parse_aliases(
        [source.SourceText.of(t, option="alias") for t in texts],
        in_placement=in_placement,
    )


def seen(
    findings: Sequence[finding.Finding],
) -> list[tuple[str, str]]:
    """Each finding's code, and the piece of the line that it is about."""
    told = []
    for problem in findings:
        assert problem.location is not None
        assert problem.line is not None
        start = problem.location.column - 1
        told.append(
            (problem.code.id, problem.line[start : start + problem.length])
        )
    return told
