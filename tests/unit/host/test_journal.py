# SPDX-License-Identifier: Apache-2.0
"""The journal says after any crash what was done and how to go back."""

import dataclasses
import errno
import os
import pathlib
import tracemalloc
import zlib

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import journal, journal_file
from nova_vfio_variant.host.decide import plan, planning
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.pci import function
from tests import base

PF = "0000:21:00.0"
VF = "0000:21:10.0"
BEFORE = function_state.State("igbvf", None)
AFTER = function_state.State("vfio-pci", "vfio-pci")
BIND = plan.Change(
    VF,
    plan.What.DRIVER,
    BEFORE,
    AFTER,
    planning.driver_steps(VF, BEFORE, AFTER, "asked for"),
    PF,
)
FEWER = plan.Change(
    PF,
    plan.What.VFS,
    function_state.State("igb", None, 4, True),
    function_state.State("igb", None, 2, True),
    (),
    lost={VF: BEFORE},
)


MORE = plan.Change(
    PF,
    plan.What.VFS,
    function_state.State("igb", None, 2, True),
    function_state.State("igb", None, 4, True),
    (),
)


class JournalCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.state = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.state / journal.NAME

    def open(self, boot: str = "b1") -> journal.Journal:
        opened = journal.Journal.open(self.state, boot)
        self.addCleanup(opened.close)
        return opened

    def knows(self, known: journal.Journal) -> object:
        return (
            known.priors,
            known.unfinished,
            known.outcomes,
            known.owed,
        )


class JournalTest(JournalCase):
    def test_reading_makes_nothing(self) -> None:
        self.open()
        self.assertEqual([], list(self.state.iterdir()))

    def test_what_is_noted_is_read_again_after_every_line(self) -> None:
        noted = self.open()
        number = noted.begin(BIND, plan.Command.APPLY)
        self.assertEqual(self.knows(noted), self.knows(self.open()))
        for step in BIND.steps:
            noted.step(journal.Kind.BEGUN, number, step)
            self.assertEqual(self.knows(noted), self.knows(self.open()))
            self.assertEqual(step, self.open().unfinished[number].begun)
            noted.step(journal.Kind.DONE, number, step)
            self.assertEqual(self.knows(noted), self.knows(self.open()))
        self.assertEqual("unfinished", self.open().account(VF))
        noted.end(number, plan.Outcome.DONE)
        self.assertEqual(self.knows(noted), self.knows(self.open()))
        self.assertEqual("as declared", self.open().account(VF))
        noted.forget(VF, "restored")
        self.assertEqual("as before", self.open().account(VF))
        self.assertEqual({}, self.open().priors)

    def test_what_was_before_is_noted_once_and_before_any_write(self) -> None:
        noted = self.open()
        noted.end(noted.begin(BIND, plan.Command.APPLY), plan.Outcome.DONE)
        self.assertEqual(
            plan.Prior(BEFORE, PF, made=False, left=AFTER),
            self.open().priors[VF],
        )
        again = plan.Change(VF, plan.What.DRIVER, AFTER, BEFORE, ())
        noted.end(noted.begin(again, plan.Command.APPLY), plan.Outcome.DONE)
        self.assertEqual(BEFORE, self.open().priors[VF].state)

    def test_which_function_it_was_is_noted_with_it(self) -> None:
        card = function.Identity("8086", "10ca", physfn=PF, vf_index=2)
        noted = self.open()
        change = dataclasses.replace(BIND, identity=card)
        noted.end(noted.begin(change, plan.Command.APPLY), plan.Outcome.DONE)
        self.assertEqual(card, noted.priors[VF].identity)
        self.assertEqual(self.knows(noted), self.knows(self.open()))

    def test_a_change_of_an_older_journal_has_no_identity(self) -> None:
        data = BIND.as_data()
        del data["identity"]
        self.assertEqual(BIND, plan.Change.of_data(data))

    def test_what_was_last_made_of_a_function_is_known(self) -> None:
        noted = self.open()

        def left() -> function_state.State | None:
            found = self.open().priors[VF].left
            self.assertEqual(found, noted.priors[VF].left)
            return found

        number = noted.begin(BIND, plan.Command.APPLY)
        self.assertEqual(AFTER, left())
        noted.end(number, plan.Outcome.UNDONE)
        self.assertEqual(BEFORE, left())
        noted.end(noted.begin(BIND, plan.Command.APPLY), plan.Outcome.DONE)
        self.assertEqual(AFTER, left())
        # What the kernel chooses, and what it makes anew, can be on anything.
        chosen = plan.Change(
            VF,
            plan.What.DRIVER,
            AFTER,
            function_state.State(function_state.KERNELS_CHOICE),
            (),
        )
        noted.end(noted.begin(chosen, plan.Command.APPLY), plan.Outcome.DONE)
        self.assertEqual(
            function_state.State(function_state.KERNELS_CHOICE), left()
        )
        noted.end(noted.begin(BIND, plan.Command.APPLY), plan.Outcome.DONE)
        number = noted.begin(FEWER, plan.Command.APPLY)
        self.assertIsNone(left())
        noted.end(number, plan.Outcome.DONE)
        self.assertEqual(
            function_state.State(function_state.KERNELS_CHOICE), left()
        )

    def test_what_somebody_else_made_is_not_ours_by_what_we_undo(self) -> None:
        noted = self.open()
        noted.end(noted.begin(BIND, plan.Command.APPLY), plan.Outcome.DONE)
        theirs = dataclasses.replace(
            BIND, before=function_state.State("igb", "igb")
        )
        noted.end(noted.begin(theirs, plan.Command.APPLY), plan.Outcome.UNDONE)
        self.assertEqual(AFTER, noted.priors[VF].left)
        self.assertEqual(self.knows(noted), self.knows(self.open()))

    def test_which_number_of_vfs_is_ours_is_known(self) -> None:
        noted = self.open()

        def strange(*counts: int) -> list[bool]:
            found = self.open().priors[PF]
            return [
                found.has_strange_vfs(
                    function_state.State("igb", None, count, True)
                )
                for count in counts
            ]

        number = noted.begin(MORE, plan.Command.APPLY)
        self.assertEqual([False, False, False, True], strange(0, 2, 4, 6))
        noted.end(number, plan.Outcome.DONE)
        self.assertEqual([True, False, False, True], strange(0, 2, 4, 6))
        # Meanwhile somebody made it six.
        six = function_state.State("igb", None, 6, True)
        number = noted.begin(
            dataclasses.replace(MORE, before=six), plan.Command.APPLY
        )
        self.assertEqual([False, False, False, False], strange(0, 2, 4, 6))
        noted.end(number, plan.Outcome.UNDONE)
        self.assertEqual([True, False, False, True], strange(0, 2, 4, 6))

    def test_vfs_that_go_are_noted_with_their_pf(self) -> None:
        noted = self.open()
        number = noted.begin(FEWER, plan.Command.APPLY)
        found = self.open().priors
        self.assertEqual(plan.Prior(BEFORE, PF, made=False), found[VF])
        self.assertEqual("unfinished", self.open().account(VF))
        noted.end(number, plan.Outcome.UNDONE)
        self.assertEqual({VF}, self.open().owed)
        self.assertEqual("unfinished", self.open().account(VF))

    def test_vfs_that_we_made_are_told_from_those_that_were_there(
        self,
    ) -> None:
        noted = self.open()
        noted.end(noted.begin(FEWER, plan.Command.APPLY), plan.Outcome.DONE)
        other = plan.Change(
            "0000:21:10.2", plan.What.DRIVER, BEFORE, AFTER, (), PF
        )
        noted.begin(other, plan.Command.APPLY)
        self.assertTrue(self.open().priors["0000:21:10.2"].made)

    def test_restoring_notes_nothing_as_what_was_before(self) -> None:
        noted = self.open()
        noted.end(noted.begin(BIND, plan.Command.RESTORE), plan.Outcome.DONE)
        self.assertEqual({}, noted.priors)

    def test_a_restore_that_was_undone_leaves_what_was_declared(self) -> None:
        noted = self.open()
        noted.end(noted.begin(BIND, plan.Command.APPLY), plan.Outcome.DONE)
        noted.end(noted.begin(BIND, plan.Command.RESTORE), plan.Outcome.UNDONE)
        self.assertEqual("as declared", noted.account(VF))
        self.assertEqual("as declared", self.open().account(VF))
        noted.end(noted.begin(BIND, plan.Command.RESTORE), plan.Outcome.DONE)
        self.assertEqual("as before", noted.account(VF))

    def test_vfs_that_nobody_touched_are_owed_nothing(self) -> None:
        noted = self.open()
        noted.end(
            noted.begin(FEWER, plan.Command.RESTORE), plan.Outcome.UNDONE
        )
        self.assertEqual(set(), noted.owed)
        self.assertEqual("as before", noted.account(VF))
        noted.end(noted.begin(FEWER, plan.Command.APPLY), plan.Outcome.UNDONE)
        self.assertEqual({VF}, noted.owed)

    def test_a_vf_that_went_with_others_is_as_its_pf_is(self) -> None:
        noted = self.open()
        noted.end(noted.begin(FEWER, plan.Command.APPLY), plan.Outcome.DONE)
        self.assertEqual("as declared", noted.account(VF))

    def test_a_vf_that_we_made_is_nothing_that_was_declared(self) -> None:
        noted = self.open()
        noted.end(noted.begin(MORE, plan.Command.APPLY), plan.Outcome.DONE)
        change = dataclasses.replace(BIND, before=BEFORE)
        noted.end(noted.begin(change, plan.Command.APPLY), plan.Outcome.UNDONE)
        self.assertTrue(noted.priors[VF].made)
        self.assertEqual("as before", noted.account(VF))

    def test_a_vf_stays_owed_until_it_is_put_back(self) -> None:
        noted = self.open()
        noted.end(noted.begin(FEWER, plan.Command.APPLY), plan.Outcome.UNDONE)
        noted.end(noted.begin(BIND, plan.Command.RESTORE), plan.Outcome.UNDONE)
        self.assertEqual("unfinished", noted.account(VF))
        noted.end(noted.begin(BIND, plan.Command.RESTORE), plan.Outcome.DONE)
        self.assertEqual("as before", noted.account(VF))

    def test_trouble_is_kept_with_the_change(self) -> None:
        noted = self.open()
        number = noted.begin(BIND, plan.Command.APPLY)
        noted.step(journal.Kind.BEGUN, number, BIND.steps[0])
        noted.step(journal.Kind.HUNG, number, BIND.steps[0], "no end")
        found = self.open().unfinished[number]
        self.assertEqual((True, "no end"), (found.hung, found.trouble))


class DamageTest(JournalCase):
    def setUp(self) -> None:
        super().setUp()
        noted = self.open()
        number = noted.begin(BIND, plan.Command.APPLY)
        noted.step(journal.Kind.BEGUN, number, BIND.steps[0])
        noted.step(journal.Kind.DONE, number, BIND.steps[0])
        self.whole = self.path.read_bytes()

    def damaged(self, data: bytes, how: str) -> None:
        """It can't be read, and stays as it is."""
        self.path.write_bytes(data)
        error = self.assertRaises(exception.JournalError, self.open)
        self.assertIn(f"the journal {self.path} is {how}", error.message)
        self.assertEqual(data, self.path.read_bytes())

    def test_a_line_that_a_crash_cut_short_never_counted(self) -> None:
        noted = self.open()
        noted.end(1, plan.Outcome.DONE)
        noted.close()
        more = self.path.read_bytes()
        for size in range(len(self.whole), len(more)):
            # The number of lines is written once the line is.
            left = self.whole + more[len(self.whole) : size]
            self.path.write_bytes(left)
            cut = self.open()
            self.assertEqual([1], list(cut.unfinished))
            self.assertEqual(left, self.path.read_bytes())
            # What is noted then stands where the cut line began.
            cut.end(1, plan.Outcome.DONE)
            self.assertEqual(more, self.path.read_bytes())
            cut.close()

    def test_a_line_counts_that_was_not_counted_before_a_crash(self) -> None:
        noted = self.open()
        noted.end(1, plan.Outcome.DONE)
        noted.close()
        more = self.path.read_bytes()
        self.path.write_bytes(self.whole + more[len(self.whole) :])
        noted = self.open()
        self.assertEqual({}, noted.unfinished)
        noted.forget(VF, "it is gone")
        self.assertEqual({}, self.open().priors)

    def test_a_journal_that_ends_too_early_is_an_error(self) -> None:
        self.damaged(b"", "truncated: it is empty")
        for size in range(1, len(self.whole)):
            whole = self.whole[:size].count(b"\n")
            self.damaged(
                self.whole[:size],
                f"truncated: it has {whole} lines of 4"
                if whole
                else "garbled in line 1",
            )

    def test_a_line_that_is_missing_is_an_error(self) -> None:
        lines = self.whole.splitlines(keepends=True)
        for place in range(len(lines) - 1):
            self.damaged(
                b"".join(lines[:place] + lines[place + 1 :]),
                f"garbled in line {place + 1}",
            )

    def test_what_nobody_wrote_at_the_end_is_an_error(self) -> None:
        for more in (b"\0\0", b"what", b"01234567-", b"01234567 {\xff"):
            self.damaged(self.whole + more, "garbled in line 5: it has no end")

    def test_a_journal_without_its_first_line_is_nobodys(self) -> None:
        for boot in ("b1", "b2"):
            for data in (
                b"",
                bytes(range(11, 200)),
                self.whole.partition(b"\n")[2],
            ):
                self.path.write_bytes(data)
                self.assertRaises(exception.JournalError, self.open, boot)

    def test_a_write_that_fails_leaves_what_was_there(self) -> None:
        noted = self.open()
        real = os.fsync

        def fail(fd: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        self.useFixture(fixtures.MonkeyPatch("os.fsync", fail))
        self.assertRaises(exception.JournalError, noted.end, 1, "done")
        self.useFixture(fixtures.MonkeyPatch("os.fsync", real))
        self.assertEqual(self.whole, self.path.read_bytes())
        noted.end(1, plan.Outcome.DONE)
        self.assertEqual({}, self.open().unfinished)

    def test_a_garbled_line_is_an_error_and_stays(self) -> None:
        for place in range(0, len(self.whole) - 1, 7):
            data = bytearray(self.whole)
            data[place] ^= 1
            if data.count(b"\n") != self.whole.count(b"\n"):
                continue
            self.path.write_bytes(data)
            error = self.assertRaises(exception.JournalError, self.open)
            self.assertIn(
                # The number of lines is garbled in the first eight.
                "garbled in line" if place > 7 else "truncated: it has 4",
                error.message,
            )
            self.assertEqual(bytes(data), self.path.read_bytes())

    def test_a_whole_line_that_says_something_else_is_garbled(self) -> None:
        for text in (
            b"{}",
            b"[]",
            b"null",
            b"{",
            b'{"kind": "begin", "number": 0, "version": 1, "boot": "b1"}',
            b'{"kind": "journal", "number": 0, "version": "1", "boot": "b1"}',
            b'{"kind": "journal", "number": 0, "version": 1}',
            b'{"kind": "journal", "number": 0, "version": true, "boot": "b1"}',
            b'{"kind": "journal", "number": 0, "version": 1.0, "boot": "b1"}',
            b'{"kind": "journal", "number": 0, "version": 1, "boot": []}',
        ):
            line = b"%08d %08x %s\n" % (1, zlib.crc32(text), text)
            self.path.write_bytes(line)
            error = self.assertRaises(exception.JournalError, self.open)
            self.assertIn("garbled in line 1", error.message)
            self.assertEqual(line, self.path.read_bytes())

    def test_a_whole_change_of_another_shape_is_garbled(self) -> None:
        head, _, _ = self.whole.partition(b"\n")
        checksum = zlib.crc32(head[18:])
        for text in (
            b'{"kind": "begin", "number": 1, "purpose": "apply", "change": []}',
            b'{"kind": "begin", "number": 1, "purpose": "apply"}',
            b'{"kind": "begin", "number": 1, "purpose": "x", "change": {}}',
            b'{"kind": "end", "number": 1, "outcome": "done"}',
            b'{"kind": "forget", "number": 0, "subject": []}',
            b'{"kind": [], "number": 0}',
            b"[" * 100_000,
        ):
            line = b"%08x %s\n" % (zlib.crc32(text, checksum), text)
            self.path.write_bytes(b"%08d%s\n%s" % (2, head[8:], line))
            error = self.assertRaises(exception.JournalError, self.open)
            self.assertIn("garbled in line 2", error.message)

    def test_once_it_is_closed_it_has_no_file_open(self) -> None:
        def opened() -> int:
            return len(
                [
                    one
                    for one in pathlib.Path("/proc/self/fd").iterdir()
                    if os.path.realpath(one) == str(self.path.resolve())
                ]
            )

        before = opened()
        noted = self.open()
        noted.forget(VF, "gone")
        self.assertEqual(before + 1, opened())
        noted.close()
        self.assertEqual(before, opened())

    def test_a_version_that_never_was_is_no_journal_of_ours(self) -> None:
        for version in (-3, 0):
            text = (
                b'{"kind": "journal", "number": 0, "version": %d, "boot": "b1"}'
                % version
            )
            line = b"%08d %08x %s\n" % (1, zlib.crc32(text), text)
            self.path.write_bytes(line)
            error = self.assertRaises(exception.JournalError, self.open)
            self.assertIn(f"is of version {version},", error.message)
            self.assertEqual(line, self.path.read_bytes())

    def limited(self, most: int, room: int) -> None:
        """Read no more than so many bytes, and keep some of them free."""
        where = "nova_vfio_variant.host.act.journal_file"
        self.useFixture(fixtures.MonkeyPatch(f"{where}.MOST", most))
        self.useFixture(fixtures.MonkeyPatch(f"{where}._ROOM", room))

    def test_what_is_larger_than_any_is_not_read(self) -> None:
        with self.path.open("r+b") as file:
            file.truncate(journal_file.MOST + 1)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        error = self.assertRaises(exception.JournalError, self.open)
        self.assertLess(tracemalloc.get_traced_memory()[1], 4 << 20)
        self.assertIn("larger than 128 MiB, the limit", error.message)
        self.assertIn("move the file away", error.hint or "")

    def test_lines_are_taken_one_at_a_time(self) -> None:
        size = 8 << 20
        self.path.write_bytes(self.whole + b"\n" * size)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        error = self.assertRaises(exception.JournalError, self.open)
        self.assertIn("garbled in line 5", error.message)
        self.assertLess(tracemalloc.get_traced_memory()[1], 4 * size)

    def test_no_change_is_begun_that_might_not_be_read_again(self) -> None:
        noted = self.open()
        room = 1000
        self.limited(len(self.whole) + room - 1, room)
        error = self.assertRaises(
            exception.JournalError, noted.begin, FEWER, plan.Command.APPLY
        )
        self.assertIn("no room for another change", error.message)
        self.assertIn("reboot", error.hint or "")
        # What was begun comes to its end.
        noted.end(1, plan.Outcome.DONE)
        self.assertEqual({}, self.open().unfinished)

    def test_a_newer_version_is_an_error_and_stays(self) -> None:
        self.path.unlink()
        noted = self.open()
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.act.journal_file.VERSION", 2
            )
        )
        noted.begin(BIND, plan.Command.APPLY)
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.act.journal_file.VERSION", 1
            )
        )
        whole = self.path.read_bytes()
        for boot in ("b1", "b2"):
            error = self.assertRaises(exception.JournalError, self.open, boot)
            self.assertIn("version 2", error.message)
        self.assertEqual(whole, self.path.read_bytes())

    def test_a_reboot_undid_it_all_and_that_is_known(self) -> None:
        later = self.open("b2")
        self.assertEqual(({}, {}, {}, set()), self.knows(later))
        self.assertEqual([VF], list(later.undone_by_reboot))
        self.assertEqual(self.whole, self.path.read_bytes())
        later.begin(FEWER, plan.Command.APPLY)
        self.assertEqual(
            self.whole, self.path.with_suffix(".previous").read_bytes()
        )
        self.assertEqual({PF, VF}, set(self.open("b2").priors))

    def test_garble_of_another_boot_is_no_trouble(self) -> None:
        self.path.write_bytes(self.whole + b"\0\0\0\n")
        self.assertRaises(exception.JournalError, self.open)
        self.assertEqual({}, self.open("b2").priors)

    def test_what_cannot_be_written_stops_everything(self) -> None:
        self.path.unlink()
        self.path.mkdir()
        error = self.assertRaises(exception.JournalError, self.open)
        self.assertIn("can't be read", error.message)
        nowhere = journal.Journal(pathlib.Path("/dev/null/j"), "b1")
        error = self.assertRaises(
            exception.JournalError, nowhere.begin, BIND, "apply"
        )
        self.assertIn("can't be written", error.message)
        self.assertEqual({}, nowhere.unfinished)
