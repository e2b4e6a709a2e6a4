# SPDX-License-Identifier: Apache-2.0
"""What a node tracks: devices, claims, and what was overruled."""

from __future__ import annotations

import dataclasses
import json
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import mdev
from nova_vfio_variant.node import syncing
from nova_vfio_variant.pci import mdev_names
from nova_vfio_variant.tracker import claim_records
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.node import context
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.tracker import mdevs, vgpus
    from nova_vfio_variant.tracker import store as tracker_store
    from nova_vfio_variant.tracker import sync as tracker_sync

_LOG = logging.getLogger(__name__)


_LIFE: ty.Final = tuple(tracked.ClaimState)


@dataclasses.dataclass(frozen=True, slots=True)
class WholeClaim:
    """All that an instance has claimed.

    :param claims: by alias or type
    :param state: of the one that is furthest behind
    :param since: when it was made, in UTC, as ISO 8601 has it; None where an
        older version made it
    :param asked: what was asked for; None where an older version made it
    """

    claims: tuple[tracked.Claim, ...]
    state: tracked.ClaimState
    since: str | None
    asked: ty.Any


def claims(
    on: context.Context,
    store: tracker_store.Store,
    instance_uuid: str | None = None,
) -> tuple[tracked.Claim, ...]:
    """What an instance has: functions first, then mediated devices.

    :param instance_uuid: None for all
    :raises HostError: there are mediated devices, and no host to be seen
    """
    records = store.claim_records.all(instance_uuid)
    of_kind: dict[tuple[str, str], list[mdevs.OurMdev]] = {}
    for made in store.mdevs.all().values():
        owner = made.instance_uuid
        if owner is not None and instance_uuid in (None, owner):
            type_id = mdev_names.parse_kind(made.kind)[1]
            of_kind.setdefault((owner, type_id), []).append(made)
    found = [
        *store.claims(instance_uuid),
        *(
            tracked.Claim(
                owner,
                type_id,
                some[0].assignment,
                (),
                tracked.Status.ALLOCATED
                if all(mdev.now(on.tree, one.uuid) == one.kind for one in some)
                else tracked.Status.CLAIMED,
                tuple(one.uuid for one in some),
            )
            for (owner, type_id), some in sorted(of_kind.items())
        ),
        *(
            claim
            for record in records.values()
            if record.adopted
            for claim in _adopted_mdevs(record)
        ),
    ]
    return tuple(
        sorted(
            (_with_record(claim, records) for claim in found),
            key=lambda claim: claim.instance_uuid,
        )
    )


def mdev_kinds(store: tracker_store.Store) -> dict[str, str]:
    """The kinds of the mediated devices of all claims, and of ours."""
    return {
        uuid: kind
        for kinds in (
            *(
                record.adopted or {}
                for record in store.claim_records.all().values()
            ),
            {uuid: made.kind for uuid, made in store.mdevs.all().items()},
        )
        for uuid, kind in kinds.items()
    }


def _adopted_mdevs(
    record: claim_records.ClaimRecord,
) -> ty.Iterator[tracked.Claim]:
    """The mediated devices that Nova made for an instance, by type."""
    of_type: dict[str, list[str]] = {}
    for uuid, kind in sorted((record.adopted or {}).items()):
        of_type.setdefault(mdev_names.parse_kind(kind)[1], []).append(uuid)
    for type_id, uuids in of_type.items():
        yield tracked.Claim(
            record.instance_uuid,
            type_id,
            record.assignment,
            (),
            tracked.Status.ALLOCATED,
            tuple(uuids),
        )


def _with_record(
    claim: tracked.Claim,
    records: ty.Mapping[str, claim_records.ClaimRecord],
) -> tracked.Claim:
    """A claim, and where it is in its life.

    A mediated device that isn't there, or no more, is to be made again.
    ``mdev create`` records none of what it makes for an instance.
    """
    record = records.get(claim.instance_uuid)
    state = tracked.ClaimState.PREPARED if record is None else record.state
    if (
        claim.status == tracked.Status.CLAIMED
        and state is not tracked.ClaimState.RELEASING
    ):
        state = tracked.ClaimState.CLAIMED
    return dataclasses.replace(
        claim,
        state=state,
        assignment=claim.request_id if record is None else record.assignment,
    )


class TrackedDevices:
    """The tracked devices of a node.

    :param on: what one call sees of the node
    """

    def __init__(self, on: context.Context) -> None:
        self._context = on

    @property
    def was_synced(self) -> bool:
        """Whether anything was ever tracked here.

        Where no host can be seen what is recorded is all that there is.
        """
        if not self._context.has_state:
            return False
        try:
            return self._context.given().was_synced
        except exception.HostError:
            return True

    def devices(self) -> tuple[tracked.Device, ...]:
        """The tracked devices, or those that a first sync would track."""
        if not self.was_synced:
            return tuple(self._context.declared.desired)
        try:
            return tuple(self._context.given().recorded)
        except exception.HostError:
            # What is recorded can be told without the host.
            return self._recorded()

    def device(self, address: pci_address.PciAddress) -> tracked.Device:
        """One of :meth:`devices`.

        :raises DeviceNotFound: it is not among them
        """
        for device in self.devices():
            if device.address == address:
                return device
        raise exception.DeviceNotFound(
            f"device {address} is not tracked",
            f"'nova-vfio config explain {address}' says why",
        )

    def devices_of(self, instance_uuid: str) -> tuple[tracked.Device, ...]:
        """The devices that an instance has.

        :raises ClaimError: it has none
        """
        found = tuple(
            device
            for device in (self.devices() if self._context.has_state else ())
            if device.instance_uuid == instance_uuid
        )
        if not found:
            raise nothing_claimed(instance_uuid)
        return found

    def claims(
        self, instance_uuid: str | None = None
    ) -> tuple[tracked.Claim, ...]:
        """All claims, by instance.

        :param instance_uuid: this one's alone
        """
        with self._context.open_store(read_only=True) as store:
            return claims(self._context, store, instance_uuid)

    def claim(self, instance_uuid: str) -> WholeClaim:
        """All that an instance has.

        :raises ClaimError: it has nothing
        """
        with self._context.open_store(read_only=True) as store:
            found = claims(self._context, store, instance_uuid)
            record = store.claim_records.get(instance_uuid)
        if not found:
            raise nothing_claimed(instance_uuid)
        asked = record and record.asked
        return WholeClaim(
            found,
            min((claim.state for claim in found), key=_LIFE.index),
            (record and record.since) or None,
            json.loads(asked) if asked else None,
        )

    def mdevs(self) -> dict[str, mdevs.OurMdev]:
        """The mediated devices that we made, by UUID."""
        with self._context.open_store(read_only=True) as store:
            return store.mdevs.all()

    def mdev_kinds(self) -> dict[str, str]:
        """See :func:`mdev_kinds`."""
        with self._context.open_store(read_only=True) as store:
            return mdev_kinds(store)

    def vgpus(
        self,
    ) -> dict[pci_address.PciAddress, tuple[vgpus.OurVgpu, str]]:
        """The vGPUs that we made, each with the name of its type.

        What has no name that we know has its number.
        """
        with self._context.open_store(read_only=True) as store:
            names = {
                (str(known.card), known.type_id): known.name
                for known in store.vgpus.types()
            }
            return {
                vgpu.address: (
                    vgpu,
                    names.get((vgpu.identity.physfn or "", vgpu.type_id))
                    or vgpu.type_id,
                )
                for vgpu in store.vgpus.all()
            }

    def verdict(
        self,
        address: pci_address.PciAddress,
        instance_uuid: str | None = None,
        together: ty.Collection[pci_address.PciAddress] | None = None,
    ) -> assignability.Verdict:
        """The verdict on a device; unknown where no host can be seen.

        :param instance_uuid: who is to have it; None for any
        :param together: all devices that its guest gets; None where that
            isn't known yet
        """
        from nova_vfio_variant.host.decide import assignability, obstacles

        try:
            return self._context.verdicts.at(address, instance_uuid, together)
        except exception.HostError as error:
            return assignability.Verdict(
                unknown=(
                    obstacles.not_known(
                        address, error.message, error.hint or ""
                    ),
                )
            )

    def allowances(
        self,
    ) -> dict[pci_address.PciAddress, dict[str, str]]:
        """The obstacles that somebody overruled: address, code, reason.

        Those that were said of another function than the one that is there
        now are left out.

        :raises HostError: see :attr:`tree`
        """
        from nova_vfio_variant.tracker import allowance

        if not self._context.has_state:
            return {}
        with self._context.open_store(read_only=True) as store:
            found = store.allowances.all()
        return (
            allowance.standing(found, self._context.scan.get) if found else {}
        )

    def cordoned(self) -> ty.Mapping[pci_address.PciAddress, str]:
        """Why no new claim is made of functions, nor of the VFs of PFs.

        Where no host can be seen all are that are on record.
        """
        from nova_vfio_variant.tracker import cordons

        try:
            return self._context.verdicts.records.cordoned
        except exception.HostError:
            if not self._context.has_state:
                return {}
            with self._context.open_store(read_only=True) as store:
                found = store.cordons.all()
            return cordons.standing(found, lambda _address: None)

    def sync(
        self,
        *,
        dry_run: bool = False,
        accepted: ty.Collection[pci_address.PciAddress] = (),
    ) -> tracker_sync.SyncPlan:
        """Make the tracker equal to configuration and host.

        :param accepted: addresses of devices that are tracked anew, though
            other functions are there than when they were tracked
        :raises ConfigError: the configuration has errors
        :raises InvalidDeviceStatus: somebody has a device that is accepted,
            or it is what it was
        """
        if dry_run:
            with self._context.open_store(read_only=True) as store:
                return syncing.plan(self._context, store, accepted)
        syncing.declared(self._context)
        with syncing.locked(self._context) as store:
            return syncing.sync(self._context, store, accepted)

    def allow(
        self, address: pci_address.PciAddress, code: str, reason: str
    ) -> None:
        """Let an obstacle of a function not count, from now on.

        It counts again where another function stands there.

        :param code: id of the finding that says it
        :raises ConfigError: the configuration has errors
        :raises HostError: the host has no such function
        """
        identity = self._context.function(address).identity
        syncing.declared(self._context)
        with syncing.locked(self._context) as store:
            syncing.sync(self._context, store)
            store.allowances.add(address, code, reason, identity)
            _LOG.info("device %s: %s allowed", address, code)

    def disallow(
        self, address: pci_address.PciAddress, code: str | None = None
    ) -> int:
        """Let an obstacle of a function count again.

        :param code: None for all of that function
        :returns: how many there were
        """
        if not self._context.has_state:
            return 0
        with syncing.locked(self._context) as store:
            count = store.allowances.remove(address, code)
            if count:
                what = code or "all"
                _LOG.info("device %s: %s no longer allowed", address, what)
            return count

    def _recorded(self) -> tuple[tracked.Device, ...]:
        with self._context.open_store(read_only=True) as store:
            return tuple(store.devices())


def nothing_claimed(instance_uuid: str) -> exception.ClaimError:
    """The error that an instance has no device."""
    return exception.ClaimError(
        f"instance {instance_uuid} has claimed nothing",
        "'nova-vfio claim list' shows all claims",
    )
