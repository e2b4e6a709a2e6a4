# SPDX-License-Identifier: Apache-2.0
"""All tests beside the Nova and the Placement of a release of OpenStack.

``tox -e constraints-RELEASE`` runs it, in an environment that has all three.
It asks pip whether they fit each other, runs the unit and the functional
tests, and prints a row of the matrix in the documentation; ``--record``
writes it into that page if nothing failed. ``--functional REGEX`` runs a part
of the functional tests, ``--functional none`` none of them, and the row says
so.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import pathlib
import platform
import re
import subprocess
import sys
import time
import typing as ty

ROOT = pathlib.Path(__file__).resolve().parent.parent
#: What the page is made of: one file a run.
RECORDS = ROOT / "doc/source/reference/matrix"
RELEASES = ("2025.1", "2025.2", "2026.1", "newest")
PYTHONS = ("3.11", "3.12", "3.13")

_COUNT = re.compile(
    r"^ - (Passed|Failed|Unexpected Success): (\d+)$", re.MULTILINE
)


@dataclasses.dataclass(frozen=True)
class Tests:
    """How the tests of one kind ended.

    :param part: regular expression of those that ran; empty for all
    """

    passed: int
    failed: int
    seconds: int
    part: str = ""

    def __str__(self) -> str:
        told = f"{self.passed} passed"
        if self.failed:
            told += f", {self.failed} failed"
        told += f", {self.seconds} s"
        return f"{told} (only ``{self.part}``)" if self.part else told


@dataclasses.dataclass(frozen=True)
class Row:
    """One run.

    :param functional: None if they weren't run
    """

    release: str
    python: str
    nova: str
    placement: str
    fits: bool
    unit: Tests
    functional: Tests | None

    @property
    def good(self) -> bool:
        """Whether nothing failed."""
        ran = [self.unit, *([self.functional] if self.functional else [])]
        return self.fits and all(one.passed and not one.failed for one in ran)

    def cells(self) -> list[str]:
        """As the page shows it."""
        return [
            self.release,
            self.python,
            f"nova {self.nova}, openstack-placement {self.placement}: "
            + ("yes" if self.fits else "no"),
            str(self.unit),
            str(self.functional or "not run"),
        ]


def counted(said: str) -> tuple[int, int]:
    """How many tests passed and failed, by what stestr says in the end."""
    counts = dict.fromkeys(("Passed", "Failed", "Unexpected Success"), 0)
    counts |= {name: int(number) for name, number in _COUNT.findall(said)}
    return counts.pop("Passed"), sum(counts.values())


def run(kind: str, workers: int, part: str = "") -> Tests:
    """Run the tests of a kind, and show what they say."""
    words = ["stestr", "--test-path", f"./tests/{kind}", "run"]
    if workers:
        words += ["--concurrency", str(workers)]
    words += [part] if part else []
    program = pathlib.Path(sys.executable).parent / words[0]
    begun = time.monotonic()
    lines = []
    with subprocess.Popen(
        [program, *words[1:]], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    passed, failed = counted("".join(lines))
    if process.returncode and not failed:
        # It ended before it could count.
        failed = 1
    return Tests(passed, failed, round(time.monotonic() - begun), part)


def read() -> list[Row]:
    """The recorded runs, by release and Python."""
    rows = []
    for path in sorted(RECORDS.glob("*.json")):
        told = json.loads(path.read_text())
        told["unit"] = Tests(**told["unit"])
        if told["functional"]:
            told["functional"] = Tests(**told["functional"])
        rows.append(Row(**told))
    return rows


def environment(release: str, python: str) -> str:
    """The environment of tox."""
    here = "" if python == PYTHONS[0] else f"-py{python.replace('.', '')}"
    return f"constraints-{release}{here}"


def page(rows: ty.Iterable[Row]) -> list[str]:
    """The table of the documentation, with what wasn't run."""
    by_place = {(row.release, row.python): row for row in rows}
    lines = [".. list-table::", "   :header-rows: 1", ""]
    head = ("OpenStack", "Python", "Installs beside Nova", "Unit tests")
    table = [[*head, "Functional tests", "Command"]]
    for release in RELEASES:
        for python in PYTHONS:
            row = by_place.get((release, python))
            cells = row.cells() if row else [release, python]
            cells += ["not run"] * (5 - len(cells))
            command = f"``tox -e {environment(release, python)}``"
            table.append([*cells, command])
    for cells in table:
        lines.append(f"   * - {cells[0]}")
        lines += [f"     - {cell}" for cell in cells[1:]]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("release", choices=RELEASES)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--functional", metavar="REGEX", default="")
    parser.add_argument("--concurrency", type=int, default=0)
    asked = parser.parse_args()
    check = [sys.executable, "-m", "pip", "check"]
    fits = subprocess.run(check, check=False).returncode == 0
    unit = run("unit", asked.concurrency)
    functional = None
    if asked.functional != "none":
        functional = run("functional", asked.concurrency, asked.functional)
    row = Row(
        asked.release,
        ".".join(platform.python_version_tuple()[:2]),
        importlib.metadata.version("nova"),
        importlib.metadata.version("openstack-placement"),
        fits,
        unit,
        functional,
    )
    print("; ".join(row.cells()))
    if asked.record and row.good:
        RECORDS.mkdir(exist_ok=True)
        path = RECORDS / f"{row.release}-py{row.python}.json"
        path.write_text(json.dumps(dataclasses.asdict(row), indent=2) + "\n")
    return 0 if row.good else 1


if __name__ == "__main__":
    sys.exit(main())
