# SPDX-License-Identifier: Apache-2.0
"""Claims of which the host is looked at where the chosen functions stand.

What a claim costs doesn't grow with the host then. It is done where the store
is what a sync would make it, but for what functions are, and where nothing
but plain functions is asked for. The functions that would be taken first, if
all were ready, are looked at, and compared with what is recorded; each gets
the verdict, on all that has a say in it. Where all are ready they are what
the whole host would be searched for. Whatever else is the case is left to
whoever looks at all of it, and so is every refusal.
"""

from __future__ import annotations

import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.observe import function_state, numa
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.node import (
    claim_choice,
    finishing,
    placement_side,
    syncing,
    tracked_devices,
)
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import flavor, pools
from nova_vfio_variant.tracker import sync as tracker_sync

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.node import choosing
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.node import inventory as node_inventory
    from nova_vfio_variant.pci import alias
    from nova_vfio_variant.pci import request as pci_request
    from nova_vfio_variant.tracker import device as tracked
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)

#: How often others are looked at in place of those that aren't ready.
_ROUNDS: ty.Final = 3
#: Options by which what a device is called hangs on more than itself.
_WIDE: ty.Final = (
    ("vfio", "resource_class_from_type"),
    ("devices", "enabled_mdev_types"),
)


def claim(
    context: node_context.Context,
    instance_uuid: str,
    request: pci_request.Request,
) -> tuple[tracked.Claim, ...]:
    """Claim by looking at the chosen functions alone, if that can be done.

    :returns: nothing, and nothing is claimed, where it can't
    :raises ConfigError: there is no such alias
    :raises PlacementError: nothing was claimed, unless it says so
    """
    if not _is_plain(request) or not context.has_state:
        return ()
    if context.conf.vfio.placement != "embedded":
        # A cloud's Placement says what is left of our providers.
        return ()
    given = context.given(offline=True)
    assert request.alias is not None
    requests = flavor.parse_request(
        request.alias, given.aliases, request.numa_policy
    )
    # A service may be Nova's to publish to, and has candidates of its own.
    if given.options.get(("vfio", "placement")) != "embedded" or any(
        map(given.options.get, _WIDE)
    ):
        return ()
    with syncing.locked(context) as store:
        return _Narrow(context, store, given, request).claimed(
            instance_uuid, requests
        )


def _is_plain(request: pci_request.Request) -> bool:
    """Whether nothing but functions by aliases, in Nova's order, is asked."""
    return request.alias is not None and not (
        request.vgpu_types
        or request.devices
        or request.closest
        or request.strategy
    )


class _Narrow:
    """One such claim."""

    def __init__(
        self,
        context: node_context.Context,
        store: tracker_store.Store,
        given: facts.CheckInput,
        request: pci_request.Request,
    ) -> None:
        self._context, self._store = context, store
        self._given, self._request = given, request

    def claimed(
        self, instance_uuid: str, requests: ty.Sequence[alias.PciRequest]
    ) -> tuple[tracked.Claim, ...]:
        store = self._store
        if (
            not syncing.is_synced(self._context, store, self._given)
            or store.claim_records.get(instance_uuid) is not None
            or store.owned(instance_uuid)
            or store.mdevs.of(instance_uuid)
            # Who is in doubt goes last, and types go by cards.
            or store.vgpu_reports.all()
            or (
                store.vgpus.types()
                and any(
                    spec.asked_class for one in requests for spec in one.specs
                )
            )
        ):
            return ()
        chosen = self._chosen(instance_uuid, requests)
        if chosen is None:
            return ()
        narrow, taken = chosen
        asked = claim_choice.Asked.parsed(narrow.declared, self._request)
        devices = [device for _, some in taken for device in some]
        published = (
            placement_side.PlacementSide(narrow)
            .publication(store, devices, judge=narrow.declared.verdicts)
            .taken_for_granted()
        )
        if published is None or not _is_of_functions(asked):
            return ()
        store.claim(
            instance_uuid,
            taken,
            narrow.tree.read_text(function_state.BOOT_ID),
            asked=asked.as_json,
        )
        _LOG.info("instance %s: devices claimed", instance_uuid)
        return self._finished(narrow, published, instance_uuid)

    def _finished(
        self,
        narrow: node_context.Context,
        published: node_inventory.Publication,
        instance_uuid: str,
    ) -> tuple[tracked.Claim, ...]:
        """Finish it; nothing where Placement has to be told more first."""
        try:
            finishing.allocate(narrow, self._store, published, instance_uuid)
        except exception.PlacementRefused:
            if self._store.claim_records.get(instance_uuid) is not None:
                raise
            return ()
        return tracked_devices.claims(narrow, self._store, instance_uuid)

    def _chosen(
        self, instance_uuid: str, requests: ty.Sequence[alias.PciRequest]
    ) -> tuple[node_context.Context, choosing.Taken] | None:
        """The functions for each request, and the host where they stand."""
        count = sum(request.count for request in requests)
        near = self._request.numa_cells, numa.sockets(self._context.tree)
        others: set[pci_address.PciAddress] = set()
        for turn in range(1, _ROUNDS + 1):
            free = [
                device
                for device in self._store.taken_first(turn * count)
                if device.address not in others
            ]
            try:
                taken = pools.Pools.of(free, by_class=True).consume(
                    requests, *near
                )
            except exception.NotEnoughDevices:
                return None
            devices = [device for _, some in taken for device in some]
            if not all(map(_is_plain_device, devices)):
                return None
            narrow = self._look(devices)
            if narrow is None:
                return None
            not_ready = self._not_ready(narrow, devices, instance_uuid)
            if not not_ready:
                return narrow, taken
            others |= not_ready
        return None

    def _look(
        self, devices: ty.Sequence[tracked.Device]
    ) -> node_context.Context | None:
        """The host where some devices stand; None if it isn't as recorded."""
        places: set[pci_address.PciAddress] = set()
        for device in devices:
            some = _with_a_say(self._context.tree, device)
            if some is None:
                return None
            places |= some
        narrow = self._context.looking_at(places, self._store)
        declared = narrow.declared
        if narrow.scan.problems or declared.host_facts.vgpus:
            return None
        plan = tracker_sync.decide(
            self._store.at(places),
            declared.desired,
            declared.unread,
            narrow.scan.get,
        )
        return None if plan or plan.exchanged else narrow

    def _not_ready(
        self,
        narrow: node_context.Context,
        devices: ty.Sequence[tracked.Device],
        instance_uuid: str,
    ) -> set[pci_address.PciAddress]:
        """Those of some devices that the verdict doesn't call ready."""
        judge = narrow.declared.verdicts
        assert judge is not None
        answers = claim_choice.verdicts(judge, devices, (), instance_uuid)
        return {
            address
            for address, answer in answers.items()
            if answer.state is not assignability.State.READY
        }


def _is_plain_device(device: tracked.Device) -> bool:
    """Whether neither VFs nor a record of uses hang on it."""
    return device.dev_type != "type-PF" and "one_time_use" not in device.tags


def _is_of_functions(asked: claim_choice.Asked) -> bool:
    return not asked.mdevs and not any(wish.types for wish in asked.wishes)


def _with_a_say(
    tree: host_tree.HostTree, device: tracked.Device
) -> set[pci_address.PciAddress] | None:
    """The functions on which the verdict on one hangs, as the host has them.

    :returns: None where the host doesn't say
    """
    place = f"{paths.DEVICES}/{device.address}/iommu_group/devices"
    try:
        with tree.folder(place) as group:
            found = set(map(pci_address.PciAddress.parse, group.names()))
    except (OSError, ValueError):
        return None
    found.add(device.address)
    if device.parent_addr is not None:
        found.add(device.parent_addr)
    return found
