# SPDX-License-Identifier: Apache-2.0
"""What the store says to who acts on the host, and what it is told."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import journal
from nova_vfio_variant.host.act import observer as host_observer
from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.host.observe import records as host_records
from nova_vfio_variant.node import vgpu_catalogue, vgpu_declared
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import allowance, cordons, store


class OnRecord(host_actor.OnRecord):
    """What the store says."""

    def __init__(
        self,
        opened: store.Store,
        boot: str,
        instance_uuid: str | None = None,
    ) -> None:
        self._opened = opened
        self._boot = boot
        #: Who acts, so that what it has is in nobody's way.
        self._instance_uuid = instance_uuid
        self._seen: host_scan.HostScan | None = None
        self._asked: vgpu_catalogue.Asked = {}

    def of(self, seen: host_scan.HostScan) -> host_records.Records:
        """But for quarantines."""
        self._seen = seen
        # VFs that were made meanwhile list all types for the last time.
        cards = vgpu_catalogue.remember(self._opened, seen, self._asked)
        known = recorded(self._opened, seen, cards)
        return dataclasses.replace(
            known,
            owners={
                address: owner
                for address, owner in known.owners.items()
                if owner != self._instance_uuid
            },
        )

    def quarantine(
        self, address: pci_address.PciAddress, reason: str | None
    ) -> None:
        """In this boot of the host."""
        self._opened.quarantine(address, reason, boot=self._boot)

    def declare(self, types: ty.Mapping[pci_address.PciAddress, str]) -> None:
        """Of what was seen last."""
        if self._seen is not None:
            vgpu_declared.declare(self._opened, types, self._seen)

    def mix(self, card: pci_address.PciAddress, flag: bool) -> None:
        """Of what was seen last."""
        if self._seen is not None:
            vgpu_declared.mix(self._opened, card, flag, self._seen)


def recorded(
    opened: store.Store,
    seen: host_scan.HostScan,
    cards: ty.Mapping[pci_address.PciAddress, vgpu_catalogue.Remembered]
    | None = None,
) -> host_records.Records:
    """What is recorded of functions, but for quarantines.

    :param cards: what is known of cards' vGPUs; None for what an action would
        know, which asks a vendor's tool as that would
    """
    if cards is None:
        cards = vgpu_catalogue.known(opened, seen, {})
    of_functions = host_records.Records(
        owners={
            address: claim.instance_uuid
            for claim in opened.claims()
            for address in claim.addresses
        },
        identities={
            device.address: device.known for device in opened.devices()
        },
        allowed=allowance.standing(opened.allowances.all(), seen.get),
        cordoned=cordons.standing(opened.cordons.all(), seen.get),
    )
    return vgpu_declared.known(of_functions, opened, seen, cards)


def after_reboot(
    known: journal.Journal,
    opened: store.Store,
    observer: host_observer.Observer,
) -> None:
    """End the quarantines of earlier boots, and tell what a reboot undid."""
    for what, names in (
        ("what was done to", [*known.undone_by_reboot]),
        ("the quarantine of", [*opened.end_quarantines(known.boot)]),
    ):
        if names:
            listed = ", ".join(map(str, names))
            observer.note(
                f"a reboot ended {what} {listed} ({len(names)} in all)"
            )
