# SPDX-License-Identifier: Apache-2.0
"""Patterns over PCI addresses, as Nova's device_spec writes them.

A string is a glob, an object holds regular expressions
(``PciAddressGlobSpec`` and ``PciAddressRegexSpec`` in nova/pci/devspec.py).
"""

from __future__ import annotations

import dataclasses
import functools
import re
import string
import time
import typing as ty
import warnings

from nova_vfio_variant import exception
from nova_vfio_variant.pci import repeats

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address

#: The fields of an address, in the order of its text.
FIELDS: ty.Final = ("domain", "bus", "slot", "function")
ANY: ty.Final = "*"
ANY_REGEX: ty.Final = ".*"

#: The largest domain that Nova's tracker knows: it skips a function whose
#: domain is larger, as its database holds twelve characters of address
#: (PciDevTracker.update_devices_from_hypervisor_resources).
MAX_DOMAIN: ty.Final = 0xFFFF

_LIMITS = {
    "domain": MAX_DOMAIN,
    "bus": 0xFF,
    "slot": 0x1F,
    "function": 0x7,
}
_WIDTHS = {"domain": 4, "bus": 2, "slot": 2, "function": 1}

#: Seconds of processor time that one match may take; one that is well takes
#: microseconds.
_TIMEOUT = 1.0
#: What those matches may take together that take more than a moment; then
#: none is given more than that.
_TOTAL = 5.0
_MOMENT = 0.001
#: Characters up to which an expression without groups is quick: twenty
#: stars on four digits are 10,000 steps.
_SHORT = 40
#: Measured with Python's re on "ffff": three nested stars take 3 ms, four
#: 0.6 s, five 260 s.
_MAX_NESTING = 3
#: What an expression may have; four fields of an address have 12 characters.
MAX_LENGTH: ty.Final = 512
#: What an expression may have with its repeats written out: ``regex`` takes
#: 274 MiB for the million of ``(a{1000}){1000}``.
MAX_SIZE: ty.Final = 65_535
#: Texts on which an expression is tried when it is made.
_PROBES = {
    "domain": ("0000", "ffff"),
    "bus": ("00", "11", "22", "aa", "ff"),
    "slot": ("00", "11", "1f"),
    "function": tuple("01234567"),
}


class PatternError(ValueError):
    """A pattern that can't be used.

    :param message: what is wrong with it
    :param field: which field of the address, None for the whole
    :param slow: it can be read, and may take for ever
    :param large: it wasn't read, for that may take all memory
    """

    def __init__(
        self,
        message: str,
        field: str | None = None,
        *,
        slow: bool = False,
        large: bool = False,
    ) -> None:
        super().__init__(message)
        self.field = field
        self.slow = slow
        self.large = large


class AddressPattern(ty.Protocol):
    """What both forms of an address pattern offer."""

    def accepts(self, field: str, text: str) -> bool:
        """Whether a field's text fits, as :func:`texts` gives it.

        :param field: one of :data:`FIELDS`
        """

    @property
    def single(self) -> str | None:
        """The one address that it names in full, else None.

        A PF that is named so stands for its VFs as well
        (``WhitelistPciAddress._check_physical_function``).
        """

    def wanted(self, field: str) -> str | None:
        """What it wants of a field, as written; None for anything."""


def texts(address: address.PciAddress) -> dict[str, str]:
    """An address's fields as Nova compares them."""
    return {
        "domain": f"{address.domain:04x}",
        "bus": f"{address.bus:02x}",
        "slot": f"{address.slot:02x}",
        "function": f"{address.function:x}",
    }


def matches(pattern: AddressPattern, address: address.PciAddress) -> bool:
    """Whether every field of the address fits."""
    return address.domain <= MAX_DOMAIN and all(
        pattern.accepts(field, text) for field, text in texts(address).items()
    )


@dataclasses.dataclass(frozen=True, slots=True)
class GlobPattern:
    """``[[[domain:]bus:]slot][.function]``; each field hex or ``*``.

    Fields are lower-case hex of full width, or ``*``.
    """

    domain: str = ANY
    bus: str = ANY
    slot: str = ANY
    function: str = ANY

    @classmethod
    def parse(cls, text: str) -> GlobPattern:
        """Read a glob as Nova does; what is left out is ``*``.

        :raises PatternError: a field is neither hex nor ``*``, or too large
        """
        left, _, function = text.partition(".")
        fields = left.split(":") if left else []
        if len(fields) > 3:
            raise PatternError(
                f"{text!r} has {len(fields)} fields before the dot, and an "
                "address has three, domain:bus:slot"
            )
        given = [ANY] * (3 - len(fields))
        given += [field.strip() or ANY for field in fields]
        # A blank function is an error to Nova, a missing one is not.
        given.append(function.strip() if function else ANY)
        return cls(
            *(
                _hex_field(field, value)
                for field, value in zip(FIELDS, given, strict=True)
            )
        )

    @classmethod
    def of(cls, address: address.PciAddress) -> GlobPattern:
        """The pattern of this one address."""
        return cls(**texts(address))

    def accepts(self, field: str, text: str) -> bool:
        """Whether a field's text fits."""
        return getattr(self, field) in (ANY, text)

    @property
    def single(self) -> str | None:
        """The one address that it names in full, else None."""
        return _single(self.domain, self.bus, self.slot, self.function)

    def wanted(self, field: str) -> str | None:
        """What it wants of a field; None for anything."""
        value: str = getattr(self, field)
        return None if value == ANY else value

    def __str__(self) -> str:
        return f"{self.domain}:{self.bus}:{self.slot}.{self.function}"


@dataclasses.dataclass(frozen=True, slots=True)
class RegexPattern:
    """A regular expression a field, which need fit its beginning only.

    Nova uses Python's ``re.match``: ``2`` fits every bus from 20 to 2f.
    """

    domain: str = ANY_REGEX
    bus: str = ANY_REGEX
    slot: str = ANY_REGEX
    function: str = ANY_REGEX

    @classmethod
    def parse(cls, fields: ty.Mapping[str, str]) -> RegexPattern:
        """Make a pattern of an address object's known fields.

        :raises PatternError: not a regular expression, or one that may take
            for ever or all memory
        """
        for field, text in fields.items():
            fits = _compile(field, text)
            for probe in _PROBES[field]:
                fits(probe)
        return cls(**fields)

    def accepts(self, field: str, text: str) -> bool:
        """Whether the expression fits the text's beginning.

        :raises ConfigError: it took more than a second
        """
        try:
            return _compile(field, getattr(self, field))(text)
        except PatternError as error:
            raise exception.ConfigError(f"{error} (on {text!r})") from error

    def fills(self, field: str, text: str) -> bool:
        """Whether the expression fits the whole text.

        :raises PatternError: it took more than a second
        """
        return _compile(field, getattr(self, field), whole=True)(text)

    @property
    def single(self) -> str | None:
        """The one address that it names in full, else None.

        Nova looks the fields up in sysfs as they are written, so that
        capitals and missing zeroes name nothing.
        """
        return _single(self.domain, self.bus, self.slot, self.function)

    def wanted(self, field: str) -> str | None:
        """What it wants of a field; None for anything."""
        value: str = getattr(self, field)
        return None if value == ANY_REGEX else value

    def __str__(self) -> str:
        return " ".join(
            f"{field}=/{getattr(self, field)}/" for field in FIELDS
        )


def _single(domain: str, bus: str, slot: str, function: str) -> str | None:
    digits = domain + bus + slot + function
    if all(character in string.hexdigits for character in digits):
        return f"{domain}:{bus}:{slot}.{function}"
    return None


def _hex_field(field: str, text: str) -> str:
    if text == ANY:
        return text
    # Nova reads it with int(), which also takes 0x, _ and a sign.
    try:
        value = int(text, 16)
    except ValueError:
        raise PatternError(
            f"{field} {text!r} is neither a hex number nor *", field
        ) from None
    if value > _LIMITS[field]:
        raise PatternError(
            f"{field} {text!r} is greater than {_LIMITS[field]:x}", field
        )
    return f"{value:0{_WIDTHS[field]}x}"


class _Time:
    """The processor time that a process spends on what takes long.

    A file may name thousands of expressions, and a host has thousands of
    devices: that each match ends is not enough.
    """

    def __init__(self) -> None:
        self.spent = 0.0

    def left(self) -> float:
        """Seconds that a match may take."""
        return min(_TIMEOUT, max(_TOTAL - self.spent, _MOMENT))

    def add(self, taken: float) -> None:
        """Count a match, if it took more than a moment."""
        if taken > _MOMENT:
            self.spent += taken


_time = _Time()


def _slow(field: str, text: str) -> PatternError:
    return PatternError(
        f"{field}: matching the regular expression {text!r} may take for ever",
        field,
        slow=True,
    )


@functools.lru_cache(maxsize=4096)
def _compile(
    field: str, text: str, *, whole: bool = False
) -> ty.Callable[[str], bool]:
    """A test for the beginning of a text, or for the whole of it.

    Python's own ``re`` decides what is valid, as it does for Nova. It also
    does the matching of what is short and has no group, for that can't take
    long; anything else is matched by ``regex``, which can be stopped.
    """
    if len(text) > MAX_LENGTH:
        raise PatternError(
            f"{field}: the regular expression has {len(text):,} characters, "
            f"and {MAX_LENGTH} are allowed",
            field,
            large=True,
        )
    if repeats.size(text) > MAX_SIZE:
        raise PatternError(
            f"{field}: the regular expression {text!r} with its repeats "
            f"written out has more than {MAX_SIZE:,} parts",
            field,
            large=True,
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise _no_expression(field, text, error) from None
    if len(text) <= _SHORT and "(" not in text:
        quick = plain.fullmatch if whole else plain.match
        return lambda value: quick(value) is not None
    if repeats.nesting(text) > _MAX_NESTING:
        raise _slow(field, text)
    return _stoppable(field, text, whole)


def _no_expression(field: str, text: str, error: Exception) -> PatternError:
    return PatternError(
        f"{field} {text!r} is no regular expression: {error}", field
    )


def _stoppable(field: str, text: str, whole: bool) -> ty.Callable[[str], bool]:
    """The same test, which ends."""
    # Imported here: most files have no such expression.
    import regex

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = regex.compile(_REPEAT_OR_BRACE.sub(_escaped, text))
    except (regex.error, OverflowError, RecursionError) as error:
        raise _no_expression(field, text, error) from None
    match = compiled.fullmatch if whole else compiled.match

    def fits(value: str) -> bool:
        begun = time.thread_time()
        try:
            return match(value, timeout=_time.left()) is not None
        except TimeoutError:
            raise _slow(field, text) from None
        finally:
            _time.add(time.thread_time() - begun)

    return fits


#: To ``regex`` a brace that is no repeat begins a fuzzy match; to ``re`` it
#: is a brace.
_REPEAT_OR_BRACE = re.compile(r"\\.|\{(?!\d+(?:,\d*)?\}|,\d*\})", re.DOTALL)


def _escaped(found: re.Match[str]) -> str:
    return r"\{" if found[0] == "{" else found[0]
