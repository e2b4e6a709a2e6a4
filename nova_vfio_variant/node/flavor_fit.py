# SPDX-License-Identifier: Apache-2.0
"""What a flavor's aliases would get on this host, by the choice of claims."""

from __future__ import annotations

import dataclasses
import itertools
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.node import vgpu_choosing
from nova_vfio_variant.pci import filters, pools
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.node import choosing, claim_choice
    from nova_vfio_variant.pci import address as pci_address

FittingDevices = tuple[tracked.Device, ...]
#: Host NUMA nodes that a guest is on; None where it has no topology.
Nodes = tuple[int, ...] | None

#: Steps behind Nova's filters.
TRACKED: ty.Final = "device_spec"
VERDICT: ty.Final = "verdict"
CLAIMS: ty.Final = "claims"
COUNT: ty.Final = "count"

_ANYWHERE: ty.Final = filters.Place(None, None)
#: Of more ways to lay a guest's nodes on the host's nobody looks at the rest.
_MOST_PLACES: ty.Final = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """Why a request gets nothing.

    :param step: the one that removed the last candidate
    :param why: in a sentence without a full stop
    :param hint: what to do about it
    """

    step: str
    why: str
    hint: str | None = None


class Fit:
    """Tries requests on a host as it is, and takes nothing.

    :param choice: chooses as it does for claims
    :param devices: all that are tracked
    :param judge: gives the verdict on each
    :param sockets: for each NUMA node of the host its socket
    """

    def __init__(
        self,
        choice: claim_choice.ClaimChoice,
        devices: FittingDevices,
        judge: host_verdicts.Verdicts,
        sockets: choosing.Sockets,
    ) -> None:
        self._choice = choice
        self._devices = devices
        self.judge = judge
        self._sockets = sockets

    def taken(
        self, wishes: ty.Sequence[vgpu_choosing.Wish], numa_nodes: int
    ) -> dict[int, FittingDevices]:
        """For each wish, by its place, what one guest would get.

        :param numa_nodes: that the guest has
        :raises NotEnoughDevices: it gets nothing
        """
        error = None
        for nodes in self._places(numa_nodes):
            try:
                return self._try(wishes, nodes, 1)
            except exception.NotEnoughDevices as refused:
                error = refused
        raise error or exception.NotEnoughDevices(
            f"its guests have {numa_nodes} NUMA node(s), and {len(self._sockets)}"
            " of the host can be seen"
        )

    def at_once(
        self, wishes: ty.Sequence[vgpu_choosing.Wish], numa_nodes: int
    ) -> int:
        """How many such guests there could be at once."""
        try:
            self.taken(wishes, numa_nodes)
        except exception.NotEnoughDevices:
            return 0
        if not numa_nodes:
            return self._most(wishes, None)
        everywhere = self._most(wishes, tuple(self._sockets))
        if numa_nodes > 1:
            return max(everywhere, 1)
        alone = sum(self._most(wishes, (node,)) for node in self._sockets)
        return min(alone, everywhere)

    def refused(
        self,
        wish: vgpu_choosing.Wish,
        numa_nodes: int,
        error: exception.NotEnoughDevices,
    ) -> Refused:
        """Which step removed the last candidate for a wish.

        :param error: what the choice said
        """
        return Refused(self._step(wish, numa_nodes), error.message, error.hint)

    def state(
        self, wish: vgpu_choosing.Wish, devices: FittingDevices
    ) -> assignability.State:
        """Ready, if all of some chosen devices are."""
        if all(
            self._verdict(wish, device).state is assignability.State.READY
            for device in devices
        ):
            return assignability.State.READY
        return assignability.State.PREPARABLE

    def _step(self, wish: vgpu_choosing.Wish, numa_nodes: int) -> str:
        seen = vgpu_choosing.candidates(
            self._devices,
            wish,
            {device.address for device in self._devices},
        )
        if not seen:
            return TRACKED
        found = set()
        for step, left in _filtered(seen, wish):
            if not left:
                return step
            found = left
        candidates = [one for one in seen if one.address in found]
        fit = [
            device
            for device in candidates
            if device.instance_uuid is not None
            or self._verdict(wish, device).is_assignable
        ]
        if not fit:
            return VERDICT
        if all(one.status != tracked.Status.AVAILABLE for one in fit):
            return CLAIMS
        if numa_nodes:
            try:
                self._try([wish], None, 1)
            except exception.NotEnoughDevices:
                return COUNT
            return filters.Step.NUMA
        return COUNT

    def _verdict(
        self, wish: vgpu_choosing.Wish, device: tracked.Device
    ) -> assignability.Verdict:
        known = wish.type_of(device)
        return self.judge.at(
            device.address, vgpu_type=None if known is None else known.id
        )

    def _places(self, numa_nodes: int) -> ty.Iterable[Nodes]:
        """Where a guest could be."""
        if not numa_nodes:
            return (None,)
        return itertools.islice(
            itertools.combinations(sorted(self._sockets), numa_nodes),
            _MOST_PLACES,
        )

    def _try(
        self,
        wishes: ty.Sequence[vgpu_choosing.Wish],
        nodes: Nodes,
        guests: int,
    ) -> dict[int, FittingDevices]:
        """What so many guests would get.

        :raises NotEnoughDevices: they get nothing
        """
        asked = [
            dataclasses.replace(
                wish,
                request=dataclasses.replace(
                    wish.request, count=wish.request.count * guests
                ),
            )
            for wish in wishes
        ]
        taken = self._choice.for_anybody(
            asked, self._devices, self.judge, (nodes, self._sockets)
        )
        places = sorted(
            range(len(asked)), key=lambda place: bool(asked[place].types)
        )
        return {
            place: devices
            for place, (_, devices) in zip(places, taken, strict=True)
        }

    def _most(
        self, wishes: ty.Sequence[vgpu_choosing.Wish], nodes: Nodes
    ) -> int:
        """How many guests on these nodes, by halves."""
        each = sum(wish.request.count for wish in wishes)
        least, over = 0, len(self._devices) // max(each, 1) + 1
        while over - least > 1:
            middle = (least + over) // 2
            try:
                self._try(wishes, nodes, middle)
            except exception.NotEnoughDevices:
                over = middle
            else:
                least = middle
        return least


def _filtered(
    devices: ty.Iterable[tracked.Device], wish: vgpu_choosing.Wish
) -> ty.Iterator[tuple[str, set[pci_address.PciAddress]]]:
    """What each of Nova's filters leaves of devices, as if all were free."""
    free = pools.Pools.of(
        (
            dataclasses.replace(device, status=tracked.Status.AVAILABLE)
            for device in devices
        ),
        by_class=True,
    )
    left = {pool: len(pool.devices) for pool in free.pools}
    for step, found in filters.steps(left, wish.request, _ANYWHERE, ()):
        yield step, {at for pool in found for at in pool.devices}
