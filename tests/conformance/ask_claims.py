# SPDX-License-Identifier: Apache-2.0
"""Questions about claims by class and traits, which Placement answers Nova.

Our claim does Placement's part as well. So whatever it takes, Nova has to
take too, once Placement has chosen the providers of these devices; and where
it takes nothing, no provider that Placement could choose may do.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import hypothesis
from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.check import deviations
from nova_vfio_variant.pci import flavor
from nova_vfio_variant.pci.address import PciAddress
from nova_vfio_variant.pci.alias import PciRequest
from nova_vfio_variant.pci.pools import Pools
from nova_vfio_variant.placement import tree
from nova_vfio_variant.placement.provider import Provider
from nova_vfio_variant.tracker.device import Device
from tests.conformance import texts
from tests.conformance.ask_aliases import read as read_aliases
from tests.conformance.ask_tracker import INSTANCES, POLICIES
from tests.conformance.both import NODE, Both
from tests.conformance.hosts import Host, choose, evenly
from tests.conformance.nova import Answer, Nova
from tests.conformance.publishable import CELLS, Tags, publishable
from tests.conformance.question import Met, Question, same, shows
from tests.conformance.show_tracker import FAMILY

_OTHER_TRAITS = ("big", "HW_PCI_LIVE_MIGRATABLE", "COMPUTE_MANAGED_PCI_DEVICE")

Chosen = list[list[str]]


@st.composite
def _aliases(draw: st.DrawFn, some: Host, tags: dict[str, Tags]) -> list[str]:
    """Aliases for some of the functions, by class or traits or both."""
    values = []
    for name in ("a", "b")[: draw(evenly(1, 2))]:
        one = choose(draw, some)
        mask = draw(evenly(0, 2**6 - 1))
        of_it = tags[one["address"].split(":")[1]]
        pairs: list[tuple[str, Any]] = [
            ("name", name),
            ("vendor_id", one["vendor_id"]),
            ("product_id", one["product_id"]),
        ]
        if mask & 1 or one["dev_type"] == "type-PF":
            pairs.append(("device_type", texts.alias_type(one)))
        # Without a class an alias asks for that of its ids.
        if of_it["resource_class"] and mask & 6:
            pairs.append(("resource_class", of_it["resource_class"]))
        if mask & 24 == 24:
            pairs.append(("traits", choose(draw, _OTHER_TRAITS)))
        elif of_it["traits"] and mask & 8:
            pairs.append(("traits", of_it["traits"].partition(",")[0]))
        values.append(texts.write(pairs))
    return values


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    case, some, tags = draw(publishable())
    case["aliases"] = draw(_aliases(some, tags))
    case["extra_spec"] = ",".join(
        f"{name}:{choose(draw, (1, 1, 1, 2, 3))}"
        for name in ("a", "b")[: len(case["aliases"])]
    )
    case["policy"] = choose(draw, POLICIES)
    case["numa"] = choose(draw, CELLS)
    return case


class _Asked:
    """One claim, with what both sides know before it."""

    def __init__(self, nova: Nova, case: dict[str, Any], both: Both) -> None:
        self.both = both
        self.case = case
        told = nova.ask(
            "flavor",
            values=case["aliases"],
            extra_spec=case["extra_spec"],
            numa_policy=case["policy"],
            pci_in_placement=True,
        ).value
        self.told: list[dict[str, Any]] = told["requests"]
        self.groups: list[dict[str, Any]] = told["groups"]
        aliases, errors = read_aliases(case["aliases"], in_placement=True)
        assert not errors, errors
        self.requests = flavor.parse_request(
            case["extra_spec"], aliases, case["policy"]
        )
        found, findings = tree.build(both.ours.devices, NODE)
        assert not findings, findings
        self.providers: dict[str, Provider] = {
            provider.name: provider for provider in found
        }
        self.home: dict[PciAddress, str] = {
            at: provider.name
            for provider in found
            for at in provider.addresses
        }

    def take(self) -> list[tuple[PciRequest, tuple[Device, ...]]] | None:
        """What our claim takes; None if there isn't enough."""
        try:
            return Pools.of(self.both.ours.devices, by_class=True).consume(
                self.requests, self.case["numa"], self.both.ours.sockets
            )
        except exception.NotEnoughDevices:
            return None

    def home_of(self, address: str) -> str:
        """Name the provider of a device."""
        return self.home[PciAddress.parse(address)]

    def could_choose(self, name: str, group: dict[str, Any]) -> bool:
        """Whether Placement could answer a group with this provider."""
        one = self.providers[name]
        return set(group["resources"]) <= set(one.inventories) and set(
            group["required_traits"]
        ) <= set(one.traits)

    def tell(self, do: str, chosen: Chosen) -> Answer:
        """What Nova says once Placement has chosen."""
        self.both.add(
            {
                "do": do,
                "requests": [
                    {**request, "providers": names}
                    for request, names in zip(self.told, chosen, strict=True)
                ],
                "numa": self.case["numa"],
                **({"instance": INSTANCES[0]} if do == "claim" else {}),
            }
        )
        told = self.both.tell()
        assert told.error is None, (told, self.case)
        return Answer.read(told.value["steps"][-1])


def _compare(nova: Nova, case: dict[str, Any]) -> Iterable[Met]:
    both = Both(nova, case)
    if not both.publish():
        hypothesis.reject()
    asked = _Asked(nova, case, both)
    taken = asked.take()
    if taken is None:
        _nobody_else_would(asked, case)
        return []
    chosen = [
        [asked.home[device.address] for device in devices]
        for _, devices in taken
    ]
    for group in asked.groups:
        name = chosen[group["request"]][group["number"]]
        assert asked.could_choose(name, group), (name, group, case)
    ours = sorted(str(device.address) for _, some in taken for device in some)
    theirs = asked.tell("claim", chosen)
    if theirs.error is not None:
        same(theirs.error, "PciDeviceRequestFailed", case)
    if sorted(theirs.value or ()) == ours:
        return ["granted"]
    if _split(both.ours.devices, chosen, asked.home):
        # It refuses, or takes all from the pool that is large enough.
        if theirs.value is not None:
            same(
                sorted(asked.home_of(at) for at in theirs.value),
                sorted(name for names in chosen for name in names),
                (theirs, ours, case),
            )
        return [deviations.CLAIM_OF_SPLIT]
    same(theirs.value, None, (ours, case))
    # If it wasn't for the guest's place, Nova would have taken them.
    assert case["numa"], (theirs, case)
    assert all(one.numa_policy != "required" for one in asked.requests), case
    anywhere = {**case, "numa": None}
    both = Both(nova, anywhere)
    both.publish()
    theirs = _Asked(nova, anywhere, both).tell("claim", chosen)
    same(sorted(theirs.value or ()), ours, case)
    return [deviations.NEAR_OF_ANOTHER_CLASS]


def _nobody_else_would(asked: _Asked, case: dict[str, Any]) -> None:
    """No provider would satisfy Nova, either; looked at for one device."""
    chosen = [
        name
        for name in asked.providers
        if len(asked.groups) == 1 and asked.could_choose(name, asked.groups[0])
    ]
    if not chosen:
        hypothesis.reject()
    for name in chosen:
        same(asked.tell("fits", [[name]]).value, False, (name, case))


def _split(
    devices: Sequence[Device], chosen: Chosen, home: dict[Any, str]
) -> bool:
    """Whether devices of a chosen provider differ in their tags."""
    names = {name for some in chosen for name in some}
    tags: dict[str, list[Any]] = {name: [] for name in names}
    for device in devices:
        if home.get(device.address) in names:
            found = tags[home[device.address]]
            if device.tags not in found:
                found.append(device.tags)
    return any(len(found) > 1 for found in tags.values())


def _small(specs: list[str], alias: str) -> dict[str, Any]:
    return {
        "host": FAMILY,
        "specs": specs,
        "aliases": [alias],
        "sockets": (0, 0),
        "extra_spec": "a:1",
        "policy": None,
        "numa": None,
    }


@shows(deviations.CLAIM_BY_CLASS, nova=["0000:25:00.5"], ours=["0000:25:00.4"])
def _claim_by_class(nova: Nova) -> tuple[Any, Any]:
    case = _small(
        [
            '{"address": "0000:25:00.4", "resource_class": "A"}',
            '{"address": "0000:25:00.5", "resource_class": "B"}',
        ],
        '{"name": "a", "vendor_id": "10de", "product_id": "25b7",'
        ' "resource_class": "A"}',
    )
    both = Both(nova, case)
    both.step({**case, "do": "claim", "instance": INSTANCES[0]})
    theirs = Answer.read(both.tell().value["steps"][-1])
    aliases, _ = read_aliases(case["aliases"], in_placement=False)
    free = Pools.of(Both(nova, case).ours.devices, by_class=True)
    taken = free.consume(flavor.parse_request("a:1", aliases))
    return theirs.said, [str(device.address) for device in taken[0][1]]


@shows(
    deviations.CLAIM_OF_SPLIT,
    nova="PciDeviceRequestFailed",
    ours=["0000:25:00.5"],
)
def _claim_of_split(nova: Nova) -> tuple[Any, Any]:
    case = _small(
        [
            '{"address": "0000:25:00.4", "managed": "no"}',
            '{"address": "0000:25:00.5"}',
        ],
        '{"name": "a", "vendor_id": "10de", "product_id": "25b7"}',
    )
    both = Both(nova, case)
    assert both.publish()
    asked = _Asked(nova, case, both)
    taken = asked.take()
    assert taken is not None
    (device,) = taken[0][1]
    theirs = asked.tell("claim", [[asked.home[device.address]]])
    return theirs.said, [str(device.address)]


@shows(
    deviations.NEAR_OF_ANOTHER_CLASS,
    nova="PciDeviceRequestFailed",
    ours=["0000:26:00.5"],
)
def _near_of_another_class(nova: Nova) -> tuple[Any, Any]:
    beside = [
        {
            key: value.replace(":25:", ":26:")
            if isinstance(value, str)
            else value
            for key, value in one.items()
        }
        | {"numa_node": None}
        for one in FAMILY
    ]
    case = _small(
        [
            '{"address": {"bus": "25", "function": "[45]"}, "resource_class": "A"}',
            '{"product_id": "25b7"}',
        ],
        '{"name": "a", "vendor_id": "10de", "product_id": "25b7"}',
    )
    case |= {"host": [*FAMILY, *beside], "numa": [0]}
    both = Both(nova, case)
    assert both.publish()
    asked = _Asked(nova, case, both)
    taken = asked.take()
    assert taken is not None
    (device,) = taken[0][1]
    theirs = asked.tell("claim", [[asked.home[device.address]]])
    return theirs.said, [str(device.address)]


QUESTIONS = (
    Question("claims by class", 6, _cases(), _compare, {"granted": 0.3}),
)
