# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio store backup`` and ``restore``."""

from __future__ import annotations

import argparse

from nova_vfio_variant import shown
from nova_vfio_variant.cli import base, options
from nova_vfio_variant.node import backup

COLUMNS = ("what", "now", "then")


def _add_file(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("file", type=options.path, metavar="FILE", help=what)


class Backup(base.Base):
    """Copy the state database into a file.

    It may be in use, and of an older version of this program. The copy is
    whole, says of which host it is, and is for its owner alone. A database
    that [database] connection names is for its own tools, unless it is a file.
    """

    example = "store backup /root/nova-vfio.backup"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file."""
        parser = super().get_parser(prog_name)
        _add_file(parser, "where the copy goes; what is there is replaced")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Copy it and say where."""
        backup.Backups(self.context).write(parsed_args.file)
        self.app.stdout.write(f"{shown.line(str(parsed_args.file))}\n")


class Restore(base.Lister):
    """Let the state database be what a backup of it is.

    The backup is checked, and one of an older version is upgraded, before
    anything is changed; then it is one step, done whole or not at all. What
    the database was is kept beside it. It is refused while a guest has open
    what is claimed. The host and Placement are not changed: 'reconcile',
    'device sync' and 'inventory report' do so.
    """

    example = "store restore /root/nova-vfio.backup --dry-run"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file, --force and --dry-run."""
        parser = super().get_parser(prog_name)
        _add_file(parser, "what 'store backup' made")
        parser.add_argument(
            "--force",
            action="store_true",
            help="also one of another host, one that doesn't know each claim"
            " that there is now, or in the place of a damaged database",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="show what would change and write nothing; status 1 if"
            " anything would",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Restore it, and count."""
        done = backup.Backups(self.context).restore(
            parsed_args.file,
            force=parsed_args.force,
            dry_run=parsed_args.dry_run,
        )
        for instance in done.lost:
            self.note(
                f"warning: the claim of instance {instance} is forgotten"
            )
        if done.kept is not None:
            self.note(f"note: what it was is kept as {done.kept}")
        if not done.is_other and not parsed_args.dry_run:
            self.note("note: it is so already, and nothing is changed")
        if parsed_args.dry_run:
            self.status = int(done.is_other)
        return COLUMNS, [
            (what, None if done.now is None else done.now[what], number)
            for what, number in done.then.items()
        ]
