# SPDX-License-Identifier: Apache-2.0
"""Which tracked devices are what a request says, and why others aren't.

What is said is compared with what the host shows: a tag of the operator's may
be called as a property is, and says nothing here. What can't be read doesn't
hold.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant import exception, source
from nova_vfio_variant.host.observe import topology, vendor_vgpu
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import alias, class_words, entry, function
from nova_vfio_variant.pci import request as pci_request
from nova_vfio_variant.tracker import names as tracked_names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts
    from nova_vfio_variant.tracker import device as tracked
    from nova_vfio_variant.tracker import store as tracker_store

Address = pci_address.PciAddress
#: The address of each device that has a name.
NamedAt = ty.Mapping[str, Address]
_LEGACY: ty.Final = "legacy"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One step on the way to a choice.

    :param name: what was asked
    :param left: how many devices it left
    :param removed: how many it removed, by reason
    """

    name: str
    left: int
    removed: ty.Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """A request, and the devices that are what it says.

    :param request: as whoever chooses understands it
    :param fits: their addresses
    :param steps: what removed the others, in order
    """

    request: alias.PciRequest
    fits: frozenset[Address]
    steps: tuple[Step, ...]

    @property
    def told(self) -> str:
        """Which step removed the last, and why, where none is left."""
        step = next(step for step in self.steps if not step.left)
        if not step.removed:
            return "no device_spec names a device of this host"
        why = ", ".join(
            f"{count} {reason}"
            for reason, count in sorted(step.removed.items())
        )
        return f"{step.name} leaves none: {why}"


def names_of(
    store: tracker_store.Store, facts: host_facts.HostFacts
) -> NamedAt:
    """Where the devices stand that have a name, by name and by id.

    A name whose device was exchanged means nothing here.
    """
    return {
        word: known.address
        for known in store.names.all()
        if known.is_of(facts.scan.get(known.address))
        for word in (known.id, known.name)
    }


def need(
    asked: pci_request.DeviceRequest,
    devices: ty.Sequence[tracked.Device],
    facts: host_facts.HostFacts,
    names: NamedAt,
    numa_policy: str | None,
) -> Need:
    """Who is what a request says.

    :param devices: those that a ``device_spec`` names
    :raises ConfigError: a device that it names isn't there, or isn't one of
        them
    """
    tracked_at = {device.address for device in devices}
    seen = [
        known
        for device in devices
        if (known := facts.scan.get(device.address)) is not None
    ]
    steps = [Step("device_spec", len(seen))]
    for name, is_so in _conditions(asked, tracked_at, facts, names):
        kept = []
        removed: collections.Counter[str] = collections.Counter()
        for known in seen:
            said = is_so(known)
            if said is None:
                kept.append(known)
            else:
                removed[said] += 1
        seen = kept
        steps.append(Step(name, len(seen), removed))
    return Need(
        _request(asked, numa_policy),
        frozenset(known.address for known in seen),
        tuple(steps),
    )


def _request(
    asked: pci_request.DeviceRequest, numa_policy: str | None
) -> alias.PciRequest:
    """What stands for it: any device, a whole PF only for who asks for one."""
    types = (None, "type-PF") if asked.takes_pfs else (None,)
    policy = numa_policy or _LEGACY
    return alias.PciRequest(
        asked.label,
        asked.wanted,
        tuple(
            alias.Alias(
                asked.label,
                source.SourceText.of("{}"),
                device_type=device_type,
                numa_policy=policy,
            )
            for device_type in types
        ),
        policy,
        is_alias=False,
    )


#: Why a function isn't what is asked for, in a few words; None if it is.
_Condition = ty.Callable[[function.PciFunction], str | None]


def _conditions(
    asked: pci_request.DeviceRequest,
    candidates: ty.Collection[Address],
    facts: host_facts.HostFacts,
    names: NamedAt,
) -> ty.Iterator[tuple[str, _Condition]]:
    """Each thing that a request says, and who is so."""
    if asked.named:
        places = _places(asked.named, candidates, facts, names)
        yield (
            "device " + ", ".join(asked.named),
            lambda known: None if known.address in places else "another",
        )
    if asked.device_class is not None:
        yield (
            f"class {asked.device_class}",
            lambda known: _but(
                class_words.word(known.class_code), asked.device_class
            ),
        )
    for key, wanted in asked.properties.items():
        yield f"{key} {wanted}", _property(key, wanted, facts)
    if not asked.takes_pfs:
        # Nova gives a PF to nobody who doesn't ask for one, either.
        yield (
            "no whole PF",
            lambda known: (
                "a PF: ask with type=PF, or by its address"
                if known.dev_type == "type-PF"
                else None
            ),
        )


def _but(found: str | None, wanted: str | None) -> str | None:
    if found == wanted:
        return None
    return "unknown" if found is None else found


def _property(
    key: str, wanted: str, facts: host_facts.HostFacts
) -> _Condition:
    if key == "vgpu_type":
        return lambda known: _vgpu_type(known, wanted, facts)
    return lambda known: _but(_fact(known, key, facts), wanted)


def _fact(
    known: function.PciFunction, key: str, facts: host_facts.HostFacts
) -> str | None:
    """A property of a function, as requests have it; None if unknown."""
    tree = facts.scan.tree
    if key in known.lost:
        return None
    if key == "vendor":
        return known.vendor_id
    if key == "type":
        return known.dev_type
    if key == "numa_node":
        return "-1" if known.numa_node is None else str(known.numa_node)
    if key == "driver":
        return known.driver or pci_request.NO_DRIVER
    if key == "pf":
        return None if known.physfn is None else str(known.physfn)
    if key == "pcie_root":
        return topology.place(tree, known.physfn or known.address).root
    assert key == "iommufd"
    return "yes" if topology.has_iommufd(tree, known) else "no"


def _vgpu_type(
    known: function.PciFunction, wanted: str, facts: host_facts.HostFacts
) -> str | None:
    """Whether a VF has a type now, by its number or its name."""
    seen = facts.vgpus.get(known.address)
    if seen is None:
        return "no vGPU"
    if seen.current is None:
        return "unknown"
    if seen.current == vendor_vgpu.NONE:
        return "no type"
    name = {
        kind.id: kind.name
        for kinds in (
            seen.types or (),
            facts.records.vgpu_types.get(known.physfn, ())
            if known.physfn is not None
            else (),
        )
        for kind in kinds
    }.get(seen.current, "")
    # Without its vendor, too: 'NVIDIA A16-8Q' is A16-8Q.
    words = {seen.current, name, name.partition(" ")[2]} - {""}
    return None if wanted in words else name or seen.current


def _places(
    words: ty.Iterable[str],
    candidates: ty.Collection[Address],
    facts: host_facts.HostFacts,
    names: NamedAt,
) -> frozenset[Address]:
    """Where devices stand that are named.

    :raises ConfigError: one isn't there, no device_spec names it, or two
        words name the same
    """
    found: dict[Address, str] = {}
    for word in words:
        address = _place(word, facts, names)
        shown = word if word == str(address) else f"{word}, {address},"
        if facts.scan.get(address) is None:
            raise exception.ConfigError(
                f"this host has no PCI function {shown.rstrip(',')}",
                _near(word, facts, names),
            )
        if address not in candidates:
            raise exception.ConfigError(
                f"no [pci] device_spec names {shown.rstrip(',')}",
                "'nova-vfio device list' shows those that are named;"
                f" 'nova-vfio explain {address}' says why this isn't",
            )
        if address in found:
            raise exception.ConfigError(
                f"{found[address]} and {word} are the same device, {address}",
                "name it once",
            )
        found[address] = word
    return frozenset(found)


def _place(word: str, facts: host_facts.HostFacts, names: NamedAt) -> Address:
    """Where a device stands that is given by address, name or index.

    :raises ConfigError: there is no such name, or no such index
    """
    of_class = pci_request.index(word)
    if of_class is not None:
        kind, number = of_class
        listed = [
            known.address
            for known in facts.scan.functions
            if class_words.word(known.class_code) == kind
        ]
        if number >= len(listed):
            raise exception.ConfigError(
                f"this host has no {word}: it has {len(listed)} of class"
                f" {kind}",
                f"'nova-vfio host list --class {kind}' shows them; the first"
                f" is {kind}:0",
            )
        return listed[number]
    at = names.get(tracked_names.meant(word))
    if at is not None:
        return at
    try:
        return Address.parse(word)
    except ValueError:
        raise exception.ConfigError(
            f"no device is called {word!r}", _near(word, facts, names)
        ) from None


def _near(word: str, facts: host_facts.HostFacts, names: NamedAt) -> str:
    """The device that is most likely meant."""
    known = [*names, *(str(seen.address) for seen in facts.scan.functions)]
    near = entry.nearest(word, known)
    listed = "'nova-vfio host list' shows all"
    return listed if near is None else f"did you mean {near}? {listed}"


def told_place(card: Address, facts: host_facts.HostFacts) -> str:
    """Where a card hangs, as a sentence has it."""
    place = topology.place(facts.scan.tree, card)
    root = place.root or "an unknown root complex"
    return root if place.port is None else f"{root}, behind {place.port}"
