# SPDX-License-Identifier: Apache-2.0
"""What stands against a provider, one small function for each rule.

All but the lengths of names are what Nova 34 refuses to start on
(``nova/compute/pci_placement_translator.py``); Placement refuses those.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import names
from nova_vfio_variant.pci import spec as pci_spec
from nova_vfio_variant.placement import codes, provider
from nova_vfio_variant.tracker import device as tracked

Specs = ty.Mapping[pci_address.PciAddress, pci_spec.DeviceSpec]


def refused_specs(
    specs: ty.Iterable[pci_spec.DeviceSpec],
) -> tuple[finding.Finding, ...]:
    """Errors for specs that Nova refuses before it looks at a device.

    With ``report_in_placement`` a spec with ``devname`` stops nova-compute,
    whether or not it matches (``ensure_no_dev_spec_with_devname``).
    """
    return tuple(
        _at(
            codes.DEVNAME_WITH_PLACEMENT,
            f"a device_spec by devname ({one.devname!r}) can't be published",
            one,
            "devname",
            subject=one.devname,
        )
        for one in specs
        if one.devname
    )


def pf_and_vf(
    pf: tracked.Device, vf: tracked.Device, specs: Specs
) -> finding.Finding:
    """A PF and one of its VFs are both to be published."""
    return _on_pair(
        codes.PF_AND_VF_MATCHED,
        f"PF {pf.address} and its VF {vf.address} both match: Placement can"
        " publish one or the other",
        vf,
        pf,
        specs,
    )


def without_parent(one: tracked.Device, specs: Specs) -> finding.Finding:
    """A VF of which nobody knows the PF."""
    return _on_address(
        codes.VF_WITHOUT_PARENT,
        f"VF {one.address} has no known PF",
        one.address,
        specs,
    )


def mixed_classes(
    firsts: ty.Sequence[tracked.Device], specs: Specs
) -> ty.Iterator[finding.Finding]:
    """One finding for each device whose class isn't the first one's.

    :param firsts: of VFs of one PF, the first of each class
    """
    for one in firsts[1:]:
        yield _on_pair(
            codes.MIXED_RESOURCE_CLASSES,
            f"VFs {one.address} and {firsts[0].address} of PF "
            f"{one.parent_addr} have different resource classes, "
            f"{one.resource_class} and {firsts[0].resource_class}",
            one,
            firsts[0],
            specs,
            key="resource_class",
        )


def one_time(
    firsts: ty.Sequence[tracked.Device], specs: Specs
) -> ty.Iterator[finding.Finding]:
    """One finding for each spec, or run, that sets one_time_use on VFs."""
    seen = set()
    for one in firsts:
        spec = specs.get(one.address)
        if "one_time_use" not in one.tags or (spec and spec.index in seen):
            continue
        if spec:
            seen.add(spec.index)
        yield _on_address(
            codes.ONE_TIME_USE_ON_VF,
            f"one_time_use can't be set on VF {one.address}, not even to no",
            one.address,
            specs,
            key="one_time_use",
        )


def mixed_traits(
    group: ty.Sequence[tracked.Device], specs: Specs
) -> ty.Iterator[finding.Finding]:
    """One finding for each set of traits that isn't the first device's."""
    first = group[0]
    seen = {names.device_traits(first)}
    for one in group[1:]:
        traits = names.device_traits(one)
        if traits in seen:
            continue
        seen.add(traits)
        differ = sorted(set(traits) ^ set(names.device_traits(first)))
        yield _on_pair(
            codes.MIXED_TRAITS,
            f"VFs {one.address} and {first.address} of PF "
            f"{first.parent_addr} have different traits: only one of them "
            f"has {', '.join(differ)}",
            one,
            first,
            specs,
            key="traits",
        )


def too_long(
    owner: pci_address.PciAddress, made: provider.Provider, specs: Specs
) -> list[finding.Finding]:
    """One finding for a provider's name, or each of its words, too long."""
    if len(made.name) > provider.LONGEST_NAME:
        return [
            finding.Finding(
                codes.PROVIDER_NAME_TOO_LONG,
                f"provider name {made.name!r} has {len(made.name)} characters,"
                f" and Placement takes at most {provider.LONGEST_NAME}",
                subject=str(owner),
            )
        ]
    first = min(made.addresses)
    return [
        _on_address(
            codes.NAME_TOO_LONG,
            f"a {word} of {first} has {len(name)} characters, and"
            f" Placement takes {names.MAX_LENGTH}",
            first,
            specs,
            key,
        )
        for key, word, published in (
            ("resource_class", "resource class", made.inventories),
            ("traits", "trait", made.traits),
        )
        for name in published
        if len(name) > names.MAX_LENGTH
    ]


def _on_pair(
    code: finding.Code,
    message: str,
    one: tracked.Device,
    other: tracked.Device,
    specs: Specs,
    key: str | None = None,
) -> finding.Finding:
    """A finding at the spec of ``one`` that names the spec of ``other``."""
    theirs = specs.get(other.address)
    if theirs is not None:
        message += f"; the spec of {other.address} is at {theirs.location}"
    return _on_address(code, message, one.address, specs, key)


def _on_address(
    code: finding.Code,
    message: str,
    address: pci_address.PciAddress,
    specs: Specs,
    key: str | None = None,
) -> finding.Finding:
    """A finding at the spec of a device, or without a place."""
    spec = specs.get(address)
    if spec is None:
        return finding.Finding(code, message, subject=str(address))
    return _at(code, message, spec, key, subject=str(address))


def _at(
    code: finding.Code,
    message: str,
    spec: pci_spec.DeviceSpec,
    key: str | None,
    subject: str | None,
) -> finding.Finding:
    """A finding at the value of a key of a spec, or at the whole spec."""
    start, end = spec.start, spec.end
    if key is not None and key in spec.keys:
        start, end = spec.keys[key][2:]
    return finding.Finding.on(
        code, message, spec.text, start, end, subject=subject
    )
