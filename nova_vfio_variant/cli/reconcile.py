# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio reconcile``."""

from __future__ import annotations

import argparse
import sys

from nova_vfio_variant import exception, input_file
from nova_vfio_variant.cli import base
from nova_vfio_variant.node import liveness, reconcile

COLUMNS = ("subject", "what", "reason", "action", "state")
_STATUS = {
    reconcile.State.PLANNED: 1,
    reconcile.State.DONE: 0,
    reconcile.State.LEFT: 1,
    reconcile.State.FAILED: 2,
}


class Reconcile(base.Lister):
    """Free what was set for instances that are gone, and set what is missing.

    Claims of instances that are gone are given back, and those that a crash
    left half way are finished. Guests with devices that nobody has claimed for
    them, devices of two guests, and devices that vanished, were exchanged or
    are to be scrubbed are told, and left alone. Claims without an allocation in
    Placement get it again; allocations of nobody are freed where only we write.

    Each row is one thing that is wrong, and what is done about it. Nothing is
    freed that is open, younger than five minutes, somebody else's by now, or
    whose instance may live: that is asked of processes, of libvirt and of
    whatever else is installed. Status 1 if something is left.
    """

    empty = "nothing to do"
    example = "reconcile --dry-run"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add --dry-run and --alive."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="show what would be done and write nothing; status 1 if"
            " there is anything",
        )
        parser.add_argument(
            "--alive",
            metavar="FILE|-",
            help="the UUIDs of all instances that live, one a line; - is"
            " standard input",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it and say what."""
        listed = None
        if parsed_args.alive is not None:
            listed = _listed(parsed_args.alive)
        reconciling = reconcile.Reconciling(self.context)
        outcomes = (
            reconciling.plan(listed)
            if parsed_args.dry_run
            else reconciling.run(listed)
        )
        rows: list[base.Row] = []
        for outcome in outcomes:
            self.status = max(self.status, _STATUS[outcome.state])
            decision = outcome.decision
            rows.append(
                (
                    decision.subject,
                    str(decision.what),
                    outcome.why,
                    str(decision.action),
                    str(outcome.state),
                )
            )
        return COLUMNS, rows


def _listed(name: str) -> frozenset[str]:
    """The instances of a list.

    :raises VfioVariantError: it can't be read, or a line is no UUID
    """
    place = "standard input" if name == "-" else name
    try:
        if name == "-":
            text = sys.stdin.buffer.read(liveness.MOST + 1)
            input_file.expect_size(len(text), place, liveness.MOST)
        else:
            text = input_file.read(name, liveness.MOST)
    except OSError as error:
        raise exception.VfioVariantError(
            f"{place}: {error.strerror}"
        ) from error
    return liveness.parse(text, place)
