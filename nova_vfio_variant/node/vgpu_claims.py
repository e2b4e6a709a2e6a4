# SPDX-License-Identifier: Apache-2.0
"""vGPUs on demand: what a claim asks for is made for it, and goes with it.

The row of a vGPU is written with its claim, before the host is touched, and
goes with it after: whatever dies in between leaves a row that says what is
ours.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import typing as ty
import uuid

from nova_vfio_variant import exception
from nova_vfio_variant.declaration import nova_here, vgpu_classes
from nova_vfio_variant.host.decide import vgpu_capacity, vgpu_changes
from nova_vfio_variant.host.observe import mdev, vendor_vgpu, vgpu_card
from nova_vfio_variant.node import (
    choosing,
    claiming,
    mdev_claims,
    ordering,
    records,
    vgpu_acting,
    vgpu_catalogue,
    vgpu_choosing,
)
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import alias
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import tables, vgpu_reports, vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.host.observe import facts as facts_of_host
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)

Address = pci_address.PciAddress
Wishes = ty.Sequence[vgpu_choosing.Wish]
Made = list[vgpus.OurVgpu]

#: Under which name the store has which VF of a card was used last.
_LAST: ty.Final = "vgpu_turn"


def wishes(
    given: facts.CheckInput,
    requests: ty.Sequence[alias.PciRequest],
    words: ty.Sequence[str],
) -> tuple[Wishes, mdev_claims.Asked]:
    """What is asked for, and what of it types would satisfy.

    Beside nova-compute no type of VFs is set on demand: Nova reads no store of
    ours, and attaches no such VF. What it makes of parents of mediated devices
    stands in ``[devices]``: others are ours
    (:class:`~nova_vfio_variant.declaration.nova_mdevs.HandedOut`).

    :param requests: by alias
    :param words: types by id or name, ``T`` or ``T:2``
    :returns: beside it the mediated devices that are asked for
    :raises ConfigError: a type that no card has
    :raises ClaimError: types of VFs are asked for beside nova-compute
    """
    types: vgpu_classes.Types = {}
    offered = mdev.NONE
    if given.scan is not None:
        offered = given.host_facts.mdevs
        types = vgpu_classes.types(given.host_facts, given.vgpu_types)
    of_vfs, mediated = mdev_claims.told_apart(words, types, offered)
    reason = nova_here.beside_nova(given)
    if reason is not None:
        if of_vfs:
            raise exception.ClaimError(
                "no vGPU type of VFs is set on demand beside nova-compute:"
                f" {reason}",
                "declare the types in [vfio] host_spec and run 'nova-vfio host"
                " apply' before nova-compute starts",
            )
        types = {}
    return [
        *(vgpu_choosing.of_request(request, types) for request in requests),
        *(vgpu_choosing.of_word(word, types) for word in of_vfs),
    ], mediated


class VgpuClaims(claiming.Claiming):
    """Makes the vGPUs of claims, and takes them away."""

    def chosen(
        self,
        wish: vgpu_choosing.Wish,
        devices: ty.Sequence[tracked.Device],
        judge: host_verdicts.Verdicts,
        instance_uuid: str | None,
        near: tuple[ty.Sequence[int] | None, choosing.Sockets],
        order: ordering.Order | None = None,
    ) -> choosing.Taken:
        """The VFs for a type.

        :param devices: all that are tracked and nobody was given meanwhile
        :param near: the guest's NUMA nodes, and the sockets of all
        :param order: among equal ones; None for one after the other
        :raises NotEnoughDevices: there are not so many
        """
        declared = _declared(self._store, devices, judge)
        specs = self._context.declared.spec_of
        answers, takers = {}, set()
        for device in devices:
            at = device.address
            if device.status != tracked.Status.AVAILABLE:
                continue
            known = wish.type_of(device)
            seen = judge.facts.vgpus.get(at)
            if (
                at in declared
                and seen is not None
                and seen.current == vendor_vgpu.NONE
            ):
                # It waits for what is declared.
                known = None
            elif (
                seen is not None
                and at in specs
                and specs[at].resource_class is None
            ):
                takers.add(at)
            answers[at] = judge.at(
                at,
                instance_uuid,
                vgpu_type=None if known is None else known.id,
            )
        doubtful = self.doubtful(judge)
        able = vgpu_choosing.candidates(devices, wish, takers)
        in_turn = vgpu_choosing.in_turn(able, self._last())
        ordered = choosing.doubtful_last(in_turn, doubtful)
        fit = vgpu_choosing.fitting(ordered, answers, self._rooms(wish, judge))
        asked = [wish.request]
        try:
            return choosing.choose(fit, answers, asked, *near, doubtful, order)
        except exception.NotEnoughDevices as error:
            error.hint = (
                "'nova-vfio vgpu types' shows what each card takes now, and"
                " why no more"
            )
            raise

    def doubtful(
        self, judge: host_verdicts.Verdicts
    ) -> dict[Address, vgpu_reports.Health]:
        """The functions on which guests failed."""
        return vgpu_reports.doubtful(
            self._store.vgpu_reports.all(), judge.facts.scan.get
        )

    def _rooms(
        self, wish: vgpu_choosing.Wish, judge: host_verdicts.Verdicts
    ) -> dict[Address, tuple[int, int]]:
        """How many of its type each card takes for sure, and at most.

        While a claim of the card waits for its type, no more than is sure.
        """
        vfs = vgpu_card.cards(judge.facts)
        known = vgpu_catalogue.remembered(self._store, judge.facts.scan)
        rooms = {}
        for card, kind in wish.types.items():
            of_card = known.get(card, vgpu_catalogue.NOTHING)
            seen = vgpu_card.Card(
                card,
                vfs[card],
                of_card.types or (kind,),
                of_card.told,
                held=judge.records.vgpu_held,
            )
            if seen.lost:
                mode = vgpu_changes.mode_of(judge.facts, card)
                seen = dataclasses.replace(seen, heterogeneous=mode)
            room = vgpu_capacity.of_type(seen, kind.id)
            rooms[card] = room.now, room.now if seen.lost else room.at_most
        return rooms

    def to_make(
        self,
        wish: vgpu_choosing.Wish,
        devices: ty.Iterable[tracked.Device],
        judge: host_verdicts.Verdicts,
        instance_uuid: str,
    ) -> Made:
        """The vGPUs that are to be made of some devices.

        One that has its type and that no claim made is as it is declared, or
        another tool's, and stays when the claim goes.
        """
        ours = {vgpu.address: vgpu for vgpu in self._store.vgpus.all()}
        found = []
        for device in devices:
            known = wish.type_of(device)
            seen = judge.facts.vgpus.get(device.address)
            if known is None or seen is None:
                continue
            before = ours.get(device.address)
            if seen.current != vendor_vgpu.NONE and (
                before is None or before.origin is not vgpus.Origin.CLAIM
            ):
                continue
            found.append(
                vgpus.OurVgpu(
                    device.address,
                    known.id,
                    vgpus.Origin.CLAIM,
                    instance_uuid,
                    str(uuid.uuid4()),
                    tables.now(),
                    device.known,
                )
            )
        return found

    def make(self, instance_uuid: str) -> None:
        """Set the types of an instance's vGPUs that don't have them yet.

        :raises HostError: one could not be set
        """
        mine = self._of(instance_uuid)
        if not mine:
            return
        has = {device.address for device in self._store.owned(instance_uuid)}
        made = [vgpu for vgpu in mine if vgpu.address in has]
        if made:
            _set(self._context, self._store, made, instance_uuid)
            self._remember(made)

    def unmake(self, instance_uuid: str) -> tuple[Made, list[str]]:
        """Take away the types that were set for an instance.

        What isn't the type that we set, or the function that we set it on,
        is somebody else's by now, and is left.

        :returns: the vGPUs whose rows may go, and why others may not, each
            in one sentence
        """
        made = self._of(instance_uuid)
        if not made:
            return [], []
        now = vgpu_acting.look(self._context)
        mine = made
        failed: ty.Mapping[Address, str] = {}
        try:
            # What was begun and not ended could still be done by whoever
            # recovers: so it is ended first, and then taken away.
            unsettled = records.unsettled(now.scan, self._context.state)
            mine = [
                vgpu
                for vgpu in made
                if vgpu.address in unsettled or _is_ours(vgpu, now)
            ]
            if mine:
                failed = vgpu_acting.set_types(
                    self._context,
                    self._store,
                    {
                        vgpu.address: (vgpu.type_id, vendor_vgpu.NONE)
                        for vgpu in mine
                    },
                    instance_uuid,
                    f"instance {instance_uuid} is done with it",
                )
        except exception.HostError as error:
            failed = {vgpu.address: error.message for vgpu in mine}
        for vgpu in made:
            seen = now.vgpus.get(vgpu.address)
            if (
                vgpu not in mine
                and seen is not None
                and seen.current != vendor_vgpu.NONE
            ):
                _LOG.warning(
                    "%s: it is not as we left it, with vGPU type %s, and"
                    " keeps it",
                    vgpu.address,
                    seen.current,
                )
        return [vgpu for vgpu in made if vgpu.address not in failed], list(
            failed.values()
        )

    def _of(self, instance_uuid: str) -> Made:
        return [
            vgpu
            for vgpu in self._store.vgpus.all()
            if vgpu.instance_uuid == instance_uuid
            and vgpu.origin is vgpus.Origin.CLAIM
        ]

    def _last(self) -> dict[str, str]:
        """Of each card, which of its VFs was used last."""
        found = json.loads(self._store.meta(_LAST) or "{}")
        return found if isinstance(found, dict) else {}

    def _remember(self, made: Made) -> None:
        last = self._last()
        for vgpu in made:
            card = vgpu.identity.physfn or str(vgpu.address)
            last[card] = str(vgpu.address)
        self._store.set_meta(_LAST, json.dumps(last, sort_keys=True))


def make_again(
    context: node_context.Context,
    store: tracker_store.Store,
    vgpu: vgpus.OurVgpu,
) -> None:
    """Set the type of a VF again that has lost it.

    Whoever calls holds the lock of the state path.

    :param vgpu: of a claim that stands
    :raises HostError: it could not be set
    """
    assert vgpu.instance_uuid is not None
    # Its guest may be about to start.
    again = dataclasses.replace(vgpu, since=tables.now())
    store.vgpus.put(again)
    _set(context, store, [again], vgpu.instance_uuid)


def _set(
    context: node_context.Context,
    store: tracker_store.Store,
    made: Made,
    instance_uuid: str,
) -> None:
    vgpu_acting.expect(
        vgpu_acting.set_types(
            context,
            store,
            {vgpu.address: (vendor_vgpu.NONE, vgpu.type_id) for vgpu in made},
            instance_uuid,
            f"instance {instance_uuid} is to have it",
        )
    )
    _LOG.info("instance %s: vGPU types set", instance_uuid)


def _is_ours(vgpu: vgpus.OurVgpu, now: facts_of_host.HostFacts) -> bool:
    """Whether what stands there is what we made, or nobody can tell."""
    function = now.scan.get(vgpu.address)
    if function is None:
        return vgpu.address in now.scan.unread
    seen = now.vgpus.get(vgpu.address)
    return (
        seen is not None
        and seen.current in (None, vgpu.type_id)
        and not vgpu.identity.is_another(function.identity)
    )


def _declared(
    store: tracker_store.Store,
    devices: ty.Iterable[tracked.Device],
    judge: host_verdicts.Verdicts,
) -> set[Address]:
    """The VFs whose type somebody declared."""
    found = {
        vgpu.address
        for vgpu in store.vgpus.all()
        if vgpu.origin is vgpus.Origin.DECLARED
    }
    for device in devices:
        function = judge.facts.scan.get(device.address)
        if (
            function is not None
            and device.address in judge.facts.vgpus
            and judge.has_declared_vgpus(function)
        ):
            found.add(device.address)
    return found
