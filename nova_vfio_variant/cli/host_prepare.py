# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio host plan``, ``apply``, ``restore`` and ``recover``."""

from __future__ import annotations

import argparse
import functools
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.cli import base, called
from nova_vfio_variant.host.act import observer as host_observer
from nova_vfio_variant.host.decide import judgement, plan, planning, refusal
from nova_vfio_variant.node import preparation

COLUMNS = ("step", "subject", "action", "undo", "state")
#: A step that may take longer than this many seconds is announced.
_LONG = 30


class Prepare(base.Lister):
    """What the four commands share."""

    empty = "nothing to do"

    def __init__(self, *args: ty.Any, **more: ty.Any) -> None:
        super().__init__(*args, **more)
        self._rows: list[base.Row] = []

    @functools.cached_property
    def prepared(self) -> preparation.Preparation:
        """The acting half of the node."""
        return preparation.Preparation(self.context, self.telling)

    @property
    def telling(self) -> host_observer.Observer:
        """Says what is done while this command does it."""
        return _Telling(self)

    def add_addresses(
        self, parser: argparse.ArgumentParser, *, positional: bool
    ) -> None:
        """Add the functions to which a command is limited."""
        if positional:
            parser.add_argument(
                "only",
                type=called.device,
                nargs="*",
                metavar="ADDRESS",
                help="only these functions, and the VFs of a PF",
            )
        else:
            parser.add_argument(
                "--only",
                type=called.device,
                action="append",
                default=[],
                metavar="ADDRESS",
                help="only this function; may be given more than once",
            )

    def add_dry_run(self, parser: argparse.ArgumentParser) -> None:
        """Add --dry-run."""
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="show what would be done and write nothing",
        )

    def show(self, decision: planning.Decision) -> base.Rows:
        """A plan, with what speaks against it."""
        rows: list[base.Row] = []
        for said in decision.notes:
            self.note(f"note: {said}")
        for change in decision.plan.changes:
            state = (
                plan.StepState.EXPECTED
                if change.expected
                else plan.StepState.PLANNED
            )
            for step in change.steps:
                rows.append(_row(len(rows) + 1, step, state))
        self.status = int(bool(rows))
        self.refuse(decision.refusals)
        return COLUMNS, rows

    def refuse(self, refusals: ty.Sequence[finding.Finding]) -> None:
        """Say what is in the way."""
        for reason in refusals:
            self.tell_error(refusal.line(reason), reason.hint, (reason,))

    def tell(self, result: preparation.Result) -> base.Rows:
        """What was done, and what was not."""
        for judged in result.recovered:
            self.note(f"recovered: {_sentence(judged)}")
        self.excuse(result)
        return COLUMNS, self._rows

    def excuse(self, result: preparation.Result) -> None:
        """Say why something wasn't done."""
        self.refuse(result.refusals)
        for why in result.failed:
            self.tell_error(why)
        if result.ended_by is not None:
            self.fail(result.ended_by)

    def add_step(self, step: plan.Step, state: plan.StepState) -> None:
        """Add a row for a step that has come to its end."""
        self._rows.append(_row(len(self._rows) + 1, step, state))


class _Telling(host_observer.Observer):
    """Says what is done while a command does it."""

    def __init__(self, command: Prepare) -> None:
        self._command = command

    def step(
        self, change: plan.Change, step: plan.Step, state: plan.StepState
    ) -> None:
        """A line, and a row of the table."""
        note = self._command.note
        if state is plan.StepState.BEGUN:
            if step.deadline > _LONG and step.action is plan.Action.SET_NUMVFS:
                note(f"{step}: up to {step.deadline:g} seconds")
            return
        self._command.add_step(step, state)
        note(f"{step}: {state}")

    def count(self, step: plan.Step, vfs: int) -> None:
        """A line."""
        self._command.note(f"{step}: {vfs} VFs now")

    def note(self, what: str) -> None:
        """A line."""
        self._command.note(what)


class Plan(Prepare):
    """Show what would make this host what host_spec declares.

    Nothing is written. Status 0: nothing to do; 1: something to do; 2: it is
    refused, or host_spec doesn't fit this host.

    Steps whose state is 'expected' become possible by those before them, and
    are decided anew then.
    """

    example = "host plan"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add --only."""
        parser = super().get_parser(prog_name)
        self.add_addresses(parser, positional=False)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Decide and show."""
        return self.show(self.prepared.plan(parsed_args.only))


class Apply(Prepare):
    """Make this host what host_spec declares.

    What a crash left in the middle is recovered first. Each step is noted in
    a journal, done, and read back; what fails is taken back at once. If
    anything is refused nothing is done.
    """

    example = "host apply --only 0000:41:00.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add --only and --dry-run."""
        parser = super().get_parser(prog_name)
        self.add_addresses(parser, positional=False)
        self.add_dry_run(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        if parsed_args.dry_run:
            return self.show(self.prepared.plan(parsed_args.only))
        return self.tell(self.prepared.apply(parsed_args.only))


class Restore(Prepare):
    """Take this host back to what it was before 'host apply'.

    That is what the journal recorded: driver, driver_override, number of VFs,
    sriov_drivers_autoprobe and vGPU type of each function that was touched
    since the host booted. Modules stay loaded.
    """

    example = "host restore 0000:41:00.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the addresses and --dry-run."""
        parser = super().get_parser(prog_name)
        self.add_addresses(parser, positional=True)
        self.add_dry_run(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        if parsed_args.dry_run:
            return self.show(self.prepared.plan_restore(parsed_args.only))
        return self.tell(self.prepared.restore(parsed_args.only))


class Recover(Prepare):
    """Bring to an end what a crash left in the middle.

    Each change that was begun is finished, undone, or left and reported;
    'action' says which and why. Status 1 if anything is left.
    """

    example = "host recover"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        result = self.prepared.recover()
        rows: list[base.Row] = []
        for number, judged in enumerate(result.recovered, start=1):
            account = self.prepared.journal().account(judged.change.subject)
            action = f"{judged.verdict}: {judged.reason}"
            rows.append((number, judged.change.subject, action, None, account))
            if judged.verdict is judgement.Verdict.LEAVE:
                self.status = 1
        self.excuse(result)
        return COLUMNS, rows


def _row(number: int, step: plan.Step, state: plan.StepState) -> base.Row:
    return number, step.subject, step.shown, step.undo, str(state)


def _sentence(judged: judgement.Judgement) -> str:
    return f"{judged.change.subject}: {judged.verdict}: {judged.reason}"
