# SPDX-License-Identifier: Apache-2.0
"""Questions about the provider tree, and what Nova refuses to publish."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_vfio_variant.check import deviations
from nova_vfio_variant.finding import Code
from nova_vfio_variant.pci.address import PciAddress
from nova_vfio_variant.placement import codes as placement_codes
from nova_vfio_variant.placement import tree, tree_findings
from nova_vfio_variant.placement.provider import Provider
from nova_vfio_variant.tracker.device import Device
from tests.conformance.ask_tracker import INSTANCES, changed, nodes
from tests.conformance.both import NODE, Both
from tests.conformance.hosts import Host, choose, evenly
from tests.conformance.nova import Answer, Nova
from tests.conformance.question import Met, Question, same, shows
from tests.conformance.show_tracker import FAMILY

_REFUSALS: dict[Code, str] = {
    placement_codes.PF_AND_VF_MATCHED: "PlacementPciDependentDeviceException",
    placement_codes.MIXED_RESOURCE_CLASSES: "PlacementPciMixedResourceClassException",
    placement_codes.MIXED_TRAITS: "PlacementPciMixedTraitsException",
    placement_codes.ONE_TIME_USE_ON_VF: "PlacementPciException",
    placement_codes.DEVNAME_WITH_PLACEMENT: "PlacementPciException",
    # It stumbles over the text of its own refusal.
    placement_codes.VF_WITHOUT_PARENT: "ValueError",
}
_OWNER = "OWNER_NOVA"
#: Mostly one kind of device: with both, nothing is published. The first two
#: are refused where a PF has several VFs.
_FIRST_SPECS = (
    (
        '[{"address": {"function": "2"}, "traits": "big"},'
        ' {"address": {"function": "[2-7]"}}]'
    ),
    (
        '[{"address": {"function": "2"}, "resource_class": "big"},'
        ' {"address": {"function": "[2-7]"}}]'
    ),
    '{"product_id": "25b7"}',
    '{"product_id": "0008", "resource_class": "gpu vf"}',
    '{"address": "*:*:10.*", "traits": "blue"}',
    '{"address": "*:*:10.*", "physical_network": null}',
    '{"address": "*:*:00.0", "one_time_use": "yes"}',
    '{"address": {"function": "[1-7]"}, "live_migratable": "yes"}',
    '[{"product_id": "25b6", "managed": "no"}, {"product_id": "25b7"}]',
)


@st.composite
def _cases(draw: st.DrawFn, *, orphans: bool = True) -> dict[str, Any]:
    """A configured host, some of whose devices are in use.

    :param orphans: whether there may be VFs of which nobody knows the PF
    """
    more = draw(evenly(0, 5)) == 0
    case = draw(nodes(specs=more))
    specs = draw(
        st.lists(
            st.sampled_from(_FIRST_SPECS), min_size=1, max_size=2, unique=True
        )
    )
    case["specs"] = [*specs, *case["specs"][:-1]]
    if draw(evenly(0, 19)) == 0:
        case["specs"].append('{"devname": "eth0"}')
    if orphans and draw(evenly(0, 5)) == 0:
        case["orphans"] = draw(_orphans(case["host"]))
    case["steps"] = [
        {
            "do": "claim",
            "instance": instance,
            "extra_spec": f"a:{draw(evenly(1, 3))}",
            "policy": None,
            "numa": None,
        }
        for instance in INSTANCES[: draw(evenly(0, 2))]
        if "orphans" not in case
    ]
    return case


@st.composite
def _orphans(draw: st.DrawFn, host: Host) -> list[str]:
    """Take their PF from some VFs of the host, and return these."""
    orphans = []
    for one in host:
        if one["dev_type"] == "type-VF" and draw(st.booleans()):
            one.pop("parent_addr")
            one.pop("parent_ifname", None)
            orphans.append(one["address"])
    return orphans


def _compare(nova: Nova, case: dict[str, Any]) -> Iterable[Met]:
    """A configured host is published for the first time."""
    both = Both(nova, case)
    for step in case["steps"]:
        both.step(step)
    both.add({"do": "publish"})
    return _judge(both, case)


def _judge(
    both: Both, case: dict[str, Any], aside: frozenset[str] = frozenset()
) -> Iterable[Met]:
    """Compare what the last step published, or was refused.

    :param aside: names of providers that may differ
    :returns: differences, ``published`` where something was, and else the
        name of Nova's refusal
    """
    told = both.tell()
    assert told.error is None, (told, case)
    theirs = Answer.read(told.value["steps"][-1])
    orphans = case.get("orphans", ())
    providers, findings = tree.build(
        [
            # Our scan takes no VF whose PF it doesn't know.
            dataclasses.replace(tracked_device, dev_type="type-VF")
            if str(tracked_device.address) in orphans
            else tracked_device
            for tracked_device in both.ours.devices
        ],
        NODE,
    )
    findings = (*findings, *tree_findings.refused_specs(both.ours.specs))
    if theirs.error is not None:
        if theirs.error in {_REFUSALS[finding.code] for finding in findings}:
            return [theirs.error]
        # Nova judges what is held by what is declared for it now, and may
        # look for the provider of what isn't declared.
        assert aside, (theirs, findings, case)
        return [deviations.HELD_UNTIL_FREED]
    if not aside:
        same((), findings, case)
    children = theirs.value["providers"][1:]
    nova, ours = _told(children), _ours(providers)
    refused = {
        _name(device.parent_addr or device.address)
        for finding in findings
        for device in both.ours.devices
        if str(device.address) == finding.subject
    }
    assert refused <= aside, (findings, aside, case)
    same(_without(nova, aside), _without(ours, aside), case)
    assert all(_OWNER in one["traits"] for one in children), children
    found: list[Met] = []
    if children:
        found += [deviations.OWNER_TRAIT, "published"]
    if nova != ours:
        found.append(deviations.HELD_UNTIL_FREED)
    return found


def _without(told: dict[str, Any], aside: frozenset[str]) -> dict[str, Any]:
    return {name: one for name, one in told.items() if name not in aside}


def _names(device: Device) -> set[str]:
    """The names of the providers that a device could be part of."""
    places = (device.address, device.parent_addr)
    return {_name(at) for at in places if at is not None}


def _name(address: PciAddress) -> str:
    return f"{NODE}_{str(address).upper()}"


def _told(children: list[dict[str, Any]]) -> dict[str, Any]:
    """Nova's providers as one can compare them."""
    return {
        one["name"]: (
            one["parent"],
            {
                name: {"reserved": 0, **inventory}
                for name, inventory in one["inventory"].items()
            },
            [name for name in one["traits"] if name != _OWNER],
        )
        for one in children
    }


def _ours(providers: Iterable[Provider]) -> dict[str, Any]:
    return {
        provider.name: (
            provider.parent,
            {
                name: {
                    "total": inventory.total,
                    "max_unit": inventory.max_unit,
                    "reserved": inventory.reserved,
                }
                for name, inventory in provider.inventories.items()
            },
            list(provider.traits),
        )
        for provider in providers
    }


# -- changed hosts -----------------------------------------------------------


@st.composite
def _changes(draw: st.DrawFn) -> dict[str, Any]:
    """A published host changes while some of its devices are in use."""
    case = draw(_cases(orphans=False))
    if draw(st.booleans()):
        case["change"] = {"do": "sync", "host": draw(changed(case["host"]))}
    else:
        specs = list(draw(st.permutations(case["specs"])))
        more = choose(draw, _FIRST_SPECS)
        case["change"] = {
            "do": "respec",
            "specs": draw(
                st.sampled_from((specs[1:], specs, [more], [more, *specs]))
            ),
        }
    return case


def _compare_changes(nova: Nova, case: dict[str, Any]) -> Iterable[Met]:
    """It is published before and after, with Placement's allocations."""
    both = Both(nova, case)
    for step in case["steps"]:
        both.step(step)
    if not both.publish():
        hypothesis.reject()
    allocated = _allocations(both)
    both.step(case["change"])
    both.add({"do": "publish", "allocations": allocated})
    held = [
        device for device in both.ours.devices if device.pending is not None
    ]
    return _judge(
        both,
        case,
        frozenset(name for device in held for name in _names(device)),
    )


def _allocations(both: Both) -> dict[str, dict[str, dict[str, int]]]:
    """What Placement holds for the instances of a published host."""
    providers, _ = tree.build(both.ours.devices, NODE)
    names = {
        at: provider.name
        for provider in providers
        for at in provider.addresses
    }
    held: dict[str, dict[str, dict[str, int]]] = {}
    for device in both.ours.devices:
        if device.instance_uuid and device.address in names:
            resources = held.setdefault(device.instance_uuid, {}).setdefault(
                names[device.address], {}
            )
            count = resources.get(device.resource_class, 0)
            resources[device.resource_class] = count + 1
    return held


# -- what is meant to differ -------------------------------------------------


@shows(
    deviations.OWNER_TRAIT,
    nova=["COMPUTE_MANAGED_PCI_DEVICE", "OWNER_NOVA"],
    ours=["COMPUTE_MANAGED_PCI_DEVICE"],
)
def _owner_trait(nova: Nova) -> tuple[Any, Any]:
    host: Host = [
        {
            "address": "0000:25:00.0",
            "vendor_id": "10de",
            "product_id": "25b6",
            "dev_type": "type-PCI",
            "numa_node": 0,
        }
    ]
    case = {
        "host": host,
        "specs": ["{}"],
        "aliases": [],
        "sockets": (0,),
    }
    both = Both(nova, case)
    both.add({"do": "publish"})
    theirs = both.tell().value["steps"][-1]["ok"]
    providers, _ = tree.build(both.ours.devices, NODE)
    return theirs["providers"][1]["traits"], list(providers[0].traits)


@shows(
    deviations.HELD_UNTIL_FREED,
    nova={"CUSTOM_NEW": 2},
    ours={"CUSTOM_NEW": 1, "CUSTOM_PCI_10DE_25B7": 1},
)
def _held_until_freed(nova: Nova) -> tuple[Any, Any]:
    case = {
        "host": FAMILY,
        "specs": ['{"product_id": "25b7"}'],
        "aliases": [
            '{"name": "a", "vendor_id": "10de", "product_id": "25b7"}'
        ],
        "sockets": (0,),
    }
    both = Both(nova, case)
    both.step(
        {
            "do": "claim",
            "instance": INSTANCES[0],
            "extra_spec": "a:1",
            "policy": None,
            "numa": None,
        }
    )
    assert both.publish()
    held = _allocations(both)
    both.step(
        {
            "do": "respec",
            "specs": ['{"product_id": "25b7", "resource_class": "NEW"}'],
        }
    )
    both.add({"do": "publish", "allocations": held})
    theirs = both.tell().value["steps"][-1]["ok"]
    providers, _ = tree.build(both.ours.devices, NODE)
    name = f"{NODE}_0000:25:00.0"
    found = []
    for side in (_told(theirs["providers"][1:]), _ours(providers)):
        _, inventories, _ = side[name]
        found.append({rc: one["total"] for rc, one in inventories.items()})
    return found[0], found[1]


QUESTIONS = (
    Question(
        "provider trees",
        7,
        _cases(),
        _compare,
        {
            "published": 0.1,
            **dict.fromkeys(_REFUSALS.values(), 0.005),
        },
    ),
    Question(
        "trees of changed hosts",
        4,
        _changes(),
        _compare_changes,
        {"published": 0.1},
    ),
)
