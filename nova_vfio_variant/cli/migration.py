# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio migration``: moving a guest's devices to another host."""

from __future__ import annotations

import argparse

from nova_vfio_variant.cli import base
from nova_vfio_variant.guest import devices
from nova_vfio_variant.node import migration, migration_plan

COLUMNS = ("device", "driver", "declared", "answer", "p2p", "reason")


class _OfInstance(base.Base):
    """A command about the devices of one instance."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add whose devices."""
        parser = super().get_parser(prog_name)
        base.add_instance(parser, "the instance that has the devices")
        return parser


class Check(_OfInstance, base.Lister):
    """Show which devices of an instance can move to another host with it.

    'yes' is the kernel's own word (debugfs, as root). 'possible' goes by the
    name of the driver, which also hangs on firmware and on the PF. Nothing is
    opened, so the guest may run. Status 1 if one can't move.
    """

    example = "migration check --instance 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Ask for each."""
        of_node = migration.Migration(self.context)
        found = of_node.check(parsed_args.instance)
        self.status = int(not all(move.can for move in found))
        self.note("note: never with post-copy: QEMU refuses it for devices")
        if of_node.permits_post_copy:
            self.status = 1
            self.note(
                "warning: [libvirt] live_migration_permit_post_copy lets Nova"
                " try it: set it to false"
            )
        return COLUMNS, [
            (
                devices.name(move.device),
                move.movable.driver,
                move.declared,
                str(move.movable.answer),
                move.movable.p2p,
                move.movable.reason,
            )
            for move in found
        ]


class Plan(_OfInstance, base.Lister):
    """Show which devices of another host would take an instance's place.

    They are of the same ids, kind and resource class, ready by the verdict
    there, and able to migrate. Nothing is claimed: the commands to run there,
    in their order, are told on standard error. What is recorded there isn't
    seen: what somebody has claimed there the claim refuses. Status 1 if
    something is against it.
    """

    empty = "no device of the other host takes the place of one"
    example = (
        "migration plan --instance 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"
        " --to other.tar.gz"
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the other host."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--to",
            required=True,
            metavar="HOST",
            help="the other host: a recording (.tar.gz), or a folder",
        )
        parser.add_argument(
            "--to-config-file",
            action="append",
            metavar="FILE",
            help="its configuration (may be repeated); without it that of this"
            " host",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Look at both and compare."""
        there = self.context.elsewhere(
            parsed_args.to, parsed_args.to_config_file
        )
        plan = migration_plan.plan(self.context, there, parsed_args.instance)
        for reason in plan.against:
            self.status = 1
            self.note(f"warning: {reason}")
        for number, step in enumerate(plan.steps, 1):
            self.note(f"{number}. on the {step.at}: {step.command}")
        return ("device", "to", "managed", "resource_class"), [
            (
                str(old.address),
                str(new.address),
                new.managed,
                new.resource_class,
            )
            for old, new in plan.pairs
        ]
