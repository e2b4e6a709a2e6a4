# SPDX-License-Identifier: Apache-2.0
"""The behaviour suite on the fake host; the lab runs it on a real one."""

import unittest


def load_tests(
    loader: unittest.TestLoader,
    _standard: unittest.TestSuite,
    _pattern: str | None,
) -> unittest.TestSuite:
    """All tests of the suite."""
    return loader.loadTestsFromNames(
        [
            "tests.behaviour.test_facts",
            "tests.behaviour.test_groups",
            "tests.behaviour.test_in_use",
            "tests.behaviour.test_mdevs",
            "tests.behaviour.test_preparing",
            "tests.behaviour.test_single",
            "tests.behaviour.test_trouble",
            "tests.behaviour.test_vgpus",
        ]
    )
