# SPDX-License-Identifier: Apache-2.0
"""Address patterns read and match as Nova's do, and never hang."""

import contextlib
import itertools
import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.pci import address, pattern
from tests import base
from tests.unit.pci import make

ADDRESSES = st.builds(
    address.PciAddress,
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFF),
    st.integers(0, 0x1F),
    st.integers(0, 7),
)


def _glob(text: str) -> str:
    return str(pattern.GlobPattern.parse(text))


@st.composite
def _repeated(draw: st.DrawFn, depth: int = 4) -> tuple[str, int]:
    """An expression, and how many parts it has when written out."""
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from([("a", 1), ("[0-9{3}]", 1), (r"\{", 1)]))
    parts = draw(st.lists(_repeated(depth - 1), min_size=1, max_size=3))
    text = "".join(part for part, _ in parts)
    size = sum(part for _, part in parts)
    low = draw(st.integers(1, 1000))
    repeat, count = draw(
        st.sampled_from(
            [
                (f"{{{low}}}", low),
                (f"{{,{low}}}", low),
                (f"{{2,{low + 2}}}", low + 2),
                (f"{{{low},}}", low),
                ("*", 1),
                ("+", 1),
                ("?", 1),
            ]
        )
    )
    how = draw(st.sampled_from(["", "?", "+"]))
    return f"({text}){repeat}{how}", size * count


class GlobTest(base.TestCase):
    @given(ADDRESSES, st.sets(st.integers(0, 3)))
    def test_an_address_with_some_fields_starred_matches_it(
        self, place: address.PciAddress, starred: set[int]
    ) -> None:
        fields = [
            pattern.ANY if number in starred else text
            for number, text in enumerate(pattern.texts(place).values())
        ]
        found = pattern.GlobPattern.parse("{}:{}:{}.{}".format(*fields))
        self.assertTrue(pattern.matches(found, place))
        self.assertEqual(found, pattern.GlobPattern.parse(str(found)))
        self.assertEqual(None if starred else str(place), found.single)

    @given(ADDRESSES, ADDRESSES)
    def test_a_full_address_matches_itself_alone(
        self, place: address.PciAddress, other: address.PciAddress
    ) -> None:
        found = pattern.GlobPattern.of(place)
        self.assertEqual(place == other, pattern.matches(found, other))

    @given(st.text(alphabet="0123456789abcdefABCDEFx*:._- ", max_size=14))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            found = pattern.GlobPattern.parse(text)
        except pattern.PatternError:
            return
        pattern.matches(found, make.at("25:00.4"))

    def test_fields_that_are_left_out_are_stars(self) -> None:
        for text, whole in (
            ("", "*:*:*.*"),
            (".4", "*:*:*.4"),
            (":25:", "*:25:*.*"),
            ("25:00", "*:25:00.*"),
            ("25:00.4", "*:25:00.4"),
            ("0:25:0.4", "0000:25:00.4"),
            (" 25 : 00 . 4 ", "*:25:00.4"),
        ):
            self.assertEqual(whole, _glob(text))

    def test_fields_out_of_range_or_starred_in_part_are_refused(self) -> None:
        for text, field in (
            ("10000:25:00.0", "domain"),
            ("100:00.0", "bus"),
            ("25:20.0", "slot"),
            ("25:00.8", "function"),
            ("2*:00.0", "bus"),
            ("25:00. ", "function"),
        ):
            error = self.assertRaises(
                pattern.PatternError, pattern.GlobPattern.parse, text
            )
            self.assertEqual(field, error.field)

    def test_too_many_fields_are_refused(self) -> None:
        error = self.assertRaises(
            pattern.PatternError, pattern.GlobPattern.parse, "1:2:3:4.5"
        )
        self.assertIn("4 fields", str(error))

    def test_nothing_matches_in_a_domain_that_nova_skips(self) -> None:
        vmd = address.PciAddress(0x10000, 0x25, 0, 4)
        self.assertFalse(pattern.matches(pattern.GlobPattern(), vmd))


class RegexTest(base.TestCase):
    @given(
        st.sampled_from(
            ("2", "2[0-5]", ".*", "(2|a)5", "25$", "", "[^2]", "5")
        ),
        st.integers(0, 0xFF),
    )
    def test_an_expression_need_fit_the_beginning_only(
        self, text: str, bus: int
    ) -> None:
        found = pattern.RegexPattern.parse({"bus": text})
        self.assertEqual(
            re.match(text, f"{bus:02x}") is not None,
            found.accepts("bus", f"{bus:02x}"),
        )

    @given(
        st.text(
            alphabet="0123456789abcdef[]()*+?{}|.^$\\-,:=!<>de", max_size=16
        )
    )
    def test_any_expression_fits_what_python_says_or_is_refused(
        self, text: str
    ) -> None:
        try:
            found = pattern.RegexPattern.parse({"bus": text})
        except pattern.PatternError:
            return
        for bus in ("00", "25", "ff"):
            self.assertEqual(
                re.match(text, bus) is not None, found.accepts("bus", bus)
            )

    def test_capitals_and_short_fields_name_no_single_address(self) -> None:
        fields = {"domain": "0000", "bus": "ab", "slot": "00", "function": "0"}
        found = pattern.RegexPattern.parse(fields)
        self.assertEqual("0000:ab:00.0", found.single)
        self.assertIsNone(pattern.RegexPattern.parse({"bus": "ab"}).single)
        self.assertEqual(
            "0000:AB:00.0",
            pattern.RegexPattern.parse(fields | {"bus": "AB"}).single,
        )

    def test_what_is_no_expression_is_refused(self) -> None:
        for text in (
            "2[5",
            "(",
            "*",
            "a{99999999999}",
            "(" * 5000 + ")" * 5000,
        ):
            error = self.assertRaises(
                pattern.PatternError,
                pattern.RegexPattern.parse,
                {"slot": text},
            )
            self.assertEqual("slot", error.field)
            self.assertFalse(error.slow)

    def test_repeats_nested_too_deep_for_python_are_refused_as_slow(
        self,
    ) -> None:
        for text in (
            "((((2*)*)*)*)*x",
            "(?:(?:(?:(?:f+)+)+)+)+x",
            "((((f{0,9}){2}){2}){2}){2}x",
        ):
            error = self.assertRaises(
                pattern.PatternError,
                pattern.RegexPattern.parse,
                {"bus": text},
            )
            self.assertTrue(error.slow)

    def test_an_expression_that_is_stopped_is_refused_as_slow(self) -> None:
        # Three levels are taken; the choices make each of them wide.
        choices = "|".join(["f", "(?:f)"] * 28)
        text = f"(?:(?:(?:{choices})*)*)*(?:(?:(?:{choices})*)*)*[x-z]"
        found = self.assertRaises(
            (pattern.PatternError, exception.ConfigError),
            _match_everything,
            text,
        )
        self.assertIn("may take for ever", str(found))

    def test_many_that_take_long_take_no_longer_together(self) -> None:
        self.patch(pattern, "_time", pattern._Time())
        self.patch(pattern, "_TOTAL", 0.1)
        choices = "|".join(["f", "(?:f)"] * 26)
        slow = f"(?:(?:{choices})*)*"
        begun = time.process_time()
        for number in range(1, 61):
            # Each takes 0.2 seconds.
            with contextlib.suppress(pattern.PatternError):
                pattern.RegexPattern.parse(
                    {"domain": f"{slow}[x-z]{{{number}}}"}
                )
        self.assertLess(time.process_time() - begun, 2)
        self.assertTrue(
            pattern.RegexPattern.parse({"bus": "(0|f)+"}).accepts("bus", "0f")
        )

    @settings(deadline=None)
    @given(_repeated())
    def test_what_is_large_when_written_out_is_refused_unread(
        self, drawn: tuple[str, int]
    ) -> None:
        text, size = drawn
        large = size > pattern.MAX_SIZE or len(text) > pattern.MAX_LENGTH
        try:
            pattern.RegexPattern.parse({"bus": text})
        except pattern.PatternError as error:
            self.assertEqual(large, error.large, text)
        else:
            self.assertFalse(large, text)

    def test_what_takes_all_memory_is_refused_unread(self) -> None:
        for text in (
            "(a{65535}){65535}",
            "(?:a{1000}){1000}?",
            "(?:a{1000}){1000,}+",
            "(a{2,1000}){,1000}",
            "(?x)(a{1000}) {1000}",
            "(?x)(a{1000}) # [\n{1000}",
            "(a{1000})(?#[){1000}",
            "(){65536}",
            "((a{256}b|c){16}[)}]){16}",
            "a" * 513,
        ):
            error = self.assertRaises(
                pattern.PatternError,
                pattern.RegexPattern.parse,
                {"bus": text},
            )
            self.assertTrue(error.large, text)
            self.assertEqual("bus", error.field)

    def test_what_only_looks_large_is_taken(self) -> None:
        for text in (
            r"(a\{1000}){1000}",
            "([{1000}]){1000}",
            "(a{0,1000}){4}b{1000}",
            "a{65535}",
            "(?x) a {2} b",
            "a" * 512,
        ):
            pattern.RegexPattern.parse({"bus": text})

    def test_braces_that_are_no_repeat_are_braces(self) -> None:
        # To the regex package they would begin a fuzzy match.
        found = pattern.RegexPattern.parse({"bus": "(2){e}"})
        self.assertFalse(found.accepts("bus", "2f"))
        self.assertTrue(found.accepts("bus", "2{e}"))

    def test_equal_patterns_are_equal_and_print_alike(self) -> None:
        one, other = (
            pattern.RegexPattern.parse({"bus": "2[0-5]"}) for _ in range(2)
        )
        self.assertEqual(one, other)
        self.assertEqual(
            "domain=/.*/ bus=/2[0-5]/ slot=/.*/ function=/.*/", str(one)
        )


def _match_everything(text: str) -> None:
    found = pattern.RegexPattern.parse({"domain": text})
    for digits in itertools.product("0f", repeat=4):
        found.accepts("domain", "".join(digits))
