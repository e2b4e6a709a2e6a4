# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio migration``: moving a guest's devices to another host."""

from __future__ import annotations

import argparse

from nova_vfio_variant.cli import base
from nova_vfio_variant.guest import devices
from nova_vfio_variant.node import migration

COLUMNS = ("device", "driver", "declared", "answer", "p2p", "reason")


class _OfInstance(base.Base):
    """A command about the devices of one instance."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add whose devices."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--instance",
            required=True,
            type=base.instance,
            metavar="UUID",
            help="the instance that has the devices",
        )
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
