# SPDX-License-Identifier: Apache-2.0
"""Giving devices to instances, in the store and in Placement, and back."""

from __future__ import annotations

import dataclasses
import logging
import time
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import mdev_choice
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.node import (
    mdev_allocations,
    placement_side,
    syncing,
    tracked_devices,
)
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import claim_choice, mdev_claims
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)

#: How often, in seconds, it is looked whether a guest has let go.
_POLL = 0.5


class Claims:
    """Gives devices to instances, and takes them back.

    :param on: what one call sees of the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on
        self._placement = placement_side.PlacementSide(on)

    def claim(
        self,
        instance_uuid: str,
        wanted: str | None,
        numa_cells: ty.Sequence[int] | None = None,
        numa_policy: str | None = None,
        vgpu_types: ty.Sequence[str] = (),
        strategy: mdev_choice.Strategy | None = None,
    ) -> tuple[tracked.Claim, ...]:
        """Give devices to an instance, in the store and in Placement.

        The claim is on disk before Placement is asked. A crash in between
        leaves it in status claimed: the same call again, or a report,
        finishes it, and :meth:`release` takes it back.

        A vGPU type that no VF has yet is set on one that can take it, last,
        and goes again with the claim. So do mediated devices, of which Placement
        is told where their parents are published.

        :param wanted: aliases and counts, ``A:2,B:1``; None for none
        :param numa_cells: host NUMA nodes of the guest, None if it has no
            NUMA topology
        :param numa_policy: goes before the aliases' own
        :param vgpu_types: types by id or name, ``T`` or ``T:2``
        :param strategy: how parents of mediated devices are chosen between;
            None for the default
        :raises ConfigError: the configuration has errors, ``wanted`` names no
            alias, or no card has such a type
        :raises NotEnoughDevices: nothing was claimed
        :raises ClaimError: the instance has other claims already, or types
            of VFs are asked for beside nova-compute
        :raises HostError: a type could not be set, or a mediated device not
            made; nothing was claimed
        :raises PlacementError: nothing was claimed, unless it says so
        """
        from nova_vfio_variant.host.observe import numa
        from nova_vfio_variant.node import claim_choice, finishing, mdev_claims

        asked = claim_choice.Asked.parsed(
            syncing.declared(self._context), wanted, numa_policy, vgpu_types
        )
        choice = mdev_claims.Choice(
            strategy or mdev_choice.Strategy.COMPACT,
            numa_cells,
            numa.sockets(self._context.tree),
            numa_policy or "legacy",
            asked.by_alias,
        )
        with syncing.locked(self._context) as store:
            self._reserve(store, instance_uuid, asked, choice)
            finishing.allocate(
                self._context,
                store,
                self._placement.publication(store),
                instance_uuid,
                choice,
            )
            return tracked_devices.claims(self._context, store, instance_uuid)

    def _reserve(
        self,
        store: tracker_store.Store,
        instance_uuid: str,
        asked: claim_choice.Asked,
        choice: mdev_claims.Choice,
    ) -> None:
        """Claim in the store what is asked for, unless a crash left it so."""
        from nova_vfio_variant.node import claim_choice

        syncing.sync(self._context, store)
        before = tracked_devices.claims(self._context, store, instance_uuid)
        if before:
            _expect_unfinished(before, asked)
            return
        chosen = claim_choice.ClaimChoice(self._context, store).of(
            asked, instance_uuid, choice
        )
        store.claim(
            instance_uuid,
            chosen.taken,
            self._context.tree.read_text(function_state.BOOT_ID),
            chosen.vgpus,
            chosen.mdevs,
        )
        _LOG.info("instance %s: devices claimed", instance_uuid)

    def release(
        self, instance_uuid: str, *, wait: float = 0.0, force: bool = False
    ) -> tuple[tracked.Claim, ...]:
        """Give an instance's devices back, in Placement and in the store.

        What waited for the devices to be freed takes effect.

        :param wait: for so many seconds, while a process has one of them open
        :param force: give back what is open, too
        :raises ClaimError: it has none, or a process has one of them open:
            nothing was given back
        :raises PlacementError: nothing was given back
        """
        if wait and not force:
            # It is only read while we wait.
            syncing.upgrade(self._context)
        deadline = time.monotonic() + wait
        while not force and time.monotonic() < deadline:
            with self._context.open_store(read_only=True) as store:
                if not self._held(store, store.devices(), instance_uuid):
                    break
            time.sleep(min(_POLL, wait))
        with syncing.locked(self._context) as store:
            return self.give_back(store, instance_uuid, force=force)

    def give_back(
        self,
        store: tracker_store.Store,
        instance_uuid: str,
        *,
        force: bool = False,
    ) -> tuple[tracked.Claim, ...]:
        """As :meth:`release`, for a holder of the state path's lock.

        :returns: what it had, but the mediated devices that by force could
            not be removed
        """
        from nova_vfio_variant.node import finishing, records

        before = tracked_devices.claims(self._context, store, instance_uuid)
        if not before:
            raise tracked_devices.nothing_claimed(instance_uuid)
        devices = tuple(store.devices())
        held = () if force else self._held(store, devices, instance_uuid)
        if held:
            raise exception.ClaimError(
                f"instance {instance_uuid} keeps its devices: "
                + "; ".join(held),
                "end its guest first, or wait for its end with --wait"
                " SECONDS; where it can't be seen, run the command as"
                " root; --force gives them back all the same",
            )
        types_gone, mdevs_left = finishing.unmade(
            self._context, store, instance_uuid, force=force
        )
        given_back = _without_mdevs(before, mdevs_left)
        if not any(claim.addresses for claim in before):
            mdev_allocations.settle(self._context, store, instance_uuid)
            return given_back
        # Errors in the configuration don't keep anything from being
        # given back: nothing of it is needed but which Placement.
        published = self._placement.publication(
            store, (), self._context.given(offline=True)
        )
        published.release(instance_uuid)
        once = {
            device.address
            for device in devices
            if device.instance_uuid == instance_uuid
            and "one_time_use" in device.tags
            and device.status == tracked.Status.ALLOCATED
        }
        if once:
            records.remember_spent(store, records.spent(store) | once)
        store.free(instance_uuid, types_gone)
        _LOG.info("instance %s: devices freed", instance_uuid)
        placement_side.offer_again(self._context, store, types_gone)
        if mdevs_left:
            mdev_allocations.settle(self._context, store, instance_uuid)
        return given_back

    def _held(
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device],
        instance_uuid: str,
    ) -> tuple[str, ...]:
        """Which of an instance's devices are open, and in which process."""
        from nova_vfio_variant.host.observe import holders

        owners = {
            device.address: device.instance_uuid
            for device in devices
            if device.instance_uuid is not None
        }
        mine = [one.uuid for one in store.mdevs.of(instance_uuid)]
        tree = self._context.tree
        found: tuple[str, ...] = ()
        if mine:
            found = holders.of_mdevs(tree, mine)
        if instance_uuid in owners.values():
            found += holders.of_claim(tree, owners, instance_uuid)
        return found


def _expect_unfinished(
    before: ty.Sequence[tracked.Claim],
    asked: claim_choice.Asked,
) -> None:
    """An instance claims once; only what a crash left may be finished."""
    has = sorted(
        (claim.alias_name, len(claim.addresses) + len(claim.mdevs))
        for claim in before
    )
    wants = sorted(asked.counts)
    claimed = tracked.Status.CLAIMED
    functions = [claim for claim in before if claim.addresses]
    # Functions are allocated last of all.
    unfinished = (
        all(claim.status == claimed for claim in functions)
        if functions
        else any(claim.status == claimed for claim in before)
    )
    if not unfinished or has != wants:
        raise exception.ClaimError(
            f"instance {before[0].instance_uuid} already has "
            + ", ".join(f"{name}:{count}" for name, count in has),
            "'nova-vfio claim delete' gives it back",
        )


def _without_mdevs(
    claims: ty.Iterable[tracked.Claim], uuids: ty.Collection[str]
) -> tuple[tracked.Claim, ...]:
    """Claims without mediated devices that are there still."""
    left = (
        dataclasses.replace(
            claim,
            mdevs=tuple(uuid for uuid in claim.mdevs if uuid not in uuids),
        )
        for claim in claims
    )
    return tuple(claim for claim in left if claim.addresses or claim.mdevs)
