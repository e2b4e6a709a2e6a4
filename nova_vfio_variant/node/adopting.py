# SPDX-License-Identifier: Apache-2.0
"""Taking over what Nova claimed: ``claim adopt``.

Nova keeps no record that we could read of which device is whose. But its
allocations say how many of which provider an instance has, and libvirt's
files say which devices those are. Where the two agree, a claim mirrors them.
Nothing of Nova's is written, then or later.
"""

from __future__ import annotations

import functools
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.declaration import mdev_offers
from nova_vfio_variant.host.observe import domains, function_state, mdev
from nova_vfio_variant.node import (
    claiming,
    placement_side,
    syncing,
    tracked_devices,
)
from nova_vfio_variant.pci import alias
from nova_vfio_variant.tracker import claim_records
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.node import inventory
    from nova_vfio_variant.placement import allocations
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)


class Adopting:
    """Takes over claims of Nova's.

    :param on: what one call sees of the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on

    def adopt(self, instance_uuid: str) -> tuple[tracked.Claim, ...]:
        """Record as a claim what Nova gave an instance. It can be repeated.

        What changed since, as Nova gave it more or took something back, is
        recorded anew.

        :param instance_uuid: in lower case
        :raises ConfigError: the configuration has errors, or names no
            Placement that Nova would write to
        :raises ClaimError: Placement and the guest don't agree, or neither
            has anything, or it has a claim of our own
        :raises HostError: libvirt's files can't be read
        :raises InvalidDeviceStatus: somebody else has one of its devices here
        :raises PlacementError: it can't be asked
        """
        syncing.declared(self._context)
        which = self._context.conf.vfio.placement
        if which != "service":
            raise exception.ConfigError(
                f"[vfio] placement is {which}, where Nova allocates nothing",
                "set [vfio] placement = service, and [placement] as Nova"
                " has it",
            )
        with syncing.locked(self._context) as store:
            syncing.sync(self._context, store)
            return _Adoption(self._context, store).of(instance_uuid)


def whether_allocated(
    context: node_context.Context, store: tracker_store.Store
) -> ty.Callable[[str], bool | str]:
    """Says whether Nova has devices of this host allocated for an instance.

    Nothing is asked before that is.

    :returns: gives, for an instance, why it isn't known where it isn't
    """

    @functools.cache
    def published() -> inventory.Publication:
        return placement_side.PlacementSide(context).publication(store)

    def ask(instance_uuid: str) -> bool | str:
        which = context.conf.vfio.placement
        if which != "service":
            return f"[vfio] placement is {which}"
        try:
            return bool(published().has(instance_uuid))
        except exception.VfioVariantError as error:
            return error.message

    return ask


class _Adoption(claiming.Claiming):
    """One claim of Nova's, being taken over."""

    def of(self, instance_uuid: str) -> tuple[tracked.Claim, ...]:
        """Take it over."""
        record = self._store.claim_records.get(instance_uuid)
        if record is not None and record.adopted is None:
            raise exception.ClaimError(
                f"instance {instance_uuid} has a claim that isn't Nova's",
                f"nova-vfio claim show {instance_uuid}",
            )
        published = placement_side.PlacementSide(self._context).publication(
            self._store
        )
        has = published.has(instance_uuid)
        guest = domains.of_instance(self._context.tree, instance_uuid)
        if not has and guest is None:
            raise tracked_devices.nothing_claimed(instance_uuid)
        devices, kinds = self._devices(guest)
        self._expect_equal(instance_uuid, published, has, guest)
        if not devices and not kinds:
            raise tracked_devices.nothing_claimed(instance_uuid)
        classes: dict[str, list[tracked.Device]] = {}
        for device in devices:
            classes.setdefault(device.resource_class, []).append(device)
        asked = claim_records.adopted(
            ((name, len(some)) for name, some in classes.items()), kinds
        )
        if record is None or self._is_another(record, asked, devices):
            self._store.claim(
                instance_uuid,
                [
                    (alias.PciRequest(name, len(some), (), "legacy"), some)
                    for name, some in sorted(classes.items())
                ],
                self._context.tree.read_text(function_state.BOOT_ID),
                asked=asked,
                state=tracked.ClaimState.ALLOCATED,
                anew=True,
            )
            _LOG.info("instance %s: claim of Nova's adopted", instance_uuid)
        return tracked_devices.claims(
            self._context, self._store, instance_uuid
        )

    def _is_another(
        self,
        record: claim_records.ClaimRecord,
        asked: str,
        devices: ty.Collection[tracked.Device],
    ) -> bool:
        """Whether it has something else than what was recorded of it."""
        mine = {
            at
            for claim in self._store.claims(record.instance_uuid)
            for at in claim.addresses
        }
        return record.asked != asked or mine != {
            one.address for one in devices
        }

    def _devices(
        self, guest: domains.Guest | None
    ) -> tuple[list[tracked.Device], dict[str, str]]:
        """The tracked ones of a guest's, and the kinds of mediated ones.

        What no ``device_spec`` names isn't Nova's.
        """
        if guest is None:
            return [], {}
        every = self._store.devices()
        found = [every.get(at) for at in guest.functions]
        return (
            [device for device in found if device is not None],
            {
                uuid: kind
                for uuid in guest.mdevs
                if (kind := mdev.now(self._context.tree, uuid))
            },
        )

    def _expect_equal(
        self,
        instance_uuid: str,
        published: inventory.Publication,
        has: allocations.Amounts,
        guest: domains.Guest | None,
    ) -> None:
        """Refuse where Placement and libvirt say different things.

        :raises ClaimError: they do
        """
        devices, kinds = self._devices(guest)
        amounts = {
            **published.amounts(devices),
            **mdev_offers.of_kinds(self._context.declared, kinds.values()),
        }
        gone = (
            [uuid for uuid in guest.mdevs if uuid not in kinds]
            if guest
            else []
        )
        if amounts == has and not gone:
            return
        in_guest = "libvirt has no domain of it"
        if guest is not None:
            places = (*map(str, guest.functions), *guest.mdevs)
            in_guest = (
                f"its guest ({guest.place}) has {', '.join(places) or 'no device'}"
                f", which is {_told(amounts)}"
            )
            if gone:
                in_guest += f", and {', '.join(gone)} isn't on this host"
        raise exception.ClaimError(
            f"instance {instance_uuid}: Placement says {_told(has)}; {in_guest}",
            "when Nova has done with it what it is doing: 'nova-vfio claim"
            f" adopt --instance {instance_uuid}'",
        )


def _told(amounts: allocations.Amounts) -> str:
    """Units of providers, in a few words."""
    return (
        ", ".join(
            f"{units} {of_class} of {name}"
            for name, classes in sorted(amounts.items())
            for of_class, units in sorted(classes.items())
        )
        or "nothing"
    )
