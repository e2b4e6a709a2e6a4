# SPDX-License-Identifier: Apache-2.0
"""Runs the lab's tests inside its guest, all in one process.

To start Python takes the guest longer than most tests do.
"""

import importlib
import os
import sys
import time
import typing as ty
import unittest

#: By what runs as the guest's first process (:data:`tests.lab.boot.INITS`),
#: and in this order: what others stand on comes first.
_MODULES = {
    "sh": (
        "tests.lab.test_guest",
        "tests.behaviour.test_facts",
        "tests.behaviour.test_in_use",
        "tests.behaviour.test_groups",
        "tests.behaviour.test_preparing",
        "tests.behaviour.test_trouble",
        "tests.behaviour.test_mdevs",
        "tests.behaviour.test_single",
        "tests.behaviour.test_vgpus",
        "tests.lab.test_mdevs",
        "tests.lab.test_libvirt",
        "tests.lab.test_machine",
    ),
    "systemd": ("tests.lab.test_unit",),
}


#: How many of the slowest tests are named at the end.
_SLOWEST = 10


class _Timed(unittest.TextTestResult):
    """Says of each test how long it took."""

    def __init__(self, *given: ty.Any, **more: ty.Any) -> None:
        super().__init__(*given, **more)
        #: Seconds and name of each.
        self.took: list[tuple[float, str]] = []

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Remember when it began."""
        self._begun = time.monotonic()
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        """Say how long it took."""
        seconds = time.monotonic() - self._begun
        self.took.append((seconds, test.id()))
        print(f"    {seconds:.1f} s")
        super().stopTest(test)


def _cases(
    suite: unittest.TestSuite | unittest.TestCase,
) -> ty.Iterator[unittest.TestCase]:
    if isinstance(suite, unittest.TestCase):
        yield suite
        return
    for one in suite:
        yield from _cases(one)


def chosen(init: str, names: ty.Sequence[str]) -> list[unittest.TestCase]:
    """The tests whose names have one of these words in them; or all.

    :param init: what runs as the guest's first process
    """
    loader = unittest.TestLoader()
    return [
        test
        for name in _MODULES[init]
        for test in _cases(
            loader.loadTestsFromModule(importlib.import_module(name))
        )
        if not names or any(word in test.id() for word in names)
    ]


def main(init: str, names: ty.Sequence[str]) -> int:
    """Run what is chosen."""
    if "NOVA_VFIO_LAB_GUEST" not in os.environ:
        print("only inside of the lab's guest", file=sys.stderr)
        return 2
    begun = time.monotonic()
    suite = unittest.TestSuite(chosen(init, names))
    loaded = time.monotonic() - begun
    runner: ty.Any = unittest.TextTestRunner
    result: _Timed = runner(
        stream=sys.stdout, verbosity=2, resultclass=_Timed
    ).run(suite)
    print("the slowest:")
    for seconds, name in sorted(result.took, reverse=True)[:_SLOWEST]:
        print(f"{seconds:7.1f} s {name}")
    bad = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    # The form in which stestr counts.
    print(f"imports took {loaded:.1f} s")
    print(f" - Passed: {result.testsRun - bad - skipped}")
    print(f" - Skipped: {skipped}")
    print(f" - Failed: {bad}")
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
