# SPDX-License-Identifier: Apache-2.0
"""Giving devices to instances, in the store and in Placement, and back."""

from __future__ import annotations

import contextlib
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.node import (
    giving_back,
    mdev_allocations,
    placement_side,
    syncing,
    tracked_devices,
)
from nova_vfio_variant.pci import request as pci_request
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import (
        claim_choice,
        mdev_claims,
    )
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import claim_records
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)


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
        wanted: str | pci_request.Request | None,
        numa_cells: ty.Sequence[int] | None = None,
        numa_policy: str | None = None,
        vgpu_types: ty.Sequence[str] = (),
        strategy: str | None = None,
    ) -> tuple[tracked.Claim, ...]:
        """Give devices to an instance, in the store and in Placement.

        The claim is on disk before Placement is asked. A crash in between
        leaves it in state claimed: the same call again, or a report,
        finishes it, and :meth:`release` takes it back. Once it is prepared
        the same call again makes what of it was lost on the host, and
        returns it.

        A vGPU type that no VF has yet is set on one that can take it, last,
        and goes again with the claim. So do mediated devices, of which
        Placement is told where their parents are published.

        :param wanted: a whole request, which leaves nothing to the other
            arguments; or aliases and counts, ``A:2,B:1``; None for none
        :param numa_cells: host NUMA nodes of the guest, None if it has no
            NUMA topology
        :param numa_policy: goes before the aliases' own
        :param vgpu_types: types by id or name, ``T`` or ``T:2``
        :param strategy: how devices are chosen between
            (:class:`~nova_vfio_variant.pci.request.Strategy`); None for the
            default
        :raises ConfigError: the configuration has errors, ``wanted`` names no
            alias, or no card has such a type
        :raises NotEnoughDevices: nothing was claimed
        :raises ClaimError: the instance has asked for something else before,
            or is giving it back, or types of VFs are asked for beside
            nova-compute
        :raises HostError: a type could not be set, or a mediated device not
            made; nothing was claimed now
        :raises PlacementError: nothing was claimed, unless it says so
        """
        from nova_vfio_variant.node import claim_choice, narrow_claims

        request = pci_request.of_words(
            wanted, numa_cells, numa_policy, vgpu_types, strategy
        )
        claimed = narrow_claims.claim(self._context, instance_uuid, request)
        if claimed:
            return claimed
        asked = claim_choice.Asked.parsed(
            syncing.declared(self._context), request
        )
        with syncing.locked(self._context) as store:
            self._reserve(store, instance_uuid, asked)
            choice = claim_choice.ClaimChoice(self._context, store).choice(
                asked
            )
            return self._prepared(store, instance_uuid, choice)

    def prepare(
        self, instance_uuid: str, assignment: str | None = None
    ) -> tuple[tracked.Claim, ...]:
        """Bring a claim to where a guest may begin, or see that it is there.

        What was to be made on the host and isn't there, or no more, is made.
        It can be repeated, and is refused while one of its functions can't
        go to its guest.

        :param assignment: of the claim; None for whichever there is
        :raises ClaimError: the instance has none, or not this one, or is
            giving it back
        :raises HostError: what is to be made can't be, or what there is
            can't go to a guest
        :raises PlacementError: Placement refused or failed; a claim that
            wasn't prepared yet is taken back
        """
        syncing.declared(self._context)
        with self._locked(instance_uuid) as store:
            record = self._standing(store, instance_uuid, assignment)
            syncing.sync(self._context, store)
            if record.state is tracked.ClaimState.RELEASING:
                raise _releasing(instance_uuid)
            return self._prepared(store, instance_uuid, None)

    def started(
        self, instance_uuid: str, assignment: str | None = None
    ) -> tuple[tracked.Claim, ...]:
        """Say that a guest has the devices. It can be repeated.

        :param assignment: of the claim; None for whichever there is
        :raises ClaimError: the instance has no claim, or not this one, or it
            isn't prepared, or is being given back
        """
        wanted = tracked.ClaimState.ALLOCATED
        with self._locked(instance_uuid) as store:
            record = self._standing(store, instance_uuid, assignment)
            before = tracked_devices.claims(
                self._context, store, instance_uuid
            )
            if record.state is tracked.ClaimState.RELEASING:
                raise _releasing(instance_uuid)
            if any(
                claim.state is tracked.ClaimState.CLAIMED for claim in before
            ):
                raise exception.ClaimError(
                    f"the claim of instance {instance_uuid} isn't prepared",
                    f"nova-vfio claim prepare --instance {instance_uuid}",
                )
            if record.state is not wanted:
                store.claim_records.move(record, wanted)
                _LOG.info(
                    "instance %s: a guest has its devices", instance_uuid
                )
            return tracked_devices.claims(self._context, store, instance_uuid)

    @contextlib.contextmanager
    def _locked(self, instance_uuid: str) -> ty.Iterator[tracker_store.Store]:
        """The store, to be written, where an instance may have a claim.

        :raises ClaimError: there is no store
        """
        if not self._context.has_state:
            raise tracked_devices.nothing_claimed(instance_uuid)
        with syncing.locked(self._context) as store:
            yield store

    def _standing(
        self,
        store: tracker_store.Store,
        instance_uuid: str,
        assignment: str | None,
    ) -> claim_records.ClaimRecord:
        """The claim of an instance.

        :raises ClaimError: there is none, or not this one
        """
        record = store.claim_records.get(instance_uuid)
        if record is None:
            if not store.mdevs.of(instance_uuid):
                raise tracked_devices.nothing_claimed(instance_uuid)
            # 'mdev create' made all that it has.
            record = store.claim_records.begin(
                instance_uuid, None, tracked.ClaimState.PREPARED
            )
        if assignment not in (None, record.assignment):
            raise exception.ClaimError(
                f"instance {instance_uuid} has claim {record.assignment},"
                f" not {assignment}",
                "'nova-vfio claim list' shows all claims",
            )
        return record

    def _prepared(
        self,
        store: tracker_store.Store,
        instance_uuid: str,
        choice: mdev_claims.Choice | None,
    ) -> tuple[tracked.Claim, ...]:
        """Finish a claim, or make again what of it was lost."""
        from nova_vfio_variant.node import finishing

        record = store.claim_records.get(instance_uuid)
        if record is None or record.state is tracked.ClaimState.CLAIMED:
            finishing.allocate(
                self._context,
                store,
                self._placement.publication(store),
                instance_uuid,
                choice,
            )
        else:
            finishing.make(self._context, store, instance_uuid, choice)
            if store.mdevs.of(instance_uuid):
                # One that was lost may be of another parent now.
                mdev_allocations.settle(self._context, store, instance_uuid)
            finishing.expect_ready(self._context, store, instance_uuid)
        return tracked_devices.claims(self._context, store, instance_uuid)

    def _reserve(
        self,
        store: tracker_store.Store,
        instance_uuid: str,
        asked: claim_choice.Asked,
    ) -> None:
        """Claim in the store what is asked for, unless it is claimed."""
        from nova_vfio_variant.node import claim_choice

        syncing.sync(self._context, store)
        before = tracked_devices.claims(self._context, store, instance_uuid)
        if before:
            expect_same(store.claim_records.get(instance_uuid), before, asked)
            return
        chosen = claim_choice.ClaimChoice(self._context, store).of(
            asked, instance_uuid
        )
        store.claim(
            instance_uuid,
            chosen.taken,
            self._context.tree.read_text(function_state.BOOT_ID),
            chosen.vgpus,
            chosen.mdevs,
            asked.as_json,
        )
        _LOG.info("instance %s: devices claimed", instance_uuid)

    def release(
        self,
        instance_uuid: str,
        *,
        assignment: str | None = None,
        wait: float = 0.0,
        force: bool = False,
    ) -> tuple[tracked.Claim, ...]:
        """Give an instance's devices back, in Placement and in the store.

        What waited for the devices to be freed takes effect. A claim that is
        gone needs nothing.

        :param assignment: of the claim; None for whichever there is
        :param wait: for so many seconds, while a process has one of them open
        :param force: give back what is open, too
        :returns: what it had; nothing where that is gone already
        :raises ClaimError: a process has one of them open: nothing was given
            back
        :raises PlacementError: Placement was not told; it is in state
            releasing, and the same call again goes on
        """
        if not self._context.has_state:
            return ()
        if wait and not force:
            giving_back.wait(self._context, instance_uuid, wait)
        with syncing.locked(self._context) as store:
            record = store.claim_records.get(instance_uuid)
            if assignment is not None and (
                record is None or record.assignment != assignment
            ):
                return ()
            return giving_back.give_back(
                self._context, store, instance_uuid, force=force
            )


def expect_same(
    record: claim_records.ClaimRecord | None,
    before: ty.Sequence[tracked.Claim],
    asked: claim_choice.Asked,
) -> None:
    """An instance claims once; the same claim again is that one.

    Of what an older version claimed only the counts are known, and whose
    aliases they were.

    :raises ClaimError: it asked for something else, or is giving it back
    """
    instance_uuid = before[0].instance_uuid
    if record is not None and record.state is tracked.ClaimState.RELEASING:
        raise _releasing(instance_uuid)
    has = sorted(
        (claim.alias_name, len(claim.addresses) + len(claim.mdevs))
        for claim in before
    )
    is_same = (
        record.asked == asked.as_json
        if record is not None and record.asked is not None
        else has == sorted(asked.counts)
    )
    if not is_same:
        raise exception.ClaimError(
            f"instance {instance_uuid} already has "
            + ", ".join(f"{name}:{count}" for name, count in has)
            + " and asked for something else",
            f"nova-vfio claim delete --instance {instance_uuid}",
        )


def _releasing(instance_uuid: str) -> exception.ClaimError:
    """The error that what an instance had is being given back."""
    return exception.ClaimError(
        f"instance {instance_uuid} is giving its devices back",
        f"nova-vfio claim release --instance {instance_uuid}",
    )
