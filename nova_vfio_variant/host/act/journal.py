# SPDX-License-Identifier: Apache-2.0
"""What was done to the host since it booted, and how to go back.

One file of lines, ``host-journal`` in the state path, to which is only ever
added: each line is a checksum and a JSON object, and is on disk before the
write that it announces. The checksum is of all lines so far, so that none can
be missed, and the file begins with how many there are, so that it can't end
too early. A line more that has no end is one that a crash cut short: it never
counted. Anything else that isn't as it was written is damage.

A reboot undoes all that this project does to a host, so that the journal of
another boot is put aside as ``host-journal.previous`` and a new one begun.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import itertools
import json
import os
import pathlib
import re
import typing as ty
import zlib

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import function_state

NAME: ty.Final = "host-journal"
VERSION: ty.Final = 1

#: The number of lines, at the beginning of the first one; and a line that was
#: cut short.
_COUNT = re.compile(rb"[0-9]{8}")
_TORN = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} (\{[ -~]*)?")


class Kind(enum.StrEnum):
    """What a line is about."""

    JOURNAL = "journal"
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
    """

    def __init__(self, path: pathlib.Path, boot: str) -> None:
        self.path = path
        self.boot = boot
        #: What every touched function was before, in the order of touching.
        self.priors: dict[str, plan.Prior] = {}
        #: The changes that were begun and not ended, by number.
        self.unfinished: dict[int, plan.Unfinished] = {}
        #: How the last change of each subject and kind ended.
        self.outcomes: dict[tuple[str, plan.What], plan.Outcome] = {}
        #: VFs that went with others and came back by undoing that, and are
        #: yet to be made what they were.
        self.owed: set[str] = set()
        #: What an earlier boot's journal knew, all undone by the reboot.
        self.undone_by_reboot: dict[str, plan.Prior] = {}
        self._numbers = 0
        self._size = 0
        self._lines = 0
        self._checksum = 0
        self._stale = False
        self._fd: int | None = None

    @classmethod
    def open(cls, state_path: str | pathlib.Path, boot: str) -> Journal:
        """Read the journal; nothing is made or changed by that.

        :param boot: ``/proc/sys/kernel/random/boot_id``
        :raises JournalError: it is garbled or truncated, or a newer version
            made it; it is left as it is
        """
        journal = cls(pathlib.Path(state_path) / NAME, boot)
        try:
            data = journal.path.read_bytes()
        except FileNotFoundError:
            return journal
        except OSError as error:
            raise exception.JournalError(
                f"the journal {journal.path} can't be read: {error.strerror}"
            ) from error
        journal._load(data)
        return journal

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
        """Whether a change was begun that concerns a function."""
        return any(
            subject in one.change.functions for one in self.unfinished.values()
        )

    @property
    def unsettled(self) -> set[str]:
        """The functions that are neither as before nor as declared."""
        return self.owed.union(
            *(one.change.functions for one in self.unfinished.values())
        )

    def begin(self, change: plan.Change, command: plan.Command) -> int:
        """Note a change before its first write.

        What its function was is noted with it.

        :returns: the number by which the other notes name it
        """
        number = self._numbers + 1
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
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _load(self, data: bytes) -> None:
        if not data:
            raise self._damaged("truncated: it is empty")
        whole, _, torn = data.rpartition(b"\n")
        lines = whole.split(b"\n")
        count, _, lines[0] = lines[0].partition(b" ")
        for number, line in enumerate(lines, start=1):
            try:
                entry = self._checked(line)
                if number == 1:
                    if not _COUNT.fullmatch(count):
                        raise ValueError("it doesn't begin with a number")
                    self._take_header(entry)
                else:
                    self._take(entry)
            except (KeyError, TypeError, ValueError) as error:
                if self._stale:
                    # The reboot undid it, whatever it was.
                    break
                raise self._damaged(
                    f"garbled in line {number}: {error}"
                ) from error
            self._lines = number
        if self._stale:
            self.undone_by_reboot = self.priors
            self.priors, self.unfinished, self.outcomes = {}, {}, {}
            self.owed = set()
            self._numbers = 0
            return
        if self._lines < int(count):
            raise self._damaged(
                f"truncated: it has {self._lines} lines of {int(count)}"
            )
        if not _TORN.fullmatch(torn):
            raise self._damaged(
                f"garbled in line {self._lines + 1}: it has no end"
            )
        self._size = len(whole) + 1

    def _damaged(self, how: str) -> exception.JournalError:
        return exception.JournalError(
            f"the journal {self.path} is {how}",
            "compare the host with it by hand, then move the file away",
        )

    def _checked(self, line: bytes) -> dict[str, ty.Any]:
        """The object of the line that comes next.

        :raises ValueError: it isn't what was written
        """
        checksum, _, text = line.partition(b" ")
        self._checksum = zlib.crc32(text, self._checksum)
        if checksum != b"%08x" % self._checksum:
            raise ValueError("its checksum differs")
        entry = json.loads(text)
        if not isinstance(entry, dict):
            raise TypeError("it is no object")
        return entry

    def _take(self, entry: dict[str, ty.Any]) -> None:
        """Fold one line into what is known."""
        kind, number = Kind(entry["kind"]), entry["number"]
        if kind is Kind.BEGIN:
            self._take_begin(entry, number)
        elif kind is Kind.FORGET:
            self.priors.pop(entry["subject"], None)
            for what in plan.What:
                self.outcomes.pop((entry["subject"], what), None)
            self.owed.discard(entry["subject"])
        elif kind is Kind.END:
            ended = self.unfinished.pop(number)
            outcome = plan.Outcome(entry["outcome"])
            is_restore = ended.command is plan.Command.RESTORE
            if outcome is plan.Outcome.DONE and is_restore:
                outcome = plan.Outcome.RESTORED
            self._owe(ended, outcome)
            if outcome is plan.Outcome.UNDONE:
                self._leave_again(ended)
            else:
                self._leave(ended.change, ended.change.after)
            key = (ended.change.subject, ended.change.what)
            if outcome is not plan.Outcome.UNDONE or not is_restore:
                self.outcomes[key] = outcome
        else:
            self._take_step(kind, entry, self.unfinished[number])

    def _owe(self, ended: plan.Unfinished, outcome: plan.Outcome) -> None:
        """Note the VFs that came back with their PF's own number of VFs."""
        change = ended.change
        if outcome is not plan.Outcome.UNDONE:
            # What went is owed nothing; what came in its place is another.
            self.owed -= {change.subject, *change.lost}
        if change.what is not plan.What.VFS:
            return
        if outcome is plan.Outcome.UNDONE:
            self.owed |= set(change.lost) & set(self.priors)
        elif outcome is plan.Outcome.RESTORED and change.after.numvfs:
            self.owed |= {
                name
                for name, prior in self.priors.items()
                if prior.pf == change.subject and not prior.made
            }

    def _leave(self, change: plan.Change, made: function_state.State) -> None:
        """Note what a change makes of drivers.

        :param made: what stands there where it ends
        """
        # VFs come again with whatever driver the kernel chooses.
        left = dict.fromkeys(
            change.lost, function_state.State(function_state.KERNELS_CHOICE)
        )
        if change.what is plan.What.DRIVER:
            left[change.subject] = made
        for name in left.keys() & self.priors.keys():
            self.priors[name] = dataclasses.replace(
                self.priors[name], left=left[name]
            )
        known = self.priors.get(change.subject)
        if known is None or made.numvfs is None:
            return
        if change.what is plan.What.VFS or not known.vfs_left:
            self.priors[change.subject] = dataclasses.replace(
                known, vfs_left=frozenset({(made.numvfs, made.autoprobe)})
            )

    def _leave_again(self, undone: plan.Unfinished) -> None:
        """Note that a change left its function as it found it.

        What somebody else had made of it is not ours by that. Whether VFs
        that may have gone did so nobody knows.
        """
        change = undone.change
        known = self.priors.get(change.subject)
        if known is None:
            return
        before = change.before
        if change.what is plan.What.VFS:
            vfs_left = frozenset({(before.numvfs, before.autoprobe)})
            if undone.prior is not None:
                vfs_left = undone.prior.vfs_left
            known = dataclasses.replace(known, vfs_left=vfs_left)
        else:
            left = undone.prior.left if undone.prior is not None else None
            known = dataclasses.replace(known, left=left or before)
        self.priors[change.subject] = known

    def _pass(self, change: plan.Change) -> None:
        """Note what a PF and its VFs come by in a change."""
        for name in change.lost.keys() & self.priors.keys():
            # As they were, gone, or as the kernel made them anew.
            self.priors[name] = dataclasses.replace(
                self.priors[name], left=None
            )
        known = self.priors.get(change.subject)
        if known is None or change.what is not plan.What.VFS:
            return
        counts = {change.before.numvfs, 0, change.after.numvfs}
        self.priors[change.subject] = dataclasses.replace(
            known,
            vfs_left=frozenset(itertools.product(counts, (False, True))),
        )

    def _take_header(self, entry: dict[str, ty.Any]) -> None:
        if entry["kind"] != Kind.JOURNAL:
            raise ValueError("it is not the first one")
        if entry["version"] > VERSION:
            raise exception.JournalError(
                f"the journal {self.path} is of version {entry['version']}, "
                f"and version {VERSION} is the newest that is known here",
                "use the program that made it",
            )
        self._stale = entry["boot"] != self.boot

    def _take_begin(self, entry: dict[str, ty.Any], number: int) -> None:
        change = plan.Change.of_data(entry["change"])
        command = plan.Command(entry["purpose"])
        self._numbers = number
        self.unfinished[number] = plan.Unfinished(
            number,
            change,
            command,
            prior=self.priors.get(change.subject),
        )
        if change.what is plan.What.MODULE:
            return
        if command is plan.Command.APPLY:
            self._touch(change)
        self._pass(change)

    def _touch(self, change: plan.Change) -> None:
        """Note what the functions of a change are before it."""
        for subject, state in change.lost.items():
            self.priors.setdefault(
                subject, plan.Prior(state, change.subject, made=False)
            )
        self.priors.setdefault(
            change.subject,
            plan.Prior(
                change.before,
                change.pf,
                made=change.pf in self.priors,
                identity=change.identity,
            ),
        )
        left = self.priors[change.subject].left
        if left is None or left.driver == function_state.KERNELS_CHOICE:
            self._leave(change, change.after)

    def _take_step(
        self, kind: Kind, entry: dict[str, ty.Any], change: plan.Unfinished
    ) -> None:
        step = plan.Step.of_data(entry["step"])
        if kind is Kind.BEGUN:
            change.begun, change.trouble, change.hung = step, None, False
        elif kind is Kind.DONE:
            change.begun = None
            change.done.append(step)
        elif kind is Kind.FAILED:
            change.begun, change.trouble = None, entry["why"]
        elif kind is Kind.HUNG:
            change.trouble, change.hung = entry["why"], True
        else:
            raise ValueError(f"{kind} is no line about a step")

    def _add(self, kind: Kind, number: int, **more: object) -> None:
        """Write a line; it is on disk when this returns."""
        entry = {"kind": kind, "number": number, **more}
        try:
            if self._fd is None:
                self._fd = self._open()
            self._append(self._fd, entry)
        except OSError as error:
            raise exception.JournalError(
                f"the journal {self.path} can't be written: {error.strerror}",
                "nothing is done to the host without it",
            ) from error
        self._take(json.loads(json.dumps(entry)))

    def _append(self, fd: int, entry: dict[str, ty.Any]) -> None:
        text = json.dumps(entry).encode()
        checksum = zlib.crc32(text, self._checksum)
        line = b"%08x %s\n" % (checksum, text)
        try:
            _write(fd, line, self._size)
            # What is cut off from here on is missed.
            _write(fd, b"%08d" % (self._lines + 1), 0)
            os.fsync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                _write(fd, b"%08d" % self._lines, 0)
                os.ftruncate(fd, self._size)
            raise
        self._size += len(line)
        self._lines += 1
        self._checksum = checksum

    def _open(self) -> int:
        """Open the file to add to it, and begin it if it is none yet."""
        folder = self.path.parent
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if self._stale:
            os.replace(self.path, self.path.with_suffix(".previous"))
            self._stale, self._lines = False, 0
        if not self._lines:
            return self._begun()
        fd = os.open(self.path, os.O_WRONLY)
        try:
            # What has no end never counted, and nothing may follow it.
            os.ftruncate(fd, self._size)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise
        return fd

    def _begun(self) -> int:
        """Begin the file. It has its first line from the beginning."""
        text = json.dumps(
            {
                "kind": Kind.JOURNAL,
                "number": 0,
                "version": VERSION,
                "boot": self.boot,
            }
        ).encode()
        checksum = zlib.crc32(text)
        line = b"%08d %08x %s\n" % (1, checksum, text)
        new = self.path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write(fd, line, 0)
            os.fsync(fd)
            os.replace(new, self.path)
            _sync_folder(self.path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise
        self._size, self._lines, self._checksum = len(line), 1, checksum
        return fd


def _write(fd: int, data: bytes, place: int) -> None:
    if os.pwrite(fd, data, place) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync_folder(folder: pathlib.Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
