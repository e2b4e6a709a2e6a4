# SPDX-License-Identifier: Apache-2.0
"""Where a piece of configuration text came from.

A value of nova.conf may be quoted and may go on over several lines, so an
offset inside the value is not a column of the file. A :class:`SourceText`
carries, beside the value, the pieces of file that it was put together from.
"""

from __future__ import annotations

import bisect
import dataclasses


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Location:
    """A place in a file, printed as ``FILE:LINE:COLUMN``.

    :param file: the path as the operator gave it
    :param line: counted from 1
    :param column: counted from 1, in characters
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """A run of a value's characters that stand side by side in one line.

    :param offset: where the run starts in the value, counted from 0
    :param line: line of the file, counted from 1
    :param column: column of the run's first character, counted from 1
    :param raw: the whole line as it stands in the file, without its newline
    """

    offset: int
    line: int
    column: int
    raw: str


@dataclasses.dataclass(frozen=True, slots=True)
class SourceText:
    """A configuration value that remembers where each character stood.

    :param text: the value as oslo.config gives it
    :param file: the file it was read from
    :param group: the option group, ``pci``
    :param option: the option's name as written, ``device_spec``; the file's
        for all of a file
    :param segments: in rising order of offset, the first at offset 0
    """

    text: str
    file: str
    group: str
    option: str
    segments: tuple[Segment, ...]

    @classmethod
    def of(
        cls,
        text: str,
        option: str = "device_spec",
        group: str = "pci",
        file: str = "<text>",
    ) -> SourceText:
        """Make a source of a value that stands in no file."""
        segments = []
        offset = 0
        for number, raw in enumerate(text.split("\n"), start=1):
            segments.append(Segment(offset, number, 1, raw))
            offset += len(raw) + 1
        return cls(text, file, group, option, tuple(segments))

    @property
    def is_whole_file(self) -> bool:
        """Whether it is all of a file, and no option's value in one."""
        return self.option == self.file

    def segment(self, offset: int) -> Segment:
        """The segment that the character at ``offset`` belongs to."""
        behind = bisect.bisect_right(
            self.segments, offset, key=lambda segment: segment.offset
        )
        return self.segments[max(behind - 1, 0)]

    def at(self, offset: int) -> Location:
        """Where the character at ``offset`` (counted from 0) stands."""
        segment = self.segment(offset)
        return Location(
            self.file, segment.line, segment.column + offset - segment.offset
        )
