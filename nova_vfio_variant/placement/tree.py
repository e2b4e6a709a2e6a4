# SPDX-License-Identifier: Apache-2.0
"""Which resource providers the tracked devices make.

The tree is the one that Nova 34 publishes
(``nova/compute/pci_placement_translator.py``), without ``OWNER_NOVA``, which
is Nova's to give. What Nova refuses to start on is an error finding here.
Nothing in this module asks anybody: devices in, providers and findings out.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import operator
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import names
from nova_vfio_variant.pci import spec as pci_spec
from nova_vfio_variant.placement import codes, provider
from nova_vfio_variant.tracker import device as tracked

Layout = ty.Literal["nova", "per_class"]
#: Devices that follow one another and differ in nothing that matters here.
Run = list[tracked.Device]
Specs = ty.Mapping[pci_address.PciAddress, pci_spec.DeviceSpec]

#: Nova's CHILD_TYPES.
_OF_A_PARENT = frozenset({"type-VF", "vdpa"})
_GONE = frozenset({tracked.Status.REMOVED, tracked.Status.DELETED})
_KIND = operator.attrgetter(
    "status",
    "dev_type",
    "parent_addr",
    "resource_class",
    "traits",
    "tags",
    "pending",
)
_HASH_LENGTH = 12


def build(
    devices: ty.Sequence[tracked.Device],
    root_name: str,
    layout: Layout = "nova",
    specs: Specs | None = None,
) -> tuple[tuple[provider.Provider, ...], tuple[finding.Finding, ...]]:
    """The providers of these devices, and what stands against them.

    In layout ``nova`` VFs share one provider with the name of their PF's
    address. In ``per_class`` they share one with all VFs of their PF that
    have their resource class, ``<root>_<PF>_<CLASS>``; a name of more than
    200 characters has the end of its class replaced by the first 12 hex
    digits of the SHA-256 of the whole class name. A function that is given
    away whole has the name ``<root>_<ADDRESS>`` in both.

    Devices with a true ``physical_network`` are Neutron's and make no
    provider, as in Nova. A provider that is refused is left out.

    :param devices: in any order, each address once
    :param root_name: name of the root provider, Nova's hypervisor hostname
    :param layout: see above
    :param specs: the spec that each device came from, where it is known: a
        finding then stands at the spec
    :returns: providers in rising order of address and class, and one finding
        for each pair of devices, or device, that Nova refuses
    """
    whole, parts, findings = _by_owner(devices, specs or {})
    made: list[tuple[pci_address.PciAddress, provider.Provider]] = []
    for owner, one in whole.items():
        if owner in parts:
            findings.append(
                _on_pair(
                    codes.PF_AND_VF_MATCHED,
                    f"PF {owner} and its VF {parts[owner][0][0].address} both "
                    "match: Placement can publish one or the other",
                    parts[owner][0][0],
                    one,
                    specs or {},
                )
            )
            continue
        name = _name(root_name, owner)
        made.append((owner, _of_whole(name, root_name, one)))
    for owner, runs in parts.items():
        if owner in whole:
            continue
        for group in _uniform(runs, layout, specs or {}, findings):
            name = _name(
                root_name,
                owner,
                group[0].resource_class if layout == "per_class" else None,
            )
            made.append((owner, _of_parts(name, root_name, group)))
    kept = []
    for owner, one_made in made:
        if len(one_made.name) > provider.LONGEST_NAME:
            findings.append(_too_long(owner, one_made.name))
        elif long := _long_names(one_made, specs or {}):
            findings.extend(long)
        else:
            kept.append((owner, one_made.name, one_made))
    return (
        tuple(one_made for _, _, one_made in sorted(kept, key=_place)),
        tuple(findings),
    )


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


def _by_owner(
    devices: ty.Sequence[tracked.Device], specs: Specs
) -> tuple[
    dict[pci_address.PciAddress, tracked.Device],
    dict[pci_address.PciAddress, list[Run]],
    list[finding.Finding],
]:
    """Sort devices into whole functions, and VFs by their PF.

    VFs of one PF that differ in nothing but their address mostly follow one
    another, so that all that is decided here is decided once a run.
    """
    whole: dict[pci_address.PciAddress, tracked.Device] = {}
    parts: dict[pci_address.PciAddress, list[Run]] = {}
    findings: list[finding.Finding] = []
    for _, alike in itertools.groupby(devices, _KIND):
        run = list(alike)
        first = run[0]
        if first.status in _GONE or first.tags.get("physical_network"):
            continue
        if first.dev_type not in _OF_A_PARENT:
            whole.update((one.address, one) for one in run)
        elif first.parent_addr is not None:
            parts.setdefault(first.parent_addr, []).append(run)
        else:
            findings.extend(
                _on(
                    codes.VF_WITHOUT_PARENT,
                    f"VF {one.address} has no known PF",
                    one,
                    specs,
                )
                for one in run
            )
    return whole, parts, findings


def _uniform(
    runs: list[Run],
    layout: Layout,
    specs: Specs,
    findings: list[finding.Finding],
) -> list[list[tracked.Device]]:
    """Split the VFs of one PF into groups that may share a provider.

    What an instance holds while something else is declared for it keeps its
    class until it is freed, and stands in nobody's way: Nova, too, judges
    what is declared. The declared VFs come first in a group.

    Adds to ``findings`` and returns no group for what Nova refuses.
    """
    declared: dict[str, list[Run]] = {}
    held = []
    for run in runs:
        if run[0].pending is not None and run[0].instance_uuid:
            held.append(run)
        else:
            declared.setdefault(run[0].resource_class, []).append(run)
    mixed: list[finding.Finding] = []
    if layout == "nova":
        mixed.extend(_mixed_classes(declared, specs))
    fine: dict[str, list[tracked.Device]] = {}
    for resource_class, group in declared.items():
        firsts = [run[0] for run in group]
        refused = [*_mixed_traits(firsts, specs), *_one_time(firsts, specs)]
        mixed.extend(refused)
        if not refused:
            fine[resource_class] = [one for run in group for one in run]
    findings.extend(mixed)
    if layout == "nova" and mixed:
        return []
    for run in held:
        where = run[0].resource_class
        if layout == "nova" and fine:
            where = next(iter(fine))
        fine.setdefault(where, []).extend(run)
    return list(fine.values())


def _mixed_classes(
    declared: ty.Mapping[str, list[Run]], specs: Specs
) -> ty.Iterator[finding.Finding]:
    """One finding for each class that isn't the first device's."""
    firsts = [group[0][0] for group in declared.values()]
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


def _one_time(
    firsts: list[tracked.Device], specs: Specs
) -> ty.Iterator[finding.Finding]:
    """One finding for each spec, or run, that sets one_time_use on VFs."""
    seen = set()
    for one in firsts:
        spec = specs.get(one.address)
        if "one_time_use" not in one.tags or (spec and spec.index in seen):
            continue
        if spec:
            seen.add(spec.index)
        yield _on(
            codes.ONE_TIME_USE_ON_VF,
            f"one_time_use can't be set on VF {one.address}, not even to no",
            one,
            specs,
            key="one_time_use",
        )


def _mixed_traits(
    group: list[tracked.Device], specs: Specs
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


def _of_whole(
    name: str, root_name: str, one: tracked.Device
) -> provider.Provider:
    """A provider of one unit: a PF or a plain PCI function.

    One for one time is reserved once it is in use, and never given back by
    us: whoever made it clean again sets ``reserved`` to 0.
    """
    spent = one.tags.get("one_time_use") == "true" and one.instance_uuid
    return provider.Provider(
        name,
        root_name,
        {one.resource_class: provider.Inventory(1, 1, 1 if spent else 0)},
        names.device_traits(one),
        (one.address,),
    )


def _of_parts(
    name: str, root_name: str, group: list[tracked.Device]
) -> provider.Provider:
    totals = collections.Counter([one.resource_class for one in group])
    return provider.Provider(
        name,
        root_name,
        {
            resource_class: provider.Inventory(total, total)
            for resource_class, total in totals.items()
        },
        names.device_traits(group[0]),
        tuple([one.address for one in group]),
    )


def _name(
    root_name: str,
    owner: pci_address.PciAddress,
    resource_class: str | None = None,
) -> str:
    name = f"{root_name}_{str(owner).upper()}"
    if resource_class is None:
        return name
    whole = f"{name}_{resource_class}"
    if len(whole) <= provider.LONGEST_NAME:
        return whole
    digest = hashlib.sha256(resource_class.encode()).hexdigest()
    end = f"_{digest[:_HASH_LENGTH]}"
    room = provider.LONGEST_NAME - len(end)
    return whole[: max(room, len(name))] + end


def _place(
    made: tuple[pci_address.PciAddress, str, provider.Provider],
) -> tuple[pci_address.PciAddress, str]:
    return made[:2]


def _too_long(owner: pci_address.PciAddress, name: str) -> finding.Finding:
    return finding.Finding(
        codes.PROVIDER_NAME_TOO_LONG,
        f"provider name {name!r} has {len(name)} characters, and Placement "
        f"takes at most {provider.LONGEST_NAME}",
        subject=str(owner),
    )


def _long_names(
    made: provider.Provider, specs: Specs
) -> list[finding.Finding]:
    """One finding for each resource class or trait that is too long."""
    first = min(made.addresses)
    spec = specs.get(first)
    found = []
    for key, word, published in (
        ("resource_class", "resource class", made.inventories),
        ("traits", "trait", made.traits),
    ):
        for name in published:
            if len(name) <= names.MAX_LENGTH:
                continue
            message = (
                f"a {word} of {first} has {len(name)} characters, and"
                f" Placement takes {names.MAX_LENGTH}"
            )
            found.append(
                finding.Finding(
                    codes.NAME_TOO_LONG,
                    message,
                    subject=str(first),
                )
                if spec is None
                else _at(codes.NAME_TOO_LONG, message, spec, key, str(first))
            )
    return found


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
    return _on(code, message, one, specs, key)


def _on(
    code: finding.Code,
    message: str,
    one: tracked.Device,
    specs: Specs,
    key: str | None = None,
) -> finding.Finding:
    """A finding at the spec of a device, or without a place."""
    spec = specs.get(one.address)
    if spec is None:
        return finding.Finding(code, message, subject=str(one.address))
    return _at(code, message, spec, key, subject=str(one.address))


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
