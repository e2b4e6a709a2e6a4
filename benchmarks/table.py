# SPDX-License-Identifier: Apache-2.0
"""One measurement beside its peer, and how rows of them are shown."""

import collections.abc
import dataclasses
import gc
import statistics
import time


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What one piece of work cost us and a peer, in one run.

    A goal is either ``at_most`` (our cost is at most so many times the
    peer's) or ``times_faster`` (the peer's cost is at least so many times
    ours); a row with neither only informs.

    :param work: what is done, in a few words
    :param size: on how many things (devices, functions, providers)
    :param ours: median cost of our way
    :param peer: whose way it is compared with; may be a limit
    :param theirs: median cost of the peer's way, or the limit
    :param at_most: goal for ``ours / theirs``
    :param times_faster: goal for ``theirs / ours``
    :param unit: of both costs: ``s``, ``bytes``, ``requests``
    """

    work: str
    size: int
    ours: float
    peer: str
    theirs: float
    at_most: float | None = None
    times_faster: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """Our cost in units of the peer's."""
        return self.ours / self.theirs

    @property
    def goal(self) -> str | None:
        """The goal in words."""
        if self.at_most is not None:
            return f"ratio at most {self.at_most:g}"
        if self.times_faster is not None:
            return f"{self.times_faster:g} times faster"
        return None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        if self.at_most is not None:
            return self.ratio <= self.at_most
        if self.times_faster is not None:
            return self.ratio * self.times_faster <= 1
        return None

    def as_json(self) -> dict[str, str | float | bool | None]:
        """The row as numbers and words, for ``--json``."""
        return {
            "work": self.work,
            "size": self.size,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "theirs": self.theirs,
            "ratio": self.ratio,
            "goal": self.goal,
            "met": self.met,
        }


def medians(
    *works: collections.abc.Callable[[], object],
    repeat: int = 15,
    clock: collections.abc.Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Seconds that each work takes, in the middle of ``repeat`` runs.

    The works take turns, so that a busy machine is busy for all of them,
    and each runs once beforehand, untimed.

    :param clock: ``time.process_time`` for work that waits for nothing,
        which leaves out what other processes took of the machine
    """
    times: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(repeat):
        for work, seen in zip(works, times, strict=True):
            gc.collect()
            begun = clock()
            work()
            seen.append(clock() - begun)
    return [statistics.median(seen) for seen in times]


def render(rows: collections.abc.Iterable[Row]) -> str:
    """The rows as a table for people."""
    lines = [
        ("work", "size", "ours", "peer", "theirs", "ratio", "goal", "met")
    ]
    lines.extend(
        (
            row.work,
            f"{row.size:,}",
            _cost(row.ours, row.unit),
            row.peer,
            _cost(row.theirs, row.unit),
            _ratio(row.ratio),
            row.goal or "-",
            {True: "yes", False: "NO", None: "-"}[row.met],
        )
        for row in rows
    )
    return _aligned(lines)


def growth(rows: collections.abc.Iterable[Row]) -> str:
    """How the cost of each work grows from its smallest size to its largest.

    Works of one size, and limits, which don't grow, are left out.
    """
    by_work: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.unit == "s":
            by_work.setdefault(row.work, {})[row.size] = row
    lines = [("work", "from", "to", "size", "ours", "peer", "theirs")]
    for work, by_size in by_work.items():
        if len(by_size) == 1:
            continue
        small, large = by_size[min(by_size)], by_size[max(by_size)]
        lines.append(
            (
                work,
                f"{small.size:,}",
                f"{large.size:,}",
                f"x {large.size / small.size:.0f}",
                f"x {large.ours / small.ours:.1f}",
                large.peer,
                f"x {large.theirs / small.theirs:.1f}",
            )
        )
    return _aligned(lines)


def _aligned(lines: collections.abc.Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _cost(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:,.0f} {unit}"
    if value >= 1:
        return f"{value:.2f} s"
    if value >= 1e-3:
        return f"{value * 1e3:.2f} ms"
    return f"{value * 1e6:.1f} us"


def _ratio(ratio: float) -> str:
    """``1.21``, or ``1/260`` where the peer costs 260 times as much."""
    if ratio == 0:
        return "0"
    return f"{ratio:.2f}" if ratio > 0.2 else f"1/{1 / ratio:,.0f}"
