# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio host diff``."""

from __future__ import annotations

import argparse
import dataclasses

from nova_vfio_variant.cli import base
from nova_vfio_variant.host.observe import scanner
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.node import differences

COLUMNS = tuple(
    field.name for field in dataclasses.fields(differences.Difference)
)


class Diff(base.Lister):
    """Show what is different between two looks at a host.

    Functions that are gone or came; that moved: the same card at another
    address, 'basis' says by what it is known, and whether that is only a
    guess; and that changed: driver, IOMMU group, NUMA node, numbers of VFs.
    With --config-file or --config-dir also which entries of device_spec and
    host_spec name other functions. Status 1 if anything differs.
    """

    empty = "there is no difference"
    example = "host diff before.tar.gz /"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the two hosts."""
        parser = super().get_parser(prog_name)
        for name, text in (("old", "before"), ("new", "after")):
            parser.add_argument(
                name,
                metavar=name.upper(),
                help=(
                    f"the host {text}: a recording (.tar.gz), a folder, or /"
                    " for this one"
                ),
            )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Look at both and compare."""
        old, new = (
            scanner.scan(opening.open_tree(path))
            for path in (parsed_args.old, parsed_args.new)
        )
        conf = self.context.conf if self.context.is_configured else None
        found = differences.differences(old, new, conf)
        for path, scan in ((parsed_args.old, old), (parsed_args.new, new)):
            for problem in scan.problems:
                self.note(f"warning: {path}: {problem}")
        self.status = int(bool(found))
        return COLUMNS, [dataclasses.astuple(row) for row in found]
