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
from nova_vfio_variant.placement import provider, tree_findings
from nova_vfio_variant.tracker import device as tracked

Layout = ty.Literal["nova", "per_class"]
#: Devices that follow one another and differ in nothing that matters here.
Run = list[tracked.Device]
Specs = tree_findings.Specs

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
    specs = specs or {}
    whole, parts, findings = _by_owner(devices, specs)
    made: list[tuple[pci_address.PciAddress, provider.Provider]] = []
    for owner, device in whole.items():
        if owner in parts:
            findings.append(
                tree_findings.pf_and_vf(device, parts[owner][0][0], specs)
            )
            continue
        name = _name(root_name, owner)
        made.append((owner, _of_whole(name, root_name, device)))
    for owner, runs in parts.items():
        if owner in whole:
            continue
        groups, refused = _uniform(runs, layout, specs)
        findings.extend(refused)
        for group in groups:
            name = _name(
                root_name,
                owner,
                group[0].resource_class if layout == "per_class" else None,
            )
            made.append((owner, _of_parts(name, root_name, group)))
    kept = []
    for owner, one_made in made:
        long = tree_findings.too_long(owner, one_made, specs)
        findings.extend(long)
        if not long:
            kept.append((owner, one_made.name, one_made))
    return (
        tuple(one_made for _, _, one_made in sorted(kept, key=_place)),
        tuple(findings),
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
            whole.update((device.address, device) for device in run)
        elif first.parent_addr is not None:
            parts.setdefault(first.parent_addr, []).append(run)
        else:
            findings.extend(
                tree_findings.without_parent(one, specs) for one in run
            )
    return whole, parts, findings


def _uniform(
    runs: list[Run],
    layout: Layout,
    specs: Specs,
) -> tuple[list[list[tracked.Device]], list[finding.Finding]]:
    """Split the VFs of one PF into groups that may share a provider.

    What an instance holds while something else is declared for it keeps its
    class until it is freed, and stands in nobody's way: Nova, too, judges
    what is declared. The declared VFs come first in a group.

    :returns: the groups, none for what Nova refuses, and why it does
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
        mixed.extend(
            tree_findings.mixed_classes(
                [group[0][0] for group in declared.values()], specs
            )
        )
    fine: dict[str, list[tracked.Device]] = {}
    for resource_class, group in declared.items():
        firsts = [run[0] for run in group]
        refused = [
            *tree_findings.mixed_traits(firsts, specs),
            *tree_findings.one_time(firsts, specs),
        ]
        mixed.extend(refused)
        if not refused:
            fine[resource_class] = [device for run in group for device in run]
    if layout == "nova" and mixed:
        return [], mixed
    for run in held:
        where = run[0].resource_class
        if layout == "nova" and fine:
            where = next(iter(fine))
        fine.setdefault(where, []).extend(run)
    return list(fine.values()), mixed


def _of_whole(
    name: str, root_name: str, device: tracked.Device
) -> provider.Provider:
    """A provider of one unit: a PF or a plain PCI function.

    One for one time is reserved once it is in use, and never given back by
    us: whoever made it clean again sets ``reserved`` to 0.
    """
    one_time = device.tags.get("one_time_use") == "true"
    spent = one_time and device.instance_uuid is not None
    return provider.Provider(
        name,
        root_name,
        {device.resource_class: provider.Inventory(1, 1, int(spent))},
        names.device_traits(device),
        (device.address,),
        one_time,
    )


def _of_parts(
    name: str, root_name: str, group: list[tracked.Device]
) -> provider.Provider:
    totals = collections.Counter([device.resource_class for device in group])
    return provider.Provider(
        name,
        root_name,
        {
            resource_class: provider.Inventory(total, total)
            for resource_class, total in totals.items()
        },
        names.device_traits(group[0]),
        tuple([device.address for device in group]),
    )


def is_of_device(name: str, root_name: str) -> bool:
    """Whether Nova would give a PCI function's provider this name."""
    root, _, place = name.rpartition("_")
    try:
        address = pci_address.PciAddress.parse(place.lower())
    except ValueError:
        return False
    return name == _name(root_name, address) and root == root_name


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
