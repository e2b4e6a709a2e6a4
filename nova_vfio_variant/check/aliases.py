# SPDX-License-Identifier: Apache-2.0
"""Rules about what aliases find on this host."""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes, unnamed, vgpus
from nova_vfio_variant.declaration import facts, mdev_classes, nova_here
from nova_vfio_variant.host.observe import numa
from nova_vfio_variant.pci import alias as pci_alias
from nova_vfio_variant.pci import filters, names, values
from nova_vfio_variant.tracker import device as tracked

#: What an alias asks for, in the order in which a mistake is looked for.
_FIELDS = (
    "vendor_id",
    "product_id",
    "resource_class",
    "traits",
    "live_migratable",
    "device_type",
)


def unsatisfied(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Aliases that no device satisfies which a spec names here."""
    if given.scan is None:
        return
    mediated = {
        name
        for name, same in given.aliases.items()
        if mdev_classes.asked_of(given, same)
    }
    if not given.specs:
        others = [one for one in _all(given) if one.name not in mediated]
        for alias in others[:1]:
            yield facts.on_alias(
                codes.ALIASES_ALONE,
                "there are aliases and no device_spec that can be used: this"
                " host gives no device to guests",
                alias,
                None,
            )
        return
    # Any of the alternatives of one name will do.
    satisfied = {
        name for name, same in given.aliases.items() if _fitting(given, same)
    }
    # Of what a type is to be set for, it is told who sets it.
    satisfied |= {alias.name for alias, _, _ in vgpus.on_demand(given)}
    satisfied |= mediated
    kinds = [group[0] for group in given.alike]
    passed_over = unnamed.Unnamed(given)
    for alias in _all(given):
        if alias.name in satisfied:
            continue
        told = passed_over.told(alias)
        if told is not None:
            yield told
            continue
        field, found = _in_the_way(alias, kinds)
        if field is None:
            yield facts.on_alias(
                codes.ALIAS_UNSATISFIED,
                f"no device satisfies alias {alias.name!r}: device_spec names"
                " none on this host",
                alias,
                None,
            )
            continue
        message = f"no device satisfies alias {alias.name!r}: "
        if found:
            message += f"{field} {_wanted(alias, field)} is asked for, and"
            message += f" there is {', '.join(sorted(found)[:4])}"
        else:
            message += f"none has {field} {_wanted(alias, field)} as well"
        hint = _meant(alias, field, found, kinds)
        yield facts.on_alias(
            codes.ALIAS_UNSATISFIED, message, alias, field, hint
        )


def _meant(
    alias: pci_alias.Alias,
    field: str,
    found: set[str],
    kinds: ty.Sequence[tracked.Device],
) -> str | None:
    """What to write where one word more or less would satisfy it."""
    if len(found) != 1 or field not in (
        "vendor_id",
        "product_id",
        "device_type",
        "resource_class",
    ):
        return None
    (word,) = found
    better = dataclasses.replace(alias, **{field: word})  # type: ignore[arg-type] # all are strings
    if not any(_fits(better, device) for device in kinds):
        return None
    if getattr(alias, field) is None:
        return f'Add "{field}": "{word}", if that is meant.'
    return f'Write "{field}": "{word}", if that is meant.'


def across_numa(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Aliases whose policy keeps their devices from some guests, or all.

    With legacy, the default, a guest on another node is refused as well; but
    there nobody asked for devices near by, and a finding for most aliases of
    most hosts would be noise.
    """
    sockets = _sockets(given)
    for same in given.aliases.values():
        alias = same[0]
        policy = alias.numa_policy
        if policy not in ("required", "socket"):
            continue
        fitting = _fitting(given, same)
        nodes = {device.numa_node for device in fitting} - {None}
        if fitting and not nodes:
            yield facts.on_alias(
                codes.ALIAS_ACROSS_NUMA,
                f"alias {alias.name!r} has numa_policy {policy},"
                f" and the NUMA node of its {len(fitting)} devices is not"
                " known, so that no guest with NUMA nodes gets one",
                alias,
                "numa_policy",
            )
            continue
        far = [
            node
            for node in sockets
            if node not in nodes
            and not (
                policy == "socket"
                and filters.Place([node], sockets).same_sockets() & nodes
            )
        ]
        if nodes and far:
            yield facts.on_alias(
                codes.ALIAS_SOME_NODES,
                f"alias {alias.name!r} has numa_policy {policy}, and its"
                f" devices are {_spread(fitting)}: guests on {_nodes(far)} get"
                " none"
                + (
                    " (this host doesn't tell its sockets)"
                    if policy == "socket" and None in sockets.values()
                    else ""
                ),
                alias,
                "numa_policy",
            )


def _sockets(given: facts.CheckInput) -> dict[int, int | None]:
    """The sockets of the nodes that guests can be on: with processors."""
    if given.scan is None:
        return {}
    tree = given.scan.tree
    return {
        node: socket
        for node, socket in numa.sockets(tree).items()
        if numa.package_path(tree, f"node{node}") is not None
    }


def _spread(devices: ty.Iterable[tracked.Device]) -> str:
    """How many devices each node has: "2 on NUMA node 0"."""
    counts = collections.Counter(device.numa_node for device in devices)
    shown = [
        f"{counts[node]} on {_nodes([node])}"
        for node in sorted(node for node in counts if node is not None)
    ]
    if counts[None]:
        shown.append(f"{counts[None]} on a node that is not known")
    return " and ".join(shown)


def _nodes(nodes: ty.Iterable[int]) -> str:
    found = sorted(nodes)
    word = "NUMA node" if len(found) == 1 else "NUMA nodes"
    return f"{word} {', '.join(map(str, found))}"


def takes_pf(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Aliases without a type that fit PFs as well."""
    for alias in _all(given):
        if alias.device_type is not None:
            continue
        pfs = [
            device.address
            for group in given.alike
            if group[0].dev_type == "type-PF"
            and all(
                _field_fits(alias, group[0], field) for field in _FIELDS[:-1]
            )
            for device in group
        ]
        if pfs and any(_fits(alias, group[0]) for group in given.alike):
            yield facts.on_alias(
                codes.ALIAS_TAKES_PF,
                f"alias {alias.name!r} has no device_type and also matches"
                f" {'PF' if len(pfs) == 1 else 'PFs'} {facts.listed(pfs)}",
                alias,
                "name",
            )


def _all(given: facts.CheckInput) -> ty.Iterator[pci_alias.Alias]:
    for same in given.aliases.values():
        yield from same


def _fitting(
    given: facts.CheckInput, same: ty.Sequence[pci_alias.Alias]
) -> list[tracked.Device]:
    """The devices that any of these aliases satisfies."""
    return [
        device
        for group in given.alike
        if any(_fits(alias, group[0]) for alias in same)
        for device in group
    ]


def _fits(alias: pci_alias.Alias, device: tracked.Device) -> bool:
    """As Nova matches pools, and Placement classes and traits."""
    return all(_field_fits(alias, device, field) for field in _FIELDS)


def _field_fits(
    alias: pci_alias.Alias, device: tracked.Device, field: str
) -> bool:
    if field == "resource_class":
        return alias.asked_class in {None, device.resource_class}
    if field == "traits":
        return set(alias.asked_traits) <= set(names.device_traits(device))
    if field == "live_migratable":
        # Nova's "no" does not find devices that don't say.
        wanted = alias.live_migratable
        return wanted is None or (
            device.tags.get("live_migratable") == str(wanted).lower()
        )
    if field == "device_type":
        if alias.device_type is None:
            return device.dev_type in ("type-PCI", "type-VF")
        return device.dev_type == alias.device_type
    wanted_id = getattr(alias, field)
    return wanted_id is None or wanted_id == getattr(device, field)


def _in_the_way(
    alias: pci_alias.Alias, devices: ty.Sequence[tracked.Device]
) -> tuple[str | None, set[str]]:
    """The field that leaves no device, and what the rest have there."""
    left = list(devices)
    if not left:
        return None, set()
    for field in _FIELDS:
        fitting = [
            device for device in left if _field_fits(alias, device, field)
        ]
        if not fitting:
            return field, {_has(device, field) for device in left}
        left = fitting
    return None, set()


def _wanted(alias: pci_alias.Alias, field: str) -> str:
    if field == "resource_class":
        return str(alias.asked_class)
    if field == "traits":
        return ",".join(alias.asked_traits)
    if field == "device_type":
        return alias.device_type or "type-PCI or type-VF"
    value = getattr(alias, field)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _has(device: tracked.Device, field: str) -> str:
    if field == "traits":
        return ",".join(device.traits) or "no trait"
    if field == "live_migratable":
        return str(device.tags.get(field, "no such tag"))
    if field == "device_type":
        return device.dev_type
    return str(getattr(device, field))


def class_ignored(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Aliases whose class or traits Nova doesn't compare, where they matter.

    One provider for each class Nova can't publish: who chose that has no
    Nova that gives out these devices.
    """
    if _are_classes_compared(given):
        return
    for alias in _all(given):
        if not (alias.resource_class or alias.traits):
            continue
        others = [
            device.address
            for group in given.alike
            if not _fits(alias, group[0])
            and _fits_without_class(alias, group[0])
            for device in group
        ]
        if others:
            key = "resource_class" if alias.resource_class else "traits"
            yield facts.on_alias(
                codes.ALIAS_CLASS_IGNORED,
                f"without pci_in_placement Nova ignores {key} of alias"
                f" {alias.name!r}, and gives out {facts.listed(others)} as"
                " well",
                alias,
                key,
            )


def _are_classes_compared(given: facts.CheckInput) -> bool:
    return (
        given.in_placement
        or nova_here.is_absent(given)
        or given.layout == "per_class"
    )


def _fits_without_class(
    alias: pci_alias.Alias, device: tracked.Device
) -> bool:
    return all(
        _field_fits(alias, device, field)
        for field in _FIELDS
        if field not in ("resource_class", "traits")
    )


def that_can_get(
    given: facts.CheckInput, device: tracked.Device
) -> ty.Iterator[pci_alias.Alias]:
    """The aliases by which a flavor can get a device.

    None for one whose card another host manages: Nova gives it to ports.
    """
    if values.boolean(device.tags.get("remote_managed")):
        return
    fits = _fits if _are_classes_compared(given) else _fits_without_class
    for alias in _all(given):
        if fits(alias, device):
            yield alias


RULES: tuple[facts.Rule, ...] = (
    unsatisfied,
    across_numa,
    takes_pf,
    class_ignored,
)
