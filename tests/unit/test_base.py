# SPDX-License-Identifier: Apache-2.0
"""The base class keeps a test apart from the machine that it runs on."""

import logging
import os
import pathlib
import tempfile
import unittest

import testtools

from tests import base


class _Probe(base.TestCase):
    """A test that notes where it was put."""

    seen: dict[str, str]

    def runTest(self) -> None:  # noqa: N802 - the name is unittest's
        logging.getLogger(__name__).debug("from the probe")
        type(self).seen = {
            "folder": tempfile.mkdtemp(),
            "home": str(pathlib.Path.home()),
            "log": self.log.output,
            "region": os.environ.get("OS_REGION_NAME", "unset"),
        }


class TestCaseTest(unittest.TestCase):
    """Stands beside the base class, so that a fault in it can't hide."""

    def setUp(self) -> None:
        previous = os.environ.get("OS_REGION_NAME")
        os.environ["OS_REGION_NAME"] = "callers-own"
        if previous is None:
            self.addCleanup(os.environ.pop, "OS_REGION_NAME")
        else:
            self.addCleanup(os.environ.update, OS_REGION_NAME=previous)
        result = testtools.TestResult()
        _Probe().run(result)
        self.assertEqual([], result.errors + result.failures)
        self.seen = _Probe.seen

    def test_what_a_test_leaves_in_temporary_folders_is_removed(self) -> None:
        self.assertFalse(pathlib.Path(self.seen["folder"]).exists())

    def test_the_home_folder_is_not_the_callers(self) -> None:
        self.assertNotEqual(str(pathlib.Path.home()), self.seen["home"])
        self.assertFalse(pathlib.Path(self.seen["home"]).exists())

    def test_debug_messages_are_captured(self) -> None:
        self.assertIn("from the probe", self.seen["log"])

    def test_the_callers_cloud_settings_are_hidden_and_put_back(self) -> None:
        self.assertEqual("unset", self.seen["region"])
        self.assertEqual("callers-own", os.environ["OS_REGION_NAME"])
