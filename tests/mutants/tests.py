# SPDX-License-Identifier: Apache-2.0
"""The tests that mutants are shown to."""

import dataclasses
import importlib
import pathlib
import unittest

#: Those that find mistakes by many random cases, or by killing processes at
#: each of their points: too long to be asked about one mistake.
_TOO_LONG = (
    "tests.functional.test_agreement",
    "tests.functional.test_crash_points",
    "tests.functional.test_placement_embedded",
    "tests.unit.host.test_agreement",
)

#: What says nothing about a mistake: the tests of benchmarks and of the tests.
_BESIDE = (
    "tests.unit.test_base",
    "tests.unit.test_benchmark_table",
    "tests.unit.test_house",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Test:
    """A test that passes, where it is loaded from, and how long it takes."""

    name: str
    module: str
    seconds: float


def modules(root: pathlib.Path) -> list[str]:
    """The names of all test modules."""
    found = (
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in (root / "tests").rglob("test_*.py")
        if path.relative_to(root).parts[1] in ("unit", "functional")
    )
    return sorted(one for one in found if one not in _TOO_LONG + _BESIDE)


def load(module: str) -> dict[str, unittest.TestCase]:
    """The tests of a module, by their ids."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(
        importlib.import_module(module)
    )
    return {test.id(): test for test in _flat(suite)}


def _flat(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    found: list[unittest.TestCase] = []
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            found += _flat(one)
        else:
            found.append(one)
    return found
