# SPDX-License-Identifier: Apache-2.0
"""What a check or a parser has to say, as data."""

from __future__ import annotations

import dataclasses
import enum

from nova_vfio_variant import shown, source


class Severity(enum.IntEnum):
    """How bad a finding is. Larger is worse.

    An error is what cannot be parsed, an unknown key, a value that means
    nothing, what Nova refuses to start on, or a host that cannot be seen;
    errors alone stop a command that writes.
    """

    INFO = 0
    WARNING = 1
    ERROR = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    """A stable name for one kind of finding, with what the docs say of it.

    :param id: ``VFIO104``; never used again for anything else
    :param severity: of each finding with this code
    :param title: what is wrong, in a few words
    :param cause: why it is wrong, with the source of the rule
    :param example: a piece of configuration or a host's state that has it
    :param mend: what the operator does about it
    """

    id: str
    severity: Severity
    title: str
    cause: str
    example: str
    mend: str


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or worth knowing.

    :param code: what kind of thing
    :param message: what was wrong, in one sentence without a full stop
    :param location: where, if it stands in a file
    :param length: how many characters from the location on are meant
    :param line: the operator's own line, as it stands in the file
    :param subject: what it is about: an address, an alias, an option
    :param hint: what to do about it: the code's mend where nothing closer is
        known
    """

    code: Code
    message: str
    location: source.Location | None = None
    length: int = 1
    line: str | None = None
    subject: str | None = None
    hint: str | None = None

    def __post_init__(self) -> None:
        """Leave nobody without a mend, and nothing too long to be read."""
        hint = self.code.mend if self.hint is None else self.hint
        for name, text in (
            ("message", shown.short(self.message)),
            ("subject", self.subject and shown.short(self.subject)),
            ("hint", shown.short(hint, shown.HINT)),
        ):
            object.__setattr__(self, name, text)

    @classmethod
    def on(
        cls,
        code: Code,
        message: str,
        text: source.SourceText,
        start: int = 0,
        end: int | None = None,
        subject: str | None = None,
        hint: str | None = None,
    ) -> Finding:
        """A finding on the characters start to end of a value."""
        return cls(
            code,
            message,
            text.at(start),
            max((len(text.text) if end is None else end) - start, 1),
            text.segment(start).raw,
            subject,
            hint,
        )

    @property
    def severity(self) -> Severity:
        """How bad it is: the code's severity."""
        return self.code.severity

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        about = (
            f"{self.subject}: " if self.subject and not self.location else ""
        )
        return (
            f"{where}{self.severity}: {about}{self.message} [{self.code.id}]"
        )


def worst(findings: list[Finding] | tuple[Finding, ...]) -> Severity | None:
    """The worst severity there is, or None where nothing was found."""
    return max((f.severity for f in findings), default=None)
