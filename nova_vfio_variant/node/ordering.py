# SPDX-License-Identifier: Apache-2.0
"""Which of several devices that could all serve a request it gets. Pure.

Where nobody asks for an order it is Nova's (:mod:`nova_vfio_variant.pci.pools`).
"""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant.host.decide import nearness
from nova_vfio_variant.pci import request
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address

    Address = pci_address.PciAddress
    #: What of each card is in use.
    Used = collections.Counter[Address]

_FREE: ty.Final = tracked.Status.AVAILABLE


def card_of(device: tracked.Device) -> Address:
    """The card of a device: its PF, or itself."""
    return device.parent_addr or device.address


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """The order that a claim asks for.

    :param strategy: None where only nearness counts
    :param closest: the whole claim hangs as near together as can be
    :param path_of: where a device hangs
    :param beside: what the claim has already
    """

    strategy: request.Strategy | None
    closest: bool
    path_of: ty.Callable[[tracked.Device], nearness.Path]
    beside: tuple[tracked.Device, ...] = ()

    def having(self, taken: ty.Iterable[tracked.Device]) -> Order:
        """The same order, where the claim has more."""
        return dataclasses.replace(self, beside=(*self.beside, *taken))

    def pick(
        self,
        candidates: ty.Sequence[tracked.Device],
        count: int,
        devices: ty.Iterable[tracked.Device],
        last: ty.Collection[Address] = (),
    ) -> list[tracked.Device]:
        """The devices that a request gets, in the order taken.

        :param candidates: that could serve it, the preferred first
        :param devices: all that are tracked
        :param last: those that come last among equals
        """
        taken = {device.address for device in self.beside}
        used = collections.Counter(
            card_of(device)
            for device in devices
            if device.status != _FREE or device.address in taken
        )
        equal = sorted(candidates, key=lambda device: device.address in last)
        ordered = self._ordered(equal, count, used)
        if not self.closest:
            return ordered[:count]
        chosen = nearness.closest(
            [self.path_of(device) for device in ordered],
            count,
            [self.path_of(device) for device in self.beside],
        )
        return [ordered[number] for number in chosen]

    def _ordered(
        self, candidates: list[tracked.Device], count: int, used: Used
    ) -> list[tracked.Device]:
        if self.strategy is None:
            return candidates
        if self.strategy is request.Strategy.NUMA:
            return self._by_node(candidates, count)
        ordered = []
        left = list(candidates)
        used = used.copy()
        while left:
            place = min(
                range(len(left)),
                key=lambda at: self._of_card(used[card_of(left[at])]),
            )
            ordered.append(left.pop(place))
            used[card_of(ordered[-1])] += 1
            if len(ordered) == count and not self.closest:
                break
        return ordered

    def _of_card(self, used: int) -> tuple[bool, int]:
        """Where a card of which so many are in use comes."""
        if self.strategy is request.Strategy.SPREAD:
            return False, used
        return self.strategy is request.Strategy.SEPARATE and used > 0, -used

    def _by_node(
        self, candidates: list[tracked.Device], count: int
    ) -> list[tracked.Device]:
        """All of one node before those of the next.

        The first is one that the claim has devices of, then one that
        suffices, of these the one with the fewest left. A node that isn't
        known comes last.
        """
        free = collections.Counter(device.numa_node for device in candidates)
        mine = collections.Counter(device.numa_node for device in self.beside)

        def place(device: tracked.Device) -> tuple[bool, int, bool, int, int]:
            node = device.numa_node
            left = free[node]
            return (
                node is None,
                -mine[node],
                left < count,
                left if left >= count else -left,
                -1 if node is None else node,
            )

        return sorted(candidates, key=place)
