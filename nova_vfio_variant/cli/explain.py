# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio explain``: all that is known of a device, for who is in trouble."""

from __future__ import annotations

import argparse
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.cli import base, called
from nova_vfio_variant.node import placement_side
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.node import inventory as node_inventory
    from nova_vfio_variant.node import tracked_devices
    from nova_vfio_variant.tracker import device as tracked

COLUMNS = ("address", "topic", "what", "mend")

_Topic = tuple[str, str, str | None]


class Explain(base.Lister):
    """Say all that is known of a device, or of each device of an instance.

    Whether a guest may have it and what is in the way, its IOMMU group, the
    device_spec that takes it, its claim, and what Placement has of it.
    Status 1 if one isn't ready (for its instance, if it has one).
    """

    example = "explain 0000:41:10.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to explain."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "subject",
            type=called.device_or_uuid,
            metavar="ADDRESS|INSTANCE",
            help="full PCI address, or a device's name, or the UUID of an instance",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Gather and list."""
        subject = parsed_args.subject
        tracked_ones = self._tracked()
        if isinstance(subject, str):
            chosen = [
                tracked_device.address
                for tracked_device in self.tracked.devices_of(subject)
            ]
        else:
            chosen = [subject]
            if subject not in tracked_ones:
                # What is neither tracked nor there is a mistake.
                self.context.function(subject)
        view = self._view()
        rows: list[base.Row] = []
        for address in chosen:
            device = tracked_ones.get(address)
            owner = None if device is None else device.instance_uuid
            verdict = self.context.verdicts.at(address, owner)
            if verdict.obstacles:
                self.status = 1
            topics = (
                *_of_verdict(verdict, owner),
                *self._of_group(address),
                *self._of_entry(address),
                _of_claim(device, self.tracked),
                *_of_placement(view, address),
            )
            rows += [(str(address), *topic) for topic in topics]
        self.tell_of_verdicts()
        return COLUMNS, rows

    def _tracked(
        self,
    ) -> dict[pci_address.PciAddress, tracked.Device]:
        """The tracked devices; a store that can't be used costs them alone."""
        try:
            return {
                device.address: device for device in self.tracked.devices()
            }
        except exception.VfioVariantError as error:
            self.note(f"warning: {error}")
            return {}

    def _view(self) -> node_inventory.View | str:
        """What Placement has, or why that isn't known."""
        try:
            return placement_side.PlacementSide(self.context).view()
        except exception.VfioVariantError as error:
            return error.message

    def _of_group(
        self, address: pci_address.PciAddress
    ) -> ty.Iterator[_Topic]:
        scan = self.context.verdicts.facts.scan
        function = scan.get(address)
        if function is None or function.iommu_group is None:
            return
        members = [
            f"{place} on {getattr(scan.get(place), 'driver', None) or 'no driver'}"
            for place in scan.iommu_groups[function.iommu_group]
            if place != address
        ]
        yield (
            "group",
            f"IOMMU group {function.iommu_group}, "
            + (f"with {', '.join(members)}" if members else "alone"),
            None,
        )

    def _of_entry(
        self, address: pci_address.PciAddress
    ) -> ty.Iterator[_Topic]:
        if not self.context.is_configured:
            return
        try:
            given = self.context.observed
        except exception.ConfigError as error:
            yield "entry", error.message, error.hint
            return
        spec = given.spec_of.get(address)
        if spec is None:
            yield (
                "entry",
                "no device_spec takes it",
                f"nova-vfio config explain {address}",
            )
            return
        yield (
            "entry",
            f"device_spec at {spec.location}, managed "
            + ("no" if spec.managed is False else "yes"),
            None,
        )


def _of_verdict(
    verdict: assignability.Verdict, owner: str | None
) -> ty.Iterator[_Topic]:
    whom = f" for instance {owner}" if owner else ""
    yield "verdict", f"{verdict.state}{whom}", None
    for obstacle in verdict.obstacles:
        yield (
            "obstacle",
            f"{obstacle.message} [{obstacle.code.id}]",
            obstacle.hint,
        )
    for remark in verdict.remarks:
        yield "remark", f"{remark.message} [{remark.code.id}]", None
    if verdict.unseen:
        yield "unseen", ", ".join(verdict.unseen), None


def _of_claim(
    device: tracked.Device | None, tracking: tracked_devices.TrackedDevices
) -> _Topic:
    if device is None:
        return "claim", "it is not tracked", None
    if not tracking.was_synced:
        return "claim", "nothing is tracked yet", "nova-vfio device sync"
    if device.instance_uuid is None:
        return "claim", f"none: it is {device.status}", None
    what = f"instance {device.instance_uuid} has it ({device.status})"
    return "claim", f"{what}, by alias {device.alias_name}", None


def _of_placement(
    view: node_inventory.View | str, address: pci_address.PciAddress
) -> ty.Iterator[_Topic]:
    if isinstance(view, str):
        yield "placement", f"can't be told: {view}", None
        return
    for provider in view.desired:
        if str(address) not in map(str, provider.addresses):
            continue
        used = view.usages.get(provider.name)
        for name, inventory in provider.inventories.items():
            units = (
                "not published yet"
                if used is None
                else f"{used.get(name, 0)} used"
            )
            what = f"total {inventory.total}, reserved {inventory.reserved}"
            yield (
                "placement",
                f"{provider.name} {name}: {what}, {units}",
                None,
            )
    if view.unreachable is not None:
        yield "placement", f"usage is unknown: {view.unreachable}", None
