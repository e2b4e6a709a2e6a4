# SPDX-License-Identifier: Apache-2.0
"""What of others stands before a person commands no terminal."""

from nova_vfio_variant import shown
from tests import base

_ODD = (
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    # What turns the line around, breaks it, or can't be seen.
    *"\u061c\u200b\u200e\u202a\u202e\u2066\u2069\u2028\u2029\ufeff",
    # A byte of a file's name that is no UTF-8.
    "\udcff",
)


class LineTest(base.TestCase):
    def test_what_commands_a_terminal_is_escaped(self) -> None:
        for sign in _ODD:
            text = shown.line(f"a{sign}b")
            self.assertTrue(text.isprintable(), repr(sign))
            self.assertTrue(text.isascii(), repr(sign))
            self.assertRegex(text, r"\Aa\\(x..|u....|[nrt])b\Z")

    def test_it_says_which_sign_it_was(self) -> None:
        self.assertEqual(
            r"\x1b[2J\n\x9b\u202e\udcff",
            shown.line("\x1b[2J\n\x9b\u202e\udcff"),
        )

    def test_other_text_stays(self) -> None:
        for text in (
            "",
            "NVIDIA A16 [GA107GL]",
            "Größe 漢字",
            r"a\b",
            "e\u0301",
        ):
            self.assertEqual(text, shown.line(text))


class LinesTest(base.TestCase):
    def test_only_the_ends_of_lines_stay(self) -> None:
        self.assertEqual(
            "a\\x1b\nb\\u2028\\r\n", shown.lines("a\x1b\nb\u2028\r\n")
        )


class ShortTest(base.TestCase):
    def test_what_can_be_read_stays(self) -> None:
        text = "x" * shown.SENTENCE
        self.assertEqual(text, shown.short(text))

    def test_of_what_can_not_both_ends_stay_and_its_length_is_told(
        self,
    ) -> None:
        text = "b" * 1_000_000 + "e"
        cut = shown.short(text)
        self.assertLess(len(cut), shown.SENTENCE + 100)
        self.assertTrue(cut.startswith("bbb"))
        self.assertTrue(cut.endswith("bbe"))
        self.assertIn("(999,001 characters more)", cut)
