# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio config``: whether the files are true."""

from __future__ import annotations

import argparse
import importlib.metadata
import typing as ty

from cliff.formatters import base as formatters
from stevedore import extension

from nova_vfio_variant import finding, shown
from nova_vfio_variant.check import render
from nova_vfio_variant.cli import base, widths
from nova_vfio_variant.node import checking

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address

CHECK_COLUMNS = (
    "severity",
    "code",
    "location",
    "subject",
    "message",
    "hint",
)
EXPLAIN_COLUMNS = (
    "spec",
    "location",
    "verdict",
    "field",
    "wanted",
    "found",
    "matched",
    "note",
)


class Text(formatters.ListFormatter):
    """Each finding below the operator's own line."""

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        """It has no options."""

    def emit_list(
        self,
        column_names: ty.Iterable[str],
        data: ty.Iterable[ty.Any],
        stdout: ty.TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Print findings, worst last, so that they end next to the prompt."""
        del column_names, data
        width = widths.asked(parsed_args, stdout)
        stdout.write(render.text(parsed_args.findings, width))


class Check(base.Lister):
    """Check nova.conf against Nova's rules, this host and Placement.

    Status 0: nothing found, or only infos; 1: warnings; 2: errors. As text
    each finding is shown below the line that it is about.
    """

    example = "config check --offline --fail-on error"

    @property
    def formatter_default(self) -> str:
        """Text, which no other command has."""
        return "text"

    def _load_formatter_plugins(
        self,
    ) -> extension.ExtensionManager[formatters.ListFormatter]:
        manager = super()._load_formatter_plugins()
        manager.extensions.append(
            extension.Extension(
                "text",
                importlib.metadata.EntryPoint("text", __name__, __name__),
                Text,
                Text(),
            )
        )
        return manager

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to look at."""
        parser = super().get_parser(prog_name)
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--offline",
            action="store_true",
            help="leave out what needs the host or Placement",
        )
        parser.add_argument(
            "--placement",
            choices=("embedded", "service"),
            help=(
                "compare with this Placement, whatever [vfio] placement says:"
                " service is the cloud's, reached as [placement] says"
            ),
        )
        what.add_argument(
            "--kernel",
            metavar="RELEASE",
            help=(
                "look also what would change with this kernel, which is"
                " installed and doesn't run"
            ),
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Check, and judge by the worst finding."""
        self.placement = parsed_args.placement
        findings = checking.Checking(self.context).check(
            offline=parsed_args.offline, kernel=parsed_args.kernel
        )
        worst = finding.worst(findings)
        if worst is not None:
            self.status = int(worst)
        elif parsed_args.formatter == "text":
            self.note("nothing found")
        parsed_args.findings = findings
        return CHECK_COLUMNS, [
            (
                str(problem.severity),
                problem.code.id,
                None if problem.location is None else str(problem.location),
                problem.subject,
                problem.message,
                problem.hint,
            )
            for problem in findings
        ]


class Explain(base.Lister):
    """Go through the device_spec entries and say why each matches or not.

    The first that matches wins; the last rows say what it makes of the
    device, and which aliases can get it. Status 1 if none matches, and 2 if
    an entry can't be used: a nova-compute that reads it does not start.
    """

    empty = "there is no device_spec"
    brief = (
        "location",
        "verdict",
        "field",
        "wanted",
        "found",
        "matched",
        "note",
    )
    example = "config explain 0000:41:10.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address."""
        parser = super().get_parser(prog_name)
        base.add_address(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Explain."""
        rows: list[base.Row] = []
        entries = checking.Checking(self.context).explain(parsed_args.address)
        self.status = 1
        for number, match in enumerate(entries):
            if isinstance(match, tuple):
                rows += [
                    (number, str(problem.location), "invalid", *_why(problem))
                    for problem in match
                ]
                continue
            if match.wins:
                self.status = 0
                verdict = "wins"
            else:
                verdict = "matches" if match.matched else "differs"
            rows.extend(
                (
                    match.spec.index,
                    str(match.spec.location),
                    verdict,
                    field.field,
                    field.wanted,
                    field.found,
                    field.matched,
                    field.note,
                )
                for field in match.fields
            )
        rows += self._of_winner(parsed_args.address)
        if any(isinstance(match, tuple) for match in entries):
            self.status = 2
        return EXPLAIN_COLUMNS, rows

    def _of_winner(
        self, address: pci_address.PciAddress
    ) -> ty.Iterator[base.Row]:
        """What the winner makes of the function, and who can get it."""
        made = checking.Checking(self.context).outcome(address)
        if made is None:
            return
        at = (made.spec.index, str(made.spec.location), "makes")
        for field, found, note in (
            ("resource_class", made.resource_class, None),
            ("traits", list(made.traits), None),
            ("managed", made.managed, None),
            ("provider", made.provider, made.why),
        ):
            yield (*at, field, None, found, None, note)
        for alias in made.aliases:
            place = (None, str(alias.location), "gets it")
            yield (*place, "alias", None, alias.name, None, None)
        if not made.aliases:
            note = "no alias of these files can get it"
            yield (*at, "alias", None, None, None, note)


def _why(problem: finding.Finding) -> tuple[None, None, None, None, str]:
    """The columns from field on, of an entry that says nothing."""
    return None, None, None, None, f"{problem.message} [{problem.code.id}]"


class Suggest(base.Base):
    """Write [pci] lines and flavor lines for the VFs that this host has.

    Grouped by PF, type and NUMA node. The output is a nova.conf fragment;
    what isn't configuration stands behind '#': what other files need, what is
    missing in those that were read, and what is not suggested. VFs are for
    ports where a device_spec, or physical_device_mappings of Neutron's agent
    in another --config-file, names their physical network.
    """

    example = "config suggest > /etc/nova/nova.conf.d/pci.conf"

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Suggest."""
        del parsed_args
        suggested = checking.Checking(self.context).suggest()
        self.app.stdout.write(shown.lines(suggested))
