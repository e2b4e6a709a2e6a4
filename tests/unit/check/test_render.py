# SPDX-License-Identifier: Apache-2.0
"""How findings are shown below the operator's own line."""

from nova_vfio_variant import finding, source
from nova_vfio_variant.check import codes as check_codes
from nova_vfio_variant.check import render
from nova_vfio_variant.pci import codes as pci_codes
from tests import base


def on(value: str, start: int, end: int) -> finding.Finding:
    return finding.Finding.on(
        pci_codes.UNKNOWN_KEY,
        "unknown key 'mangaed' in device_spec",
        source.SourceText.of(value, file="nova.conf"),
        start,
        end,
        hint="Did you mean 'managed'?",
    )


class Text(base.TestCase):
    def shown(self, value: str, start: int, end: int) -> tuple[str, str]:
        lines = render.text([on(value, start, end)]).splitlines()
        return lines[1][4:], lines[2][4:]

    def marks(self, value: str, start: int, end: int) -> str:
        """What of the shown line stands above the carets."""
        line, carets = self.shown(value, start, end)
        first = carets.index("^")
        return line[first : first + carets.count("^")]

    def test_the_place_is_marked_below_the_line(self) -> None:
        self.assertEqual(
            "nova.conf:1:3: error: unknown key 'mangaed' in device_spec"
            " [VFIO104]\n"
            '    { "mangaed": "no" }\n'
            "      ^^^^^^^^^\n"
            "    Did you mean 'managed'?\n",
            render.text([on('{ "mangaed": "no" }', 2, 11)]),
        )

    def test_a_long_line_is_shown_around_the_place_only(self) -> None:
        value = "x" * 500 + "HERE" + "y" * 500
        self.assertEqual("HERE", self.marks(value, 500, 504))
        line, _ = self.shown(value, 500, 504)
        self.assertLess(len(line), 125)
        self.assertTrue(line.startswith("..."))
        self.assertTrue(line.endswith("..."))

    def test_the_end_of_a_long_line_is_not_cut(self) -> None:
        value = "x" * 500 + "HERE"
        self.assertEqual("HERE", self.marks(value, 500, 504))
        self.assertTrue(self.shown(value, 500, 504)[0].endswith("HERE"))

    def test_tabs_do_not_move_the_carets(self) -> None:
        self.assertEqual("bad", self.marks("\t\t{ bad }", 4, 7))

    def test_wide_characters_get_two_carets(self) -> None:
        _, carets = self.shown("漢字 bad", 3, 6)
        self.assertEqual("     ^^^", carets)

    def test_combining_characters_get_none(self) -> None:
        _, carets = self.shown("e\u0301 bad", 3, 6)
        self.assertEqual("  ^^^", carets)

    def test_what_goes_on_behind_the_line_is_not_marked(self) -> None:
        line, carets = self.shown('{ "a":\n  1 }', 0, 11)
        self.assertEqual(('{ "a":', "^^^^^^"), (line, carets))

    def test_an_empty_place_gets_one_caret(self) -> None:
        self.assertEqual(("abc", "   ^"), self.shown("abc", 3, 3))

    def test_a_file_can_not_command_the_terminal(self) -> None:
        odd = finding.Finding(
            check_codes.FACTS_LOST, "\x1b[2J\r\n", subject="\x9b", hint="\x07"
        )
        text = render.text([on('{ "\x1b[31m": 1 }', 2, 9), odd])
        self.assertEqual(set("\n"), {c for c in text if not c.isprintable()})

    def test_what_is_escaped_keeps_the_carets_in_their_place(self) -> None:
        self.assertEqual("bad", self.marks("\x1b[31m\u202e bad", 7, 10))
        self.assertEqual(r"b\x1bd", self.marks("\x1b b\x1bd", 2, 5))

    def test_a_finding_without_a_place_names_its_subject(self) -> None:
        text = render.text(
            [
                finding.Finding(
                    check_codes.IOMMU_OFF, "no groups", subject="IOMMU"
                )
            ]
        )
        self.assertTrue(
            text.startswith("warning: IOMMU: no groups [VFIO302]\n")
        )


class Data(base.TestCase):
    def test_it_has_the_columns_of_config_check(self) -> None:
        self.assertEqual(
            {
                "severity": "error",
                "code": "VFIO104",
                "location": "nova.conf:1:3",
                "subject": None,
                "message": "unknown key 'mangaed' in device_spec",
                "hint": "Did you mean 'managed'?",
            },
            render.data(on('{ "mangaed": "no" }', 2, 11)),
        )
