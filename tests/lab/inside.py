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

#: In this order: what leaves most behind comes last.
_MODULES = (
    "tests.behaviour.test_facts",
    "tests.behaviour.test_preparing",
    "tests.behaviour.test_trouble",
)


class _Result(unittest.TextTestResult):
    """Says of each test how long it took."""

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        self._begun = time.monotonic()
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        seconds = time.monotonic() - self._begun
        self.stream.writeln(f"    {seconds:.1f} s")
        super().stopTest(test)


def main(names: ty.Sequence[str]) -> int:
    """Run the tests whose names have one of these words in them; or all."""
    if "NOVA_VFIO_LAB_GUEST" not in os.environ:
        print("only inside of the lab's guest", file=sys.stderr)
        return 2
    begun = time.monotonic()
    loader = unittest.TestLoader()
    suite = unittest.TestSuite(
        test
        for name in _MODULES
        for group in loader.loadTestsFromModule(importlib.import_module(name))
        for test in ty.cast("unittest.TestSuite", group)
        if not names or any(word in test.id() for word in names)
    )
    loaded = time.monotonic() - begun
    result = unittest.TextTestRunner(
        stream=sys.stdout, verbosity=2, resultclass=_Result
    ).run(suite)
    bad = len(result.failures) + len(result.errors)
    print(f"imports took {loaded:.1f} s")
    print(f" - Passed: {result.testsRun - bad}")
    print(f" - Failed: {bad}")
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
