# SPDX-License-Identifier: Apache-2.0
"""What all commands share: errors as one line, verdicts, readable cells."""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import sys
import traceback
import typing as ty
import uuid

from cliff import command, lister, show
from stevedore import extension

from nova_vfio_variant import exception, shown
from nova_vfio_variant.cli import (
    called,
    cells,
    failures,
    main,
    options,
    script_words,
    widths,
)
from nova_vfio_variant.node import context, tracked_devices

if ty.TYPE_CHECKING:
    from cliff import app
    from cliff.formatters import base as formatters

    from nova_vfio_variant import finding

_MACHINE_FORMATS = {"json", "yaml"}

Row = tuple[ty.Any, ...]
Rows = tuple[tuple[str, ...], list[Row]]


def is_for_machines(parsed_args: argparse.Namespace) -> bool:
    """Whether lists, maps and nulls are printed as data."""
    return parsed_args.formatter in _MACHINE_FORMATS


def _is_json(parsed_args: argparse.Namespace) -> bool:
    """Whether a program reads what is said; some commands have no formats."""
    return getattr(parsed_args, "formatter", None) == "json"


class _OfCliff(
    extension.ExtensionManager  # type: ignore[type-arg] # only newer ones are
):
    """The plugins of a namespace that are cliff's own.

    For those of others stevedore reads what every package offers.
    """

    def list_entry_points(self) -> list[importlib.metadata.EntryPoint]:
        found = importlib.metadata.distribution("cliff").entry_points
        return list(found.select(group=self.namespace))


class Base(command.Command):
    """A command of ours.

    ``take_action`` may set ``self.status``: 0 fine, 1 something to do. Every
    error is one clear line on standard error and status 2.
    """

    status = 0
    #: What goes before ``[vfio] placement``.
    placement: str | None = None
    #: Columns that have another name now, and go with the next release: no
    #: table has them unless they are asked for.
    old: ty.ClassVar[tuple[str, ...]] = ()
    #: One line that a user could type.
    example: ty.ClassVar[str] = ""

    def __init__(
        self, app: app.App, app_args: argparse.Namespace | None
    ) -> None:
        # Without its name cliff looks for no hooks, which nobody has: it would
        # read what every package offers.
        super().__init__(app, app_args)
        self._failures = failures.Failures()

    def get_epilog(self) -> str:
        """The example, below the options."""
        return f"Example: {main.App.NAME} {self.example}"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The parser of this command, which fails as commands do."""
        parser = super().get_parser(prog_name)
        reject = functools.partial(options.reject, parser)
        # cliff makes the parser, of a class of its own.
        parser.error = reject  # type: ignore[method-assign] # see above
        script_words.check(parser)
        for name in (None, "store"):
            parser.register("action", name, options.Once)
        return parser

    @functools.cached_property
    def context(self) -> context.Context:
        """The compute node that the global options point at."""
        given = self.app.options
        return context.Context(
            given.config_file,
            given.config_dir,
            given.host_root,
            given.state_path,
            self.placement,
        )

    @functools.cached_property
    def tracked(self) -> tracked_devices.TrackedDevices:
        """What that node tracks."""
        return tracked_devices.TrackedDevices(self.context)

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Do it, and turn every error into one line and status 2.

        With ``-f json`` a line with an object follows, for programs.
        """
        try:
            self.look_up(parsed_args)
            super().run(parsed_args)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - no traceback for users
            self.fail(error)
        if self._failures.message and _is_json(parsed_args):
            self.app.stderr.write(f"{self._failures.as_json()}\n")
        return self.status

    def look_up(self, parsed_args: argparse.Namespace) -> None:
        """Put addresses in the place of devices' names."""
        called.resolve(parsed_args, lambda: self.context)

    def named_now(self, column_names: ty.Sequence[str]) -> list[str]:
        """The columns without those that have another name now."""
        return [name for name in column_names if name not in self.old]

    def note(self, text: str) -> None:
        """Say a line beside the result, unless -q was given."""
        if self.app.options.verbose_level:
            self.app.stderr.write(f"{shown.line(text)}\n")

    def tell_error(
        self,
        message: str,
        hint: str | None = None,
        findings: ty.Sequence[finding.Finding] = (),
        code: str | None = None,
    ) -> None:
        """Say what went wrong in a line, and in another what to do."""
        self.status = 2
        self._failures.add(message, hint, findings, code)
        self.app.stderr.write(f"error: {shown.line(message)}\n")
        if hint:
            self.app.stderr.write(f"hint: {shown.line(hint)}\n")

    def tell_of_verdicts(self) -> None:
        """Say what the verdicts that are shown could not look at."""
        if self.context.undeclared is not None:
            self.note(
                f"warning: {self.context.undeclared}: what is assignable is"
                " said without it"
            )
        try:
            unseen = self.context.verdicts.facts.unseen
            unread = self.context.verdicts.records.unreadable
        except exception.HostError as error:
            self.note(
                f"warning: {error.message}: what is assignable is unknown"
            )
            return
        if unread is not None:
            self.note(f"warning: {unread}: what is assignable is unknown")
        if unseen:
            self.note(
                "note: this host root doesn't show "
                + ", ".join(unseen)
                + ": what is assignable is said without"
            )

    def warn(self, findings: ty.Sequence[finding.Finding]) -> None:
        """Say what is wrong beside the result, unless -q was given."""
        if findings and self.app.options.verbose_level:
            from nova_vfio_variant.check import render

            self.app.stderr.write(
                render.text(findings, widths.terminal(self.app.stderr))
            )

    def warn_of_lost(self) -> None:
        """Name what could not be read of the host that was matched."""
        scan = self.context.sound.scan
        for problem in scan.problems if scan else ():
            self.note(f"warning: {problem}")

    def fail(self, error: Exception) -> None:
        """Say what went wrong in one line, with each place if it has any."""
        if self.app.options.debug:
            told = "".join(traceback.format_exception(error))
            self.app.stderr.write(shown.lines(told))
        found: ty.Sequence[finding.Finding] = ()
        code = "os" if isinstance(error, OSError) else "bug"
        if isinstance(error, exception.VfioVariantError):
            found, code = error.findings, error.code
        self.tell_error(*failures.said(error), found, code)
        if isinstance(error, exception.ConfigError):
            from nova_vfio_variant.check import render

            width = widths.terminal(self.app.stderr)
            self.app.stderr.write(render.text(found, width))


class Lister(Base, lister.Lister):
    """A command that prints rows."""

    #: Said on standard error where there is no row.
    empty: str = "there is none"
    #: The columns of a table, where not all fit; --long shows the others.
    brief: ty.ClassVar[tuple[str, ...]] = ()

    def _load_formatter_plugins(
        self,
    ) -> extension.ExtensionManager[formatters.ListFormatter]:
        return _OfCliff(self.formatter_namespace, invoke_on_load=True)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add --long where a table leaves columns out."""
        parser = super().get_parser(prog_name)
        parser.set_defaults(long=False)
        if self.brief:
            parser.add_argument(
                "--long",
                action="store_true",
                help=(
                    "all columns in a table, too, which may be wider than a"
                    " terminal (-c chooses some); other formats have them"
                    " anyway"
                ),
            )
        return parser

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: ty.Sequence[str],
        data: ty.Iterable[ty.Sequence[ty.Any]],
    ) -> int:
        """Print; only JSON and YAML keep lists, maps and nulls as data."""
        _expect_columns(parsed_args.columns, column_names)
        data = list(data)
        if is_for_machines(parsed_args) and self._failures.message:
            if not data:
                # An empty list would say that there was nothing to do.
                return 0
        elif not is_for_machines(parsed_args):
            data = [tuple(cells.human(cell) for cell in row) for row in data]
        if parsed_args.formatter == "csv":
            data = [tuple(cells.inert(cell) for cell in row) for row in data]
        if parsed_args.formatter == "table":
            if not data and not parsed_args.print_empty:
                if self.status < 2:
                    self.note(self.empty)
                return 0
            data = self._for_table(parsed_args, column_names, data)
        return super().produce_output(parsed_args, column_names, data)

    def _for_table(
        self,
        parsed_args: argparse.Namespace,
        column_names: ty.Sequence[str],
        data: ty.Sequence[ty.Sequence[ty.Any]],
    ) -> ty.Sequence[ty.Sequence[ty.Any]]:
        """Choose the columns, and wrap them to what the table may take."""
        width = widths.asked(parsed_args, self.app.stdout)
        if not parsed_args.columns:
            if not parsed_args.long:
                width = width or widths.USUAL
            brief = [name for name in self.brief if name in column_names]
            if brief and not parsed_args.long:
                parsed_args.columns = brief
            else:
                parsed_args.columns = self.named_now(column_names)
        if width is None:
            return data
        places = [
            place
            for place, name in enumerate(column_names)
            if name in parsed_args.columns
        ]
        wrapped = widths.fitted(
            [column_names[place] for place in places],
            [[row[place] for place in places] for row in data],
            width,
        )
        # cliff would fit it again, and break addresses after 8 letters.
        parsed_args.max_width = sys.maxsize
        # All columns stay: it may be sorted by one that isn't shown.
        rows = [[*row] for row in data]
        for row, texts in zip(rows, wrapped, strict=True):
            for place, cell in zip(places, texts, strict=True):
                row[place] = cell
        return rows


class ShowOne(Base, show.ShowOne):
    """A command that prints the fields of one thing."""

    def _load_formatter_plugins(
        self,
    ) -> extension.ExtensionManager[formatters.SingleFormatter]:
        return _OfCliff(self.formatter_namespace, invoke_on_load=True)

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: ty.Sequence[str],
        data: ty.Sequence[ty.Any],
    ) -> int:
        """Print; only JSON and YAML keep lists, maps and nulls as data."""
        _expect_columns(parsed_args.columns, column_names)
        if not is_for_machines(parsed_args):
            data = tuple(cells.human(cell) for cell in data)
        if parsed_args.formatter == "shell":
            data = tuple(cells.quoted(cell) for cell in data)
        if parsed_args.formatter == "table":
            parsed_args.columns = parsed_args.columns or self.named_now(
                column_names
            )
            width = widths.asked(parsed_args, self.app.stdout)
            fields = widths.fitted(
                ("Field", "Value"),
                [*zip(column_names, data, strict=True)],
                width or widths.USUAL,
            )
            column_names, data = zip(*fields, strict=True)
        return super().produce_output(parsed_args, column_names, data)


def _expect_columns(
    asked: ty.Iterable[str], column_names: ty.Sequence[str]
) -> None:
    for name in asked:
        if name not in column_names:
            raise exception.VfioVariantError(
                f"there is no column {name!r}",
                f"the columns are {', '.join(column_names)}",
            )


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add the positional ADDRESS."""
    parser.add_argument(
        "address",
        type=called.device,
        metavar="ADDRESS",
        help="full PCI address, such as 0000:25:00.4, or its name or id",
    )


def add_instance(parser: argparse.ArgumentParser, told: str) -> None:
    """Add whose devices a command is about.

    :param told: which instance it is, for the help
    """
    parser.add_argument(
        "--instance",
        required=True,
        type=instance,
        metavar="UUID",
        help=told,
    )


def instance(text: str) -> str:
    """An instance's UUID given on the command line, in its usual form.

    :raises ArgumentTypeError: argparse prints it and ends with status 2
    """
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no UUID") from error
