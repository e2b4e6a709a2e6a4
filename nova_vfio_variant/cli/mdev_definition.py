# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio mdev definition``."""

from __future__ import annotations

import argparse

from nova_vfio_variant import exception
from nova_vfio_variant.cli import base
from nova_vfio_variant.node import mdev_definitions, mdev_wishes


class Definition(base.Base):
    """Print a mediated device as another tool defines it.

    Of a device that is there, or that we made and is missing. With --type of
    one that is yet to be made, by that tool: nothing is made or recorded.
    """

    example = "mdev definition c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a11"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the device."""
        parser = super().get_parser(prog_name)
        parser.add_argument("uuid", metavar="UUID")
        parser.add_argument(
            "--type", help="of a device that isn't there: its name or id"
        )
        parser.add_argument(
            "--parent",
            action="append",
            default=[],
            help="with --type: only of this one; may be given more than once",
        )
        parser.add_argument(
            "--attribute",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="with --type: written in this order",
        )
        parser.add_argument(
            "--for",
            dest="tool",
            choices=[*mdev_definitions.TOOLS],
            default="libvirt",
            help="libvirt: XML for virsh nodedev-create or nodedev-define;"
            " mdevctl: JSON for mdevctl define --jsonfile (default:"
            " %(default)s)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print."""
        found = mdev_definitions.Definitions(self.context)
        if parsed_args.type is None:
            if parsed_args.parent or parsed_args.attribute:
                raise exception.ClaimError(
                    "--parent and --attribute are for a device that isn't"
                    " there",
                    "name its --type too, or leave them out",
                )
            definition = found.known(parsed_args.uuid)
        else:
            definition = found.planned(
                mdev_wishes.Wish(
                    parsed_args.type,
                    tuple(parsed_args.parent),
                    parsed_args.uuid,
                    attributes=tuple(parsed_args.attribute),
                )
            )
        self.app.stdout.write(
            mdev_definitions.TOOLS[parsed_args.tool](definition)
        )
