# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio inventory``: what Placement shall say, and what it says."""

from __future__ import annotations

import argparse
import typing as ty

from nova_vfio_variant.cli import base
from nova_vfio_variant.node import desired, placement_side, reporting

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.placement import diff, report

SHOW_COLUMNS = (
    "provider",
    "parent",
    "resource_class",
    "total",
    "reserved",
    "used",
    "traits",
)
#: How many addresses a note names before it counts the others.
_NAMED = 4
DIFF_COLUMNS = ("change", "provider", "field", "published", "desired")


def change_rows(changes: ty.Iterable[diff.Difference]) -> list[base.Row]:
    """Changes in the order of DIFF_COLUMNS."""
    return [
        (
            change.change,
            change.provider,
            change.field,
            change.published,
            change.desired,
        )
        for change in changes
    ]


class _Inventory(base.Lister):
    """A command about what is published."""

    def tell_of_withheld(
        self, addresses: ty.Iterable[pci_address.PciAddress]
    ) -> None:
        """Say why devices are reserved, or whether they have to be."""
        from nova_vfio_variant.host.decide import assignability

        reasons: dict[str, list[str]] = {}
        for at in addresses:
            answer = self.tracked.verdict(at)
            for obstacle in answer.lasting[:1]:
                reason = (
                    f"reserved, for {obstacle.code.title} [{obstacle.code.id}]"
                )
                reasons.setdefault(reason, []).append(str(at))
            if answer.state is assignability.State.UNKNOWN:
                first = answer.unknown[0]
                reason = f"not known: {first.message}; {first.hint}"
                reasons.setdefault(reason, []).append(str(at))
        for reason, those in reasons.items():
            more = len(those) - _NAMED
            listed = ", ".join(those[:_NAMED])
            self.note(
                f"note: {listed}"
                + (f" and {more} more" if more > 0 else "")
                + f": {reason}"
            )


class Show(_Inventory):
    """Show the providers and inventories that Placement shall have.

    Used is 0 for what isn't published yet, and unknown while Placement is
    out of reach.
    """

    empty = "no device would be published"
    brief = ("provider", "resource_class", "total", "reserved", "used")
    example = "inventory show"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Show the desired tree with today's usage."""
        del parsed_args
        view = placement_side.PlacementSide(self.context).view()
        if view.unreachable is not None:
            self.note(f"usage is unknown: {view.unreachable}")
        if view.spent:
            self.note(desired.told_spent(view.spent))
        self.tell_of_withheld(view.withheld)
        rows: list[base.Row] = []
        for provider in view.desired:
            used = view.usages.get(provider.name, {})
            rows.extend(
                (
                    provider.name,
                    provider.parent,
                    resource_class,
                    inventory.total,
                    inventory.reserved,
                    None
                    if view.unreachable is not None
                    else used.get(resource_class, 0),
                    list(provider.traits),
                )
                for resource_class, inventory in provider.inventories.items()
            )
        return SHOW_COLUMNS, rows


class _Result(_Inventory):
    """A command that shows what a report changes, or would change."""

    empty = "Placement is as it shall be"

    def tell(self, result: report.Result) -> base.Rows:
        """The changes as rows, and what stays beside them."""
        self.tell_of_withheld(result.withheld)
        self.warn(result.findings)
        for warning in result.warnings:
            self.note(f"warning: {warning}")
        if result.unpublished is not None:
            self.note(f"note: {result.unpublished}")
        if result.warnings or result.unpublished is not None:
            self.empty = "nothing more is to be changed"
        return DIFF_COLUMNS, change_rows(result.changes)


class Diff(_Result):
    """Show where Placement differs from what it shall have.

    Status 1 if it differs, even if only in what is in use and so can't be
    changed yet.
    """

    example = "inventory diff -f json"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Compare and list."""
        del parsed_args
        result = placement_side.PlacementSide(self.context).diff()
        self.status = int(
            bool(result.changes or result.warnings or result.findings)
        )
        return self.tell(result)


class Report(_Result):
    """Make Placement equal to 'inventory show'.

    Syncs the tracker first. Lists what it changed; nothing if all was equal.
    Status 1 if something stays that is not as it should be, or if the
    function at a tracked device's address is another one now.
    """

    example = "inventory report --dry-run"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add --dry-run."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="list what would change and write nothing; status 1 if any",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Report, or only say what would be reported."""
        result = reporting.Reporting(self.context).report(
            dry_run=parsed_args.dry_run
        )
        self.warn_of_lost()
        for instance_uuid in result.finished:
            self.note(f"finished the claim of instance {instance_uuid}")
        left = (
            result.warnings
            or result.findings
            or (parsed_args.dry_run and result.changes)
        )
        self.status = int(bool(left or self.context.declared.unread))
        return self.tell(result)
