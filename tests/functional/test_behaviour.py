# SPDX-License-Identifier: Apache-2.0
"""The behaviour suite on the fake host; the lab runs it on a real one."""

import unittest

from tests.behaviour import (
    test_facts,
    test_groups,
    test_in_use,
    test_preparing,
    test_trouble,
)


def load_tests(
    loader: unittest.TestLoader,
    _standard: unittest.TestSuite,
    _pattern: str | None,
) -> unittest.TestSuite:
    """All tests of the suite."""
    suite = unittest.TestSuite()
    for module in (
        test_facts,
        test_groups,
        test_in_use,
        test_preparing,
        test_trouble,
    ):
        suite.addTests(loader.loadTestsFromModule(module))
    return suite
