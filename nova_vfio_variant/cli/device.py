# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio device``: what is tracked."""

from __future__ import annotations

import argparse
import functools
import typing as ty

from nova_vfio_variant.cli import base, called, cordon, options
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.node import naming, placement_side
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function

COLUMNS = (
    "address",
    "dev_type",
    "vendor_id",
    "product_id",
    "numa_node",
    "parent_addr",
    "managed",
    "resource_class",
    "traits",
    "status",
    "assignable",
    "instance_uuid",
    "extra_info",
    "pending",
    "name",
    "id",
    "type",
    "created_at",
    "cordoned",
)

#: Keys of ``extra_info`` that Nova writes as "true" or "false".
_TRUTHS = frozenset({"managed", "live_migratable"})


Cordoned = ty.Mapping["pci_address.PciAddress", str]


def row(
    device: tracked.Device,
    assignable: str,
    cordoned: Cordoned,
    name: names.Name | None = None,
    seen: function.PciFunction | None = None,
) -> base.Row:
    """One device in the order of COLUMNS.

    :param assignable: what the verdict on it comes to
    :param cordoned: why no new claim is made of functions, and their VFs
    :param name: what it is called
    :param seen: what stands at its address
    """
    return (
        str(device.address),
        device.dev_type,
        device.vendor_id,
        device.product_id,
        device.numa_node,
        None if device.parent_addr is None else str(device.parent_addr),
        device.managed,
        device.resource_class,
        list(device.traits),
        str(device.status),
        assignable,
        device.instance_uuid,
        _truths(device.extra_info),
        None
        if device.pending is None
        else {
            name: _truths(value) if name == "extra_info" else value
            for name, value in device.pending.items()
        },
        name and name.name,
        name and name.id,
        device_type(seen),
        name and name.since,
        _why_cordoned(device, cordoned),
    )


def device_type(seen: function.PciFunction | None) -> str | None:
    """What kind of device a function is; None where nothing is seen."""
    if seen is None:
        return None
    return "gpu" if seen.is_display else "pci"


def _why_cordoned(device: tracked.Device, cordoned: Cordoned) -> str | None:
    """Why no new claim is made of a device; None if one may be."""
    own = cordoned.get(device.address)
    if own is None and device.parent_addr is not None:
        return cordoned.get(device.parent_addr)
    return own


def _truths(extra_info: ty.Mapping[str, ty.Any]) -> dict[str, ty.Any]:
    """What Nova keeps as "true" and "false", as all other columns have it."""
    return {
        key: value == "true"
        if key in _TRUTHS and value in ("true", "false")
        else value
        for key, value in extra_info.items()
    }


class _Shows(base.Base):
    """What lists and shows devices."""

    @functools.cached_property
    def _naming(self) -> naming.Naming:
        return naming.Naming(self.context)

    @functools.cached_property
    def _names(self) -> dict[pci_address.PciAddress, names.Name]:
        return self._naming.standing()

    def _shown(
        self,
        device: tracked.Device,
        assignable: str,
        cordoned: Cordoned,
        parsed_args: argparse.Namespace,
    ) -> base.Row:
        """A row; as text, what waits to be removed is no empty cell."""
        cells = row(
            device,
            assignable,
            cordoned,
            self._names.get(device.address),
            self._naming.seen(device.address),
        )
        if device.pending == {} and not base.is_for_machines(parsed_args):
            place = COLUMNS.index("pending")
            return (*cells[:place], "removed when freed", *cells[place + 1 :])
        return cells


class Sync(base.ShowOne):
    """Make the tracker equal to nova.conf and the host.

    Devices in use are never removed or changed: they are kept until they are
    freed. A device that can't be read is kept as it is, and so is one at whose
    address another function stands now, also after it was freed, until
    --accept says that this is right. Status 1 if anything is kept so, or if a
    function of the host can't be read.
    """

    example = "device sync --dry-run"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add --dry-run and --accept."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="show what would change and write nothing",
        )
        parser.add_argument(
            "--accept",
            action="append",
            type=called.device,
            default=[],
            metavar="ADDRESS",
            help="track the function that is at this address now, though it"
            " is another one than the tracked device; refused while somebody"
            " has that device (may be repeated)",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], base.Row]:
        """Sync and count."""
        plan = self.tracked.sync(
            dry_run=parsed_args.dry_run, accepted=parsed_args.accept
        )
        self.warn_of_lost()
        self.warn(placement_side.PlacementSide(self.context).exchanged(plan))
        for device in plan.kept:
            gone = [
                obstacle.message
                for obstacle in self.tracked.verdict(device.address).blocking
                if obstacle.code is host_codes.VANISHED
            ]
            self.note(
                ": ".join([f"kept while in use: {device.address}", *gone])
            )
        for device in plan.unread:
            self.note(f"kept as it is, unread: {device.address}")
        changes = plan.added or plan.updated or plan.removed
        if (
            plan.unread
            or plan.exchanged
            or self.context.declared.unread
            or (changes if parsed_args.dry_run else plan.kept)
        ):
            self.status = 1
        counts = {
            "added": len(plan.added),
            "updated": len(plan.updated),
            "removed": len(plan.removed),
            "unchanged": len(plan.unchanged),
            "kept": len(plan.kept) + len(plan.unread) + len(plan.exchanged),
        }
        return tuple(counts), tuple(counts.values())


class List(_Shows, base.Lister):
    """List the tracked devices.

    'name', 'id' and 'created_at' are those of 'device register'; 'type' is
    gpu or pci, and empty where the device isn't seen. Before the first sync it lists what a sync would track.
    """

    empty = "no device is tracked"
    brief = (
        "address",
        "name",
        "resource_class",
        "status",
        "assignable",
        "instance_uuid",
    )
    example = "device list -f json"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """List, with a note if nothing was ever tracked."""
        devices = self.tracked.devices()
        if not self.tracked.was_synced:
            self.note(
                "nothing is tracked yet: this is what 'device sync' would"
                " track"
            )
        self.tell_of_verdicts()
        cordon.tell_of(self)
        cordoned = self.tracked.cordoned()
        return COLUMNS, [
            self._shown(
                device,
                str(self.tracked.verdict(device.address).state),
                cordoned,
                parsed_args,
            )
            for device in devices
        ]


class Show(_Shows, base.ShowOne):
    """Show one tracked device, and which obstacles of it don't count."""

    example = "device show 0000:41:10.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address."""
        parser = super().get_parser(prog_name)
        base.add_address(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], base.Row]:
        """Show it."""
        from nova_vfio_variant.host.decide import refusal

        device = self.tracked.device(parsed_args.address)
        verdict = self.tracked.verdict(device.address)
        self.tell_of_verdicts()
        allowed = self.tracked.allowances().get(device.address, {})
        return (
            (*COLUMNS, "allowed", "obstacles", "remarks"),
            (
                *self._shown(
                    device,
                    str(verdict.state),
                    self.tracked.cordoned(),
                    parsed_args,
                ),
                allowed,
                [refusal.line(obstacle) for obstacle in verdict.obstacles],
                [refusal.line(remark) for remark in verdict.remarks],
            ),
        )


class Allow(base.Base):
    """Let an obstacle of a function not count.

    It counts again with 'device disallow', or where another function stands
    at the address. 'device show' lists what doesn't count, and why.
    """

    example = (
        "device allow 0000:41:10.0 --code VFIO512 --reason 'idle, says vendor'"
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address, --code and --reason."""
        parser = super().get_parser(prog_name)
        base.add_address(parser)
        parser.add_argument(
            "--code",
            type=_code,
            required=True,
            metavar="CODE",
            help="id of the finding that is overruled, such as VFIO512",
        )
        parser.add_argument(
            "--reason",
            type=options.reason,
            required=True,
            metavar="TEXT",
            help="why; it is shown wherever the obstacle would count",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remember it."""
        self.tracked.allow(
            parsed_args.address, parsed_args.code, parsed_args.reason
        )


class Disallow(base.Base):
    """Let obstacles of a function count again.

    Status 1 if none was overruled.
    """

    example = "device disallow 0000:41:10.0 --code VFIO512"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address and --code."""
        parser = super().get_parser(prog_name)
        base.add_address(parser)
        parser.add_argument(
            "--code",
            type=_code,
            metavar="CODE",
            help="id of the finding; all of this function if not given",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Forget it."""
        if not self.tracked.disallow(parsed_args.address, parsed_args.code):
            self.status = 1
            self.note(f"no such obstacle of {parsed_args.address} was allowed")


def _code(text: str) -> str:
    """The id of a finding about the host.

    :raises ArgumentTypeError: argparse prints it and ends with status 2
    """
    from nova_vfio_variant.host.decide import obstacles

    known = sorted(code.id for code in obstacles.OVERRULABLE)
    if text not in known:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no obstacle that can be overruled; those are"
            f" {', '.join(known)}"
        )
    return text
