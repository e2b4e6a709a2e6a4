# SPDX-License-Identifier: Apache-2.0
"""Where a value stands in a file, to the character."""

import os
import pathlib
import string
import tempfile
import typing as ty

import fixtures
import hypothesis
from hypothesis import strategies as st
from oslo_config import cfg

from nova_vfio_variant import exception, input_file, source
from nova_vfio_variant.conf import loader, located, nova
from tests import base

_READ = "nova_vfio_variant.input_file.read"


def character(text: source.SourceText, offset: int) -> str:
    """The character of the file where the value's character stands."""
    place = text.at(offset)
    lines = pathlib.Path(place.file).read_text("utf-8").split("\n")
    return lines[place.line - 1][place.column - 1]


class Located(base.TestCase):
    def load(self, *contents: str) -> located.Config:
        folder = pathlib.Path(tempfile.mkdtemp())
        paths = []
        for number, content in enumerate(contents):
            path = folder / f"{number}.conf"
            path.write_text(content, "utf-8")
            paths.append(str(path))
        return loader.load(paths)

    def specs(self, *contents: str) -> tuple[source.SourceText, ...]:
        return located.values(self.load(*contents), "pci", "device_spec")

    def test_a_value_stands_behind_its_separator_and_spaces(self) -> None:
        (text,) = self.specs("[pci]\ndevice_spec  =   abc\n")
        self.assertEqual((2, 18), (text.at(0).line, text.at(0).column))
        self.assertEqual("device_spec  =   abc", text.segment(0).raw)

    def test_a_colon_separates_too(self) -> None:
        (text,) = self.specs("[pci]\ndevice_spec: a=b\n")
        self.assertEqual("a=b", text.text)
        self.assertEqual(14, text.at(0).column)

    def test_one_pair_of_quotes_is_not_part_of_the_value(self) -> None:
        (text,) = self.specs("[pci]\ndevice_spec = \"'a'\"\n")
        self.assertEqual("'a'", text.text)
        self.assertEqual(16, text.at(0).column)

    def test_a_continued_value_stands_on_several_lines(self) -> None:
        (text,) = self.specs("[pci]\ndevice_spec = {\n    'a':\n\t1}\n# x\n")
        self.assertEqual("{\n'a':\n1}", text.text)
        spots = [text.at(offset) for offset in (0, 2, 7, 8)]
        self.assertEqual(
            [(2, 15), (3, 5), (4, 2), (4, 3)],
            [(spot.line, spot.column) for spot in spots],
        )

    def test_a_value_that_begins_on_the_next_line_is_placed_there(
        self,
    ) -> None:
        (text,) = self.specs("[pci]\ndevice_spec =\n  {}\n")
        self.assertEqual("\n{}", text.text)
        self.assertEqual((3, 3), (text.at(1).line, text.at(1).column))

    def test_repeated_sections_and_any_case_of_a_group_are_one(self) -> None:
        found = self.specs(
            "[pci]\ndevice_spec=a\n[DEFAULT]\n[PCI]\ndevice_spec=b\n"
            "[pci]\ndevice_spec=c\n"
        )
        self.assertEqual(["a", "b", "c"], [text.text for text in found])
        self.assertEqual([2, 5, 7], [text.at(0).line for text in found])

    def test_old_names_come_first_within_a_file(self) -> None:
        found = self.specs(
            "[pci]\ndevice_spec=new\npassthrough_whitelist=old\n"
            "[DEFAULT]\npci_passthrough_whitelist=oldest\n",
            "[pci]\ndevice_spec=later\n",
        )
        self.assertEqual(
            ["oldest", "old", "new", "later"], [text.text for text in found]
        )
        self.assertEqual([5, 3, 2, 2], [text.at(0).line for text in found])
        self.assertEqual("pci_passthrough_whitelist", found[0].option)

    def test_an_old_alias_is_merged(self) -> None:
        conf = self.load("[DEFAULT]\npci_alias=a\n[pci]\nalias=b\n")
        self.assertEqual(
            ["a", "b"],
            [text.text for text in located.values(conf, "pci", "alias")],
        )

    def test_places_behind_a_dollar_sign_are_right(self) -> None:
        (text,) = self.specs("[pci]\ndevice_spec = 1$$2\\$3 $4\n")
        self.assertEqual("1$2$3 $4", text.text)
        self.assertEqual(
            list("12345"[:4]),
            [character(text, text.text.index(digit)) for digit in "1234"],
        )

    def test_a_name_is_replaced_by_a_value_that_a_file_sets(self) -> None:
        (text,) = self.specs(
            "[DEFAULT]\nstate_path = /var/lib/nova\n"
            "[pci]\ndevice_spec = a $state_path b\n   ${state_path}c\n"
        )
        self.assertEqual("a /var/lib/nova b\n/var/lib/novac", text.text)
        self.assertEqual("b", character(text, text.text.index("b\n")))
        self.assertEqual("c", character(text, len(text.text) - 1))
        self.assertEqual("$", character(text, 2))

    def test_an_empty_value_stands_where_it_would_begin(self) -> None:
        (text,) = self.specs("[pci]\ndevice_spec =\n\n")
        self.assertEqual(("", 14), (text.text, text.at(0).column))

    def test_the_last_file_sets_a_single_value(self) -> None:
        conf = self.load(
            "[pci]\nreport_in_placement = false\n",
            "[pci]\nreport_in_placement = no\nreport_in_placement = yes\n",
        )
        text = located.place(conf, "pci", "report_in_placement")
        assert text is not None
        self.assertEqual(("yes", 3), (text.text, text.at(0).line))
        self.assertIsNone(located.place(conf, "vfio", "placement"))

    def test_a_file_is_opened_once(self) -> None:
        opened = []
        read = input_file.read

        def noting(path: str, most: int) -> bytes:
            opened.append(path)
            data = read(path, most)
            # Whoever opens it once more waits for ever.
            os.remove(path)
            os.mkfifo(path)
            return data

        self.useFixture(fixtures.MonkeyPatch(_READ, noting))
        conf = self.load("[pci]\ndevice_spec = a\n")
        self.assertEqual(["a"], conf.pci.device_spec)
        self.assertEqual(1, len(opened))

    def test_a_file_sets_no_option_of_a_command_line(self) -> None:
        conf = self.load(
            "[DEFAULT]\nshell_completion = x\nconfig_file = /x\n"
            "[pci]\ndevice_spec = a\n"
        )
        self.assertEqual(["a"], conf.pci.device_spec)


WORDS = st.text("abzAZ09{}\"'#;:=,. é\\_", max_size=12)
VALUES = st.one_of(
    WORDS,
    WORDS.map("'{}'".format),
    WORDS.map("$${}".format),
    WORDS.map("\\${}".format),
    WORDS.map("${{host}}{}$".format),
)
ASSIGNMENTS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(
        [
            "device_spec",
            "passthrough_whitelist",
            "pci_passthrough_whitelist",
            "alias ",
            "pci_alias\t",
            "host",
        ]
    ),
    st.sampled_from(["=", ":", " = ", "  :  ", "= \t"]),
    VALUES,
    st.lists(VALUES.map("\n \t{}".format), max_size=2).map("".join),
)
LINES = st.one_of(
    ASSIGNMENTS,
    ASSIGNMENTS,
    ASSIGNMENTS,
    st.sampled_from(["", " ", "# note", "; note", "[other]"]),
    st.sampled_from(["[pci]", "[PCI]", "[DEFAULT]"]),
)
FILES = st.lists(
    st.lists(LINES, max_size=8).map(lambda lines: ["[pci]", *lines]),
    min_size=1,
    max_size=3,
)


class LocatedIsOslo(base.TestCase):
    """Whatever is written, both readings agree, and places are right."""

    @hypothesis.settings(max_examples=150, deadline=None)
    @hypothesis.given(FILES, st.sampled_from(["\n", "\r\n"]))
    def test_every_value_equals_what_oslo_config_reads(
        self, files: list[list[str]], newline: str
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for number, lines in enumerate(files):
                path = pathlib.Path(folder, f"{number}.conf")
                path.write_bytes(
                    "\n".join(lines).replace("\n", newline).encode()
                )
                paths.append(str(path))
            expected = self.oslo(paths)
            try:
                conf = loader.load(paths)
            except exception.ConfigError:
                self.assertIsNone(expected)
                return
            assert expected is not None
            for option, theirs in expected.items():
                ours = located.values(conf, "pci", option)
                self.assertEqual(theirs, [text.text for text in ours])
                for text in ours:
                    self.check_places(text)

    def oslo(self, paths: list[str]) -> dict[str, ty.Any] | None:
        conf = cfg.ConfigOpts()
        nova.register_opts(conf)
        try:
            conf(
                [], "nova", default_config_files=paths, default_config_dirs=[]
            )
            assert conf.host
            return {
                option: conf.pci[option] for option in ("device_spec", "alias")
            }
        except (cfg.Error, RecursionError):
            return None

    def check_places(self, text: source.SourceText) -> None:
        lines = pathlib.Path(text.file).read_text("utf-8").split("\n")
        for segment in text.segments:
            self.assertEqual(lines[segment.line - 1], segment.raw)
        for offset, sign in enumerate(text.text):
            # Only letters of the value itself: $ names become other text.
            if sign in string.ascii_letters + "{}é" and "$" not in "".join(
                segment.raw for segment in text.segments
            ):
                self.assertEqual(sign, character(text, offset))
