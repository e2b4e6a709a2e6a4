# SPDX-License-Identifier: Apache-2.0
"""The test case that all others stand on: its own folders and its own log."""

import logging
import os

import fixtures
import hypothesis
import testtools

#: How fast a machine is says nothing of the code. This stands here because the
#: real Nova's interpreter, which has no Hypothesis, imports ``tests`` as well.
PROPERTIES = hypothesis.settings(
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("busy", PROPERTIES)
hypothesis.settings.load_profile("busy")

#: Variables of the caller that would reach the code under test: oslo.config
#: reads ``OS_<GROUP>__<OPTION>``, openstacksdk ``OS_*``, and the default
#: state path follows ``XDG_STATE_HOME``.
_CALLERS_OWN = ("OS_", "XDG_")


class TestCase(testtools.TestCase):
    """A test with a private temporary folder, home and captured log.

    ``self.log.output`` holds what was logged so far, DEBUG included. What
    the code under test leaves in temporary folders is removed with them.
    """

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.NestedTempfile())
        self.useFixture(fixtures.TempHomeDir())
        for name in list(os.environ):
            if name.startswith(_CALLERS_OWN):
                self.useFixture(fixtures.EnvironmentVariable(name))
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
