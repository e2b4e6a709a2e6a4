# SPDX-License-Identifier: Apache-2.0
"""What a claim asks for, and which free devices it gets."""

from __future__ import annotations

import dataclasses
import json
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import (
    choosing,
    claiming,
    desired,
    mdev_claims,
    placement_side,
    records,
    vgpu_claims,
)
from nova_vfio_variant.pci import flavor
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a claim asks for.

    :param wishes: functions, and vGPUs of them
    :param mdevs: mediated devices, how many of each type
    :param by_alias: those of them that an alias asks for, by their class
    """

    wishes: vgpu_claims.Wishes
    mdevs: mdev_claims.Asked = dataclasses.field(default_factory=dict)
    by_alias: tuple[mdev_claims.ByAlias, ...] = ()

    @classmethod
    def parsed(
        cls,
        given: facts.CheckInput,
        aliases: str | None,
        numa_policy: str | None,
        types: ty.Sequence[str],
    ) -> Asked:
        """What words ask for.

        :param aliases: and counts, ``A:2,B:1``; None for none
        :param types: by id or name, ``T`` or ``T:2``
        :raises ConfigError: there is no such alias or type, or one that is
            asked for in two ways
        :raises ClaimError: types of VFs are asked for beside nova-compute
        """
        requests: ty.Sequence[alias.PciRequest] = ()
        if aliases is not None:
            requests = flavor.parse_request(
                aliases, given.aliases, numa_policy
            )
        functions = []
        found = []
        for request in requests:
            of_class = mdev_claims.by_alias(given, request)
            if of_class is None:
                functions.append(request)
            else:
                found.append(of_class)
        wishes, mdevs = vgpu_claims.wishes(given, functions, types)
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
        )

    @property
    def as_json(self) -> str:
        """What is asked for, in one form for all that ask for the same."""
        asked: dict[str, ty.Any] = {
            "counts": sorted(map(list, self.counts)),
            "numa_policy": sorted(
                {wish.request.numa_policy for wish in self.wishes}
            ),
        }
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
        )


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

    def of(
        self, asked: Asked, instance_uuid: str, choice: mdev_claims.Choice
    ) -> Chosen:
        """Free devices for an instance, for each request.

        :raises NotEnoughDevices: there are not so many
        :raises HostRefused: a mediated device can't be made
        """
        gone = (
            placement_side.PlacementSide(self._context)
            .publication(self._store)
            .spent()
        )
        records.remember_spent(self._store, gone)
        devices = tuple(self._store.devices())
        judge = self._judge(devices)
        try:
            taken, made = self._functions(
                asked.wishes, instance_uuid, devices, judge, choice
            )
        except exception.NotEnoughDevices as error:
            if gone:
                error.hint = desired.told_spent(gone)
            raise
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

    def _functions(
        self,
        wishes: vgpu_claims.Wishes,
        instance_uuid: str,
        devices: ty.Sequence[tracked.Device],
        judge: host_verdicts.Verdicts,
        choice: mdev_claims.Choice,
    ) -> tuple[choosing.Taken, vgpu_claims.Made]:
        """Free functions, and the vGPUs that are to be made of some."""
        numa_cells, sockets = choice.numa_cells, choice.sockets
        vgpus = vgpu_claims.VgpuClaims(self._context, self._store)
        made: vgpu_claims.Made = []
        taken = choosing.choose(
            devices,
            _verdicts(
                judge, devices, self._context.declared.unread, instance_uuid
            ),
            [wish.request for wish in wishes if not wish.types],
            numa_cells,
            sockets,
            vgpus.doubtful(judge),
        )
        for wish in wishes:
            if wish.types:
                left = choosing.but(devices, taken)
                some = vgpus.chosen(
                    wish, left, judge, instance_uuid, numa_cells, sockets
                )
                taken += some
                for _, chosen in some:
                    made += vgpus.to_make(wish, chosen, judge, instance_uuid)
        return taken, made

    def _judge(
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


def _verdicts(
    judge: host_verdicts.Verdicts,
    devices: ty.Sequence[tracked.Device],
    unread: ty.Collection[pci_address.PciAddress],
    instance_uuid: str,
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
