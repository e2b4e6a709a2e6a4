# SPDX-License-Identifier: Apache-2.0
"""What is seen of a node, beside what somebody else sees of it."""

import typing as ty

from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.node import context, tracked_devices
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import device as tracked
from tests.stress import model, place

if ty.TYPE_CHECKING:
    from tests.stress import world


def unlike_placement(
    on: "world.World", claims: ty.Sequence[tracked.Claim]
) -> ty.Iterator[str]:
    """Where Placement isn't as the store is, when nothing is under way."""
    assert on.placement is not None
    allocations = on.placement.allocations()
    yield from model.differing(
        [
            (claim.instance_uuid, name)
            for claim in claims
            for name in map(str, claim.addresses)
            if name.startswith("0000:21")
        ],
        [row for row in allocations if "0000:21" in row[1]],
        "host",
    )
    yield from model.overused(on.placement.used())
    strange = {row[0] for row in allocations} - {
        claim.instance_uuid for claim in claims
    }
    if strange:
        yield f"{strange} have allocations and no claim"


def offered(on: "world.World") -> ty.Iterator[str]:
    """Of which VFs Placement offers more than can be given."""
    if on.placement is None or "8086:10ca" not in place.SPECS[on.configured]:
        return
    name = f"host_{place.NIC.upper()}"
    free = len(
        [
            one
            for one in place.NIC_VFS
            if on.operators.against(one) is None
            and not any(one in of.addresses for of in on.instances)
        ]
    )
    for at, left in on.placement.left():
        if at == name and left > free:
            yield f"{left} of its VFs are offered, {free} can be given"


def too_ready(on: "world.World", now: context.Context) -> ty.Iterator[str]:
    """Verdicts that say ready, beside what the files say."""
    seen = {one["address"]: one for one in on.functions()}
    groups = [one["iommu_group"] for one in seen.values()]
    devices = tracked_devices.TrackedDevices(now)
    opened = on.open_in()
    for name in (*place.NIC_VFS, place.SPARE):
        verdict = devices.verdict(pci_address.PciAddress.parse(name))
        if verdict.state is not assignability.State.READY:
            continue
        one = seen.get(name)
        if (
            one is None
            or one["vfio_driver"] is None
            or groups.count(one["iommu_group"]) != 1
            or name in opened
            or on.operators.against(name) is not None
        ):
            yield f"{name} is called ready, and is {one}"
