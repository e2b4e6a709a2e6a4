# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio mdev types``, ``list``, ``create`` and ``delete``."""

from __future__ import annotations

import argparse
import functools

from nova_vfio_variant.cli import base, cordon, host_prepare
from nova_vfio_variant.host.decide import mdev_choice
from nova_vfio_variant.node import (
    mdev_keeping,
    mdev_types,
    mdev_wishes,
    mdevs,
)
from nova_vfio_variant.pci import mdev_names


class MdevTypes(base.Lister):
    """List the types of mediated devices that this host's devices offer.

    'available' is what the kernel says that a parent still takes. All types
    of a parent share what it has, so that these numbers don't add up.
    """

    empty = "no device of this host offers mediated devices"
    brief = (
        "parent",
        "id",
        "name",
        "device_api",
        "framebuffer_mib",
        "existing",
        "available",
    )
    example = "mdev types"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the parent."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "parent",
            nargs="?",
            help="only this one, as /sys/class/mdev_bus has it",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """List them, by parent and type."""
        seen = self.context.verdicts.facts.mdevs
        if seen.unread is not None:
            self.note(f"warning: {seen.unread}")
        cordon.tell_of(self)
        if not seen.has_bus:
            self.empty = "this kernel has no mediated devices (/sys/bus/mdev)"
        return TYPE_COLUMNS, [
            _type_row(offered)
            for offered in mdev_types.offered(self.context)
            if parsed_args.parent in (None, offered.parent.name)
        ]


TYPE_COLUMNS = (
    "parent",
    "id",
    "name",
    "device_api",
    "framebuffer_mib",
    "existing",
    "available",
    "max_instances",
    "num_heads",
    "frl_config",
    "max_resolution",
    "description",
)


def _type_row(offered: mdev_types.Offered) -> base.Row:
    kind = offered.mdev_type
    told = kind.told
    return (
        offered.parent.name,
        kind.id,
        kind.name,
        kind.device_api,
        kind.framebuffer_mib,
        offered.existing,
        kind.available,
        kind.max_instances,
        _number(told.get("num_heads")),
        _number(told.get("frl_config")),
        told.get("max_resolution"),
        kind.description,
    )


def _number(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text


class List(base.Lister):
    """List the mediated devices of this host, and whose they are.

    One of ours that isn't there any more, as after a reboot, has the state
    'missing'; one whose removal has begun and not ended 'removing'.
    """

    empty = "there are no mediated devices"
    brief = ("uuid", "parent", "type", "owner", "instance_uuid", "state")
    example = "mdev list"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """List them, by UUID."""
        seen = self.context.verdicts.facts.mdevs
        if seen.unread is not None:
            self.note(f"warning: {seen.unread}")
        return LIST_COLUMNS, [
            _row(shown) for shown in mdevs.Mdevs(self.context).all()
        ]


LIST_COLUMNS = (
    "uuid",
    "parent",
    "type",
    "owner",
    "instance_uuid",
    "state",
    "driver",
    "iommu_group",
    "assignment",
    "since",
    "attributes",
    "used_by",
)


def _row(shown: mdevs.Shown) -> base.Row:
    device, ours = shown.device, shown.ours
    parent = type_id = None
    if device is not None:
        parent, type_id = device.parent, device.type_id
    elif ours is not None:
        parent, type_id = mdev_names.parse_kind(ours.kind)
    return (
        shown.uuid,
        parent,
        type_id,
        shown.owner,
        None if ours is None else ours.instance_uuid,
        _state(shown),
        None if device is None else device.driver,
        None if device is None else device.group,
        None if ours is None else ours.assignment or None,
        None if ours is None else ours.since,
        [] if ours is None else list(ours.attributes),
        list(shown.holders),
    )


def _state(shown: mdevs.Shown) -> str:
    if any(
        known is not None and known.goes
        for known in (shown.device, shown.ours)
    ):
        return "removing"
    return "missing" if shown.device is None else "there"


def add_strategy(parser: argparse.ArgumentParser) -> None:
    """Add how a parent is chosen."""
    parser.add_argument(
        "--strategy",
        choices=[str(known) for known in mdev_choice.Strategy],
        default=str(mdev_choice.Strategy.COMPACT),
        help="of mediated devices: compact: fill cards that have some;"
        " separate: a card without one of the type, else as compact; spread:"
        " the card with the fewest (default: compact)",
    )


class _Acting(host_prepare.Prepare):
    """What the commands that write share."""

    @functools.cached_property
    def mdevs(self) -> mdevs.Mdevs:
        """The mediated devices of the node."""
        return mdevs.Mdevs(self.context, self.telling)


class Create(_Acting):
    """Make a mediated device.

    Where a parent turns out full the next one is tried. A device of which an
    attribute can't be written is removed again.
    """

    empty = "nothing was made"
    example = (
        "mdev create nvidia-35 --instance 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what is asked for."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "type", help="name or id, as 'mdev types' shows it"
        )
        parser.add_argument(
            "--parent",
            action="append",
            default=[],
            help="only of this one; may be given more than once",
        )
        parser.add_argument(
            "--uuid",
            help="its UUID; without one it is made of the instance's UUID and a"
            " number, so that it is the same again, or at random",
        )
        parser.add_argument(
            "--instance",
            metavar="UUID",
            type=base.instance,
            help="whose it is to be",
        )
        parser.add_argument(
            "--attribute",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="written after it was made, in this order, such as"
            " nvidia/vgpu_params=frame_rate_limiter=0",
        )
        parser.add_argument(
            "--define",
            action="store_true",
            help="have mdevctl, which is to be installed, make it again at each"
            " boot; 'mdev delete' takes that back",
        )
        add_strategy(parser)
        self.add_dry_run(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Make it."""
        wish = mdev_wishes.Wish(
            parsed_args.type,
            tuple(parsed_args.parent),
            parsed_args.uuid,
            parsed_args.instance,
            tuple(parsed_args.attribute),
            mdev_choice.Strategy(parsed_args.strategy),
        )
        if parsed_args.dry_run:
            decision = self.mdevs.plan_create(wish)
            if parsed_args.define:
                mdev_keeping.expect(self.context.tree)
                decision = mdev_keeping.defined(decision)
            return self.show(decision)
        made = self.mdevs.create(wish, define=parsed_args.define)
        parent, type_id = mdev_names.parse_kind(made.kind)
        return (
            ("uuid", "parent", "type", "instance_uuid", "assignment"),
            [
                (
                    made.uuid,
                    parent,
                    type_id,
                    made.instance_uuid,
                    made.assignment,
                )
            ],
        )


class Delete(_Acting):
    """Remove a mediated device that nova-vfio made.

    Refused while it is open, and for what another tool made.
    """

    example = "mdev delete c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a11"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the device."""
        parser = super().get_parser(prog_name)
        parser.add_argument("uuid", metavar="UUID")
        parser.add_argument(
            "--assignment",
            metavar="ID",
            help="only if it is still this owner's, as 'mdev create' said",
        )
        self.add_dry_run(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Remove it."""
        if parsed_args.dry_run:
            return self.show(self.mdevs.plan_delete(parsed_args.uuid))
        self.mdevs.delete(parsed_args.uuid, parsed_args.assignment)
        return ("uuid",), [(parsed_args.uuid.lower(),)]
