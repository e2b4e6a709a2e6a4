# SPDX-License-Identifier: Apache-2.0
"""What a claim asks for, and which free devices it gets."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import mdev_choice, nearness
from nova_vfio_variant.host.observe import numa, topology
from nova_vfio_variant.node import (
    candidates,
    choosing,
    claim_taking,
    claiming,
    mdev_claims,
    ordering,
    placement_side,
    records,
    request_devices,
    vgpu_claims,
    vgpu_shares,
)
from nova_vfio_variant.pci import flavor
from nova_vfio_variant.pci import request as pci_request
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias


#: How many orders of requests are tried, for one may take what another needs.
_TURNS: ty.Final = 24
#: How each strategy chooses between parents of mediated devices. They have no
#: order by NUMA nodes: --numa leaves out those that are too far.
_OF_MDEVS: ty.Final[
    ty.Mapping[pci_request.Strategy | None, mdev_choice.Strategy]
] = {
    None: mdev_choice.Strategy.COMPACT,
    pci_request.Strategy.PACK: mdev_choice.Strategy.COMPACT,
    pci_request.Strategy.NUMA: mdev_choice.Strategy.COMPACT,
    pci_request.Strategy.SPREAD: mdev_choice.Strategy.SPREAD,
    pci_request.Strategy.SEPARATE: mdev_choice.Strategy.SEPARATE,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a claim asks for.

    :param wishes: functions, and vGPUs of them
    :param mdevs: mediated devices, how many of each type
    :param by_alias: those of them that an alias asks for, by their class
    :param request: all of it, as it was said
    """

    wishes: vgpu_claims.Wishes
    mdevs: mdev_claims.Asked = dataclasses.field(default_factory=dict)
    by_alias: tuple[mdev_claims.ByAlias, ...] = ()
    request: pci_request.Request | None = None

    @classmethod
    def parsed(
        cls, given: facts.CheckInput, request: pci_request.Request
    ) -> Asked:
        """What a request asks for.

        :raises ConfigError: there is no such alias or type, or one that is
            asked for in two ways
        :raises ClaimError: types of VFs are asked for beside nova-compute
        """
        aliases: ty.Sequence[alias.PciRequest] = ()
        if request.alias is not None:
            aliases = flavor.parse_request(
                request.alias, given.aliases, request.numa_policy
            )
        functions = []
        found = []
        for by_alias in aliases:
            of_class = mdev_claims.by_alias(given, by_alias)
            if of_class is None:
                functions.append(by_alias)
            else:
                found.append(of_class)
        wishes, mdevs = vgpu_claims.wishes(
            given, functions, request.vgpu_types
        )
        asked = [*mdevs, *(of_class.type_id for of_class in found)]
        twice = {kind for kind in asked if asked.count(kind) > 1}
        if twice:
            raise exception.ConfigError(
                f"mediated devices of type {min(twice)} are asked for twice",
                "ask for all of them by one alias, or by --vgpu-type",
            )
        return cls(
            wishes,
            {**mdevs, **{kind.type_id: kind.count for kind in found}},
            tuple(found),
            request,
        )

    @property
    def devices(self) -> tuple[pci_request.DeviceRequest, ...]:
        """What is asked for by what devices are."""
        return () if self.request is None else self.request.devices

    @property
    def as_json(self) -> str:
        """What is asked for, in one form for all that ask for the same."""
        asked: dict[str, ty.Any] = {
            "counts": sorted(map(list, self.counts)),
            "numa_policy": sorted(
                {wish.request.numa_policy for wish in self.wishes}
            ),
        }
        if self.request is not None:
            asked |= _beyond(self.request)
        return json.dumps(asked, sort_keys=True)

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many by which alias, or of which type."""
        return (
            *(
                (wish.request.alias_name, wish.request.count)
                for wish in self.wishes
            ),
            *self.mdevs.items(),
            *((wanted.label, wanted.wanted) for wanted in self.devices),
        )


def _beyond(request: pci_request.Request) -> dict[str, ty.Any]:
    """What a request says beside counts, in one form; nothing of defaults."""
    said: dict[str, ty.Any] = {
        "devices": sorted(
            (wanted.as_data() for wanted in request.devices),
            key=lambda data: json.dumps(data, sort_keys=True),
        ),
        "closest": request.closest,
        "strategy": request.strategy and str(request.strategy),
        "numa": request.numa_cells and sorted({*request.numa_cells}),
    }
    found = {key: value for key, value in said.items() if value}
    if request.devices and request.numa_policy is not None:
        found["devices_numa_policy"] = request.numa_policy
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """What a claim gets.

    :param taken: functions, for each request
    :param vgpus: that are to be made of some of them
    :param mdevs: that are to be made beside them
    """

    taken: choosing.Taken
    vgpus: vgpu_claims.Made
    mdevs: mdev_claims.Made


class ClaimChoice(claiming.Claiming):
    """Chooses free devices for claims."""

    def of(self, asked: Asked, instance_uuid: str) -> Chosen:
        """Free devices for an instance, for each request.

        :raises NotEnoughDevices: there are not so many
        :raises HostRefused: a mediated device can't be made
        """
        published = placement_side.PlacementSide(self._context).publication(
            self._store
        )
        gone = published.spent()
        records.remember_spent(self._store, gone)
        devices = tuple(self._store.devices())
        try:
            return candidates.chosen(
                published,
                devices,
                lambda some: self.among(some, asked, instance_uuid),
                self._sizes,
            )
        except exception.NotEnoughDevices as error:
            if gone:
                error.hint = published.told_spent(gone)
            raise

    def _sizes(
        self, made: vgpu_claims.Made
    ) -> dict[pci_address.PciAddress, int]:
        """See :func:`.vgpu_shares.of_vgpus`."""
        scan = self._context.declared.scan
        assert scan is not None
        return vgpu_shares.of_vgpus(self._store, scan, made)

    def among(
        self,
        devices: ty.Sequence[tracked.Device],
        asked: Asked,
        instance_uuid: str,
    ) -> Chosen:
        """The same, of devices as they are given. Nothing is written.

        :param devices: all that are tracked, in rising order of address
        """
        judge = self.judge(devices)
        choice = self.choice(asked)
        taken, made = self._functions(
            asked, instance_uuid, devices, judge, choice
        )
        mine = {
            one.address: instance_uuid for _, some in taken for one in some
        }
        facts = judge.facts.knowing(
            owners={**judge.records.owners, **mine},
            quarantined=judge.records.quarantined,
            cordoned=judge.records.cordoned,
        )
        mediated = mdev_claims.MdevClaims(self._context, self._store).chosen(
            asked.mdevs, facts, instance_uuid, choice
        )
        return Chosen(taken, made, mediated)

    def choice(self, asked: Asked) -> mdev_claims.Choice:
        """How parents of mediated devices are chosen between."""
        request = asked.request
        assert request is not None
        return mdev_claims.Choice(
            _OF_MDEVS[request.strategy],
            request.numa_cells,
            numa.sockets(self._context.tree),
            request.numa_policy or "legacy",
            asked.by_alias,
        )

    def order(
        self, asked: Asked, judge: host_verdicts.Verdicts
    ) -> ordering.Order | None:
        """The order that is asked for; None for Nova's."""
        request = asked.request
        assert request is not None
        if request.strategy is None and not request.closest:
            return None
        scan = judge.facts.scan

        @functools.cache
        def path_of_card(card: pci_address.PciAddress) -> nearness.Path:
            place = topology.place(scan.tree, card)
            known = scan.get(card)
            node = None if known is None else known.numa_node
            return nearness.path(node, place.root, place.port, str(card))

        return ordering.Order(
            request.strategy,
            request.closest,
            lambda device: path_of_card(ordering.card_of(device)),
        )

    def needs(
        self,
        asked: Asked,
        devices: ty.Sequence[tracked.Device],
        judge: host_verdicts.Verdicts,
    ) -> list[request_devices.Need]:
        """Which devices are what is asked for; the fewest come first.

        :raises ConfigError: a device that is named isn't there
        """
        policy = None if asked.request is None else asked.request.numa_policy
        facts = judge.known
        names: request_devices.NamedAt = {}
        if asked.devices:
            names = request_devices.names_of(self._store, facts)
        found = [
            request_devices.need(wanted, devices, facts, names, policy)
            for wanted in asked.devices
        ]
        return sorted(
            found, key=lambda need: len(need.fits) - need.request.count
        )

    def _functions(
        self,
        asked: Asked,
        instance_uuid: str,
        devices: ty.Sequence[tracked.Device],
        judge: host_verdicts.Verdicts,
        choice: mdev_claims.Choice,
    ) -> tuple[choosing.Taken, vgpu_claims.Made]:
        """Free functions, and the vGPUs that are to be made of some.

        What few devices are goes first. Where one request takes what another
        one needs, they are tried in other orders.
        """
        taking = claim_taking.Taking(
            vgpu_claims.VgpuClaims(self._context, self._store),
            instance_uuid,
            devices,
            judge,
            verdicts(
                judge, devices, self._context.declared.unread, instance_uuid
            ),
            choice,
            self.order(asked, judge),
        )
        needs = self.needs(asked, devices, judge)
        error: exception.NotEnoughDevices | None = None
        parts: list[claim_taking.Part] = [*needs]
        if asked.wishes:
            parts.append(asked.wishes)
        for turn in itertools.islice(itertools.permutations(parts), _TURNS):
            try:
                return taking.of(turn)
            except exception.NotEnoughDevices as refused:
                error = error or refused
        assert error is not None
        raise error

    def for_anybody(
        self,
        wishes: vgpu_claims.Wishes,
        devices: ty.Sequence[tracked.Device],
        judge: host_verdicts.Verdicts,
        near: tuple[ty.Sequence[int] | None, choosing.Sockets],
    ) -> choosing.Taken:
        """Free functions for whoever comes. Nothing is written.

        :param near: the guest's NUMA nodes, and the sockets of all
        :returns: first for what asks for no type, then for each that does
        :raises NotEnoughDevices: there are not so many
        """
        unread = self._context.declared.unread
        taking = claim_taking.Taking(
            vgpu_claims.VgpuClaims(self._context, self._store),
            None,
            devices,
            judge,
            verdicts(judge, devices, unread, None),
            mdev_claims.Choice(numa_cells=near[0], sockets=near[1]),
            None,
        )
        return taking.of([wishes])[0]

    def judge(
        self, devices: ty.Sequence[tracked.Device]
    ) -> host_verdicts.Verdicts:
        """What gives the verdict on devices, with all that is recorded now.

        :raises JournalError: the journal is damaged
        """
        declared = self._context.declared
        assert declared.scan is not None
        return declared.judging(
            records.read(
                self._store, devices, declared.scan, self._context.state
            )
        )


def verdicts(
    judge: host_verdicts.Verdicts,
    devices: ty.Sequence[tracked.Device],
    unread: ty.Collection[pci_address.PciAddress],
    instance_uuid: str | None,
) -> dict[pci_address.PciAddress, assignability.Verdict]:
    """The verdict on each device that is free, for an instance.

    What could not be read now counts as in use, and so does what the host's
    preparation was killed in the middle of.
    """
    return {
        device.address: judge.at(device.address, instance_uuid)
        for device in devices
        if device.status == tracked.Status.AVAILABLE
        and device.address not in unread
    }
