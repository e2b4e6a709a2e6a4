# SPDX-License-Identifier: Apache-2.0
"""What was done to the host since it booted, and how to go back.

It is ``host-journal`` in the state path, a :mod:`.journal_file`. A reboot
undoes all that this project does to a host, so that the journal of another
boot is put aside as ``host-journal.previous`` and a new one begun.
"""

from __future__ import annotations

import enum
import pathlib
import typing as ty

from nova_vfio_variant import exception, own_files
from nova_vfio_variant.host.act import journal_file, touched
from nova_vfio_variant.host.decide import plan, plausible

NAME: ty.Final = "host-journal"


class Kind(enum.StrEnum):
    """What a line is about."""

    BEGIN = "begin"
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    HUNG = "hung"
    END = "end"
    FORGET = "forget"


class Journal:
    """The journal of one state path.

    :param path: the file
    :param boot: the kernel's boot id
    :param group: who may share its folder
    """

    def __init__(
        self, path: pathlib.Path, boot: str, group: int | None = None
    ) -> None:
        self.boot = boot
        #: The changes that were begun and not ended, by number.
        self.unfinished: dict[int, plan.Unfinished] = {}
        #: How the last change of each subject and kind ended.
        self.outcomes: dict[tuple[str, plan.What], plan.Outcome] = {}
        #: What an earlier boot's journal knew, all undone by the reboot.
        self.undone_by_reboot: dict[str, plan.Prior] = {}
        self._touched = touched.Touched()
        self._numbers = 0
        self._file = journal_file.JournalFile(path, boot, group)

    @classmethod
    def open(cls, state_path: own_files.Given, boot: str) -> Journal:
        """Read the journal; nothing is made or changed by that.

        :param boot: ``/proc/sys/kernel/random/boot_id``
        :raises JournalError: it is garbled or truncated, or a newer version
            made it; it is left as it is; or it may be a stranger's
        """
        state = own_files.place(state_path)
        journal = cls(state.path / NAME, boot, state.group)
        journal._load()
        return journal

    @staticmethod
    def is_in(state: own_files.Given) -> bool:
        """Whether a state path has any.

        :raises JournalError: it, or the state path, may be a stranger's
        """
        where = own_files.place(state)
        return journal_file.JournalFile(
            where.path / NAME, "", where.group
        ).is_there

    @property
    def path(self) -> pathlib.Path:
        """The file."""
        return self._file.path

    @property
    def priors(self) -> dict[str, plan.Prior]:
        """What every touched function was before, in order of touching."""
        return self._touched.priors

    @property
    def owed(self) -> set[str]:
        """VFs that came back by undoing, and are to be made what they were."""
        return self._touched.owed

    def account(self, subject: str) -> str:
        """Where a function stands: as it was, as declared, or in between."""
        if subject in self.owed or self.is_unfinished(subject):
            return "unfinished"
        prior = self.priors.get(subject)
        if prior is None:
            return "as before"
        outcomes = {self.outcomes.get((subject, what)) for what in plan.What}
        if outcomes == {None} and prior.pf is not None and not prior.made:
            # It went with the other VFs, and nobody has touched it since.
            outcomes = {self.outcomes.get((prior.pf, plan.What.VFS))}
        if outcomes <= {None, plan.Outcome.UNDONE, plan.Outcome.RESTORED}:
            return "as before"
        return "as declared"

    def is_unfinished(self, subject: str) -> bool:
        """Whether a change was begun that concerns a function, or an mdev."""
        return any(
            subject
            in (unfinished.change.subject, *unfinished.change.functions)
            for unfinished in self.unfinished.values()
        )

    @property
    def unsettled(self) -> set[str]:
        """The functions that are neither as before nor as declared."""
        return self.owed.union(
            *(
                unfinished.change.functions
                for unfinished in self.unfinished.values()
            )
        )

    def begin(self, change: plan.Change, command: plan.Command) -> int:
        """Note a change before its first write.

        What its function was is noted with it.

        :returns: the number by which the other notes name it
        :raises JournalError: it can't be written or is full, or no plan has
            such a change
        """
        if self._file.is_full:
            raise exception.JournalError(
                f"the journal {self.path} has no room for another change",
                "a reboot undoes what it has on record, and begins another",
            )
        number = self._numbers + 1
        try:
            plausible.check(change)
        except (TypeError, ValueError) as error:
            raise exception.JournalError(
                f"the journal {self.path} takes no such change: {error}"
            ) from error
        self._add(Kind.BEGIN, number, purpose=command, change=change.as_data())
        return number

    def step(
        self, kind: Kind, number: int, step: plan.Step, why: str = ""
    ) -> None:
        """Note that a step was begun, is done, failed or hung."""
        self._add(kind, number, step=step.as_data(), why=why)

    def end(self, number: int, outcome: plan.Outcome, why: str = "") -> None:
        """Note that a change came to its end.

        :param outcome: done, undone, or gone with its function
        """
        self._add(Kind.END, number, outcome=outcome, why=why)

    def forget(self, subject: str, why: str) -> None:
        """Note that a function is again what it was before us, or is gone."""
        self._add(Kind.FORGET, 0, subject=subject, why=why)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _load(self) -> None:
        for number, entry in self._file.entries():
            try:
                self._take(entry)
            except journal_file.NO_ENTRY as error:
                if self._file.is_stale:
                    # The reboot undid it, whatever it was.
                    break
                raise self._file.garbled(number, error) from error
        if self._file.is_stale:
            self.undone_by_reboot = self.priors
            self._touched = touched.Touched()
            self.unfinished, self.outcomes = {}, {}
            self._numbers = 0

    def _take(self, entry: dict[str, ty.Any]) -> None:
        """Fold one line into what is known."""
        kind, number = Kind(entry["kind"]), entry["number"]
        if kind is Kind.BEGIN:
            self._take_begin(entry, number)
        elif kind is Kind.FORGET:
            plausible.check_address(entry["subject"])
            self._touched.forget(entry["subject"])
            for what in plan.What:
                self.outcomes.pop((entry["subject"], what), None)
        elif kind is Kind.END:
            ended = self.unfinished.pop(number)
            outcome = plan.Outcome(entry["outcome"])
            if ended.change.what is plan.What.RESET:
                return
            is_restore = ended.command is plan.Command.RESTORE
            if (
                outcome is plan.Outcome.DONE
                and is_restore
                and not self._is_midway(ended.change)
            ):
                outcome = plan.Outcome.RESTORED
            self._touched.owe(ended, outcome)
            if outcome is plan.Outcome.UNDONE:
                self._touched.leave_again(ended)
            else:
                self._touched.leave(ended.change, ended.change.after)
            key = (ended.change.subject, ended.change.what)
            is_undone = outcome is plan.Outcome.UNDONE
            if not is_undone or not (
                is_restore or self._begins_midway(ended.change)
            ):
                self.outcomes[key] = outcome
        else:
            self._take_step(kind, entry, self.unfinished[number])

    def _is_midway(self, change: plan.Change) -> bool:
        """Whether a VF lost its vGPU type to be given another, or it again."""
        prior = self.priors.get(change.subject)
        return (
            change.what is plan.What.VGPU
            and prior is not None
            and change.after.vgpu_type != prior.state.vgpu_type
        )

    def _begins_midway(self, change: plan.Change) -> bool:
        """Whether a VF had lost its vGPU type by a change before this one."""
        prior = self.priors.get(change.subject)
        return (
            change.what is plan.What.VGPU
            and prior is not None
            and change.before.vgpu_type != prior.state.vgpu_type
        )

    def _take_begin(self, entry: dict[str, ty.Any], number: int) -> None:
        if number != self._numbers + 1:
            raise ValueError(f"{number!r} isn't the next change")
        change = plan.Change.of_data(entry["change"])
        plausible.check(change)
        command = plan.Command(entry["purpose"])
        self._numbers = number
        self.unfinished[number] = plan.Unfinished(
            number,
            change,
            command,
            prior=self.priors.get(change.subject),
        )
        if not change.functions or change.what is plan.What.RESET:
            return
        if command is not plan.Command.RESTORE:
            self._touched.touch(change)
        self._touched.come_by(change)

    def _take_step(
        self, kind: Kind, entry: dict[str, ty.Any], change: plan.Unfinished
    ) -> None:
        step = plan.Step.of_data(entry["step"])
        plausible.check_step_of(step, change.change)
        if not isinstance(entry["why"], str):
            raise TypeError(f"{entry['why']!r} is no reason")
        if kind is Kind.BEGUN:
            change.begun, change.trouble, change.hung = step, None, False
        elif kind is Kind.DONE:
            change.begun = None
            change.done.append(step)
        elif kind is Kind.FAILED:
            change.begun, change.trouble = None, entry["why"]
            change.hung = False
        elif kind is Kind.HUNG:
            change.trouble, change.hung = entry["why"], True
        else:
            raise ValueError(f"{kind} is no line about a step")

    def _add(self, kind: Kind, number: int, **more: object) -> None:
        """Write a line; it is on disk when this returns."""
        self._take(self._file.append({"kind": kind, "number": number, **more}))
