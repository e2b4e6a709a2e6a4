# SPDX-License-Identifier: Apache-2.0
"""What of a device follows from configuration and host, and may wait.

The rest of a :class:`~nova_vfio_variant.tracker.device.Device` (its status
and its owner) is ours to say.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as ty

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function, names
from nova_vfio_variant.pci import spec as pci_spec
from nova_vfio_variant.tracker import device as tracked

#: Fields of a Device that configuration and host decide.
NAMES = (
    "vendor_id",
    "product_id",
    "dev_type",
    "numa_node",
    "parent_addr",
    "resource_class",
    "traits",
    "tags",
    "extra_info",
)

#: Keys of ``extra_info`` that say what was seen. They never wait: libvirt
#: binds a managed device to vfio-pci just because it is in use.
OBSERVED = frozenset({"driver", "iommu_group", "vfio_driver"})

#: The mark of a device that nothing wants any more.
GONE = ""


def digest(device: tracked.Device) -> str:
    """A short text that is equal for equal properties, in every process.

    What siblings don't share is left out, the IOMMU group and the VF's
    index, so that one digest serves all of them.
    """
    values = [_plain(name, getattr(device, name)) for name in NAMES[:-1]]
    extra_info = dict(device.extra_info)
    extra_info.pop("iommu_group", None)
    card = device.identity and [
        device.identity.subsystem,
        device.identity.serial_number,
    ]
    text = json.dumps([*values, extra_info, card], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def mark(device: tracked.Device) -> str:
    """What was last wanted of this device, as a short text.

    Equal marks mean that a sync has nothing to do. A property that waits
    was wanted, so it counts; :data:`GONE` if the device itself shall go.
    """
    if device.pending is not None:
        if not device.pending:
            return GONE
        device = settled(device)
    index = None if device.identity is None else device.identity.vf_index
    return f"{digest(device)}.{device.extra_info.get('iommu_group')}.{index}"


def settled(device: tracked.Device) -> tracked.Device:
    """The device with what waited applied.

    :param device: with ``pending`` neither None nor empty
    """
    assert device.pending
    changes: dict[str, ty.Any] = dict(device.pending)
    if changes.get("parent_addr") is not None:
        changes["parent_addr"] = pci_address.PciAddress.parse(
            changes["parent_addr"]
        )
    if "traits" in changes:
        changes["traits"] = tuple(changes["traits"])
    if "extra_info" in changes:
        changes["extra_info"] = {
            **changes["extra_info"],
            **_seen(device.extra_info),
        }
    return dataclasses.replace(device, pending=None, **changes)


def waiting(device: tracked.Device, wanted: tracked.Device) -> tracked.Device:
    """The device as it is, with the wanted properties waiting.

    What was seen of the host (:data:`OBSERVED`, and which function it is)
    doesn't wait.

    :returns: with ``pending`` None if nothing differs
    """
    told = _told(device.extra_info)
    pending = {
        name: _plain(name, getattr(wanted, name))
        for name in NAMES[:-1]
        if getattr(wanted, name) != getattr(device, name)
    }
    if _told(wanted.extra_info) != told:
        pending["extra_info"] = _told(wanted.extra_info)
    return dataclasses.replace(
        device,
        extra_info={**told, **_seen(wanted.extra_info)},
        pending=pending or None,
        identity=_more(device, wanted),
    )


def changed(device: tracked.Device, wanted: tracked.Device) -> tracked.Device:
    """The device with the wanted properties, its status and owner kept."""
    return dataclasses.replace(
        device,
        pending=None,
        identity=_more(device, wanted),
        **{name: getattr(wanted, name) for name in NAMES},
    )


def _more(
    device: tracked.Device, wanted: tracked.Device
) -> function.Identity | None:
    """What is known of which function it is, now and from before.

    A fact that can't be read any more (an older kernel knows fewer) would
    else be lost, and with it what tells it from the next card.
    """
    before, now = device.identity, wanted.identity
    if before is None or now is None or before.is_another(now):
        return now or before
    return function.Identity(
        *(
            was if seen is None else seen
            for was, seen in zip(
                dataclasses.astuple(before),
                dataclasses.astuple(now),
                strict=True,
            )
        )
    )


def _told(extra_info: ty.Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in extra_info.items() if k not in OBSERVED}


def _seen(extra_info: ty.Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in extra_info.items() if k in OBSERVED}


def _plain(name: str, value: ty.Any) -> ty.Any:
    """A property as JSON has it."""
    if name == "parent_addr":
        return None if value is None else str(value)
    if name == "traits":
        return list(value)
    return dict(value) if name == "tags" else value


def of(
    seen: function.PciFunction,
    spec: pci_spec.DeviceSpec,
    netdevs: ty.Mapping[pci_address.PciAddress, str],
    by_type: str | None,
) -> tracked.Device:
    """A function as tracked, but for its IOMMU group.

    :param netdevs: of each PF its first interface
    :param by_type: its class where its spec names none
    """
    managed = spec.managed is None or spec.managed
    extra_info = {"managed": str(managed).lower()}
    if spec.live_migratable is not None:
        extra_info["live_migratable"] = str(spec.live_migratable).lower()
    if seen.physfn is not None and seen.physfn in netdevs:
        extra_info["parent_ifname"] = netdevs[seen.physfn]
    if seen.driver is not None:
        extra_info["driver"] = seen.driver
    if seen.vfio_driver is not None:
        extra_info["vfio_driver"] = seen.vfio_driver
    return tracked.Device(
        address=seen.address,
        vendor_id=seen.vendor_id,
        product_id=seen.product_id,
        dev_type=seen.dev_type,
        numa_node=seen.numa_node,
        parent_addr=seen.physfn,
        resource_class=names.resource_class(
            spec.resource_class or by_type, seen.vendor_id, seen.product_id
        ),
        traits=names.traits(spec.traits),
        tags=dict(spec.tags),
        extra_info=extra_info,
        identity=seen.identity,
    )


def taken_first(marks: ty.Iterable[tuple[int, str]], count: int) -> list[int]:
    """Which devices Nova's order takes first, if all of them are wanted.

    Of a pool the last ones, whose place the first one has; what is no VF has
    a pool of its own (:class:`nova_vfio_variant.pci.pools.Pools`). What
    differs in more than its place lies in several here.

    :param marks: numbers of free devices, rising, and their marks
    :param count: how many are wanted
    :returns: rising
    """
    alike: dict[str, list[int]] = {}
    for number, text in marks:
        alike.setdefault(text.partition(".")[0], []).append(number)
    return sorted(
        {
            number
            for some in alike.values()
            for number in (*some[:count], *some[-count:])
        }
    )
