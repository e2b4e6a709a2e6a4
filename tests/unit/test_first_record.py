# SPDX-License-Identifier: Apache-2.0
"""Logging is set up by the first record, and not before."""

import logging

from nova_vfio_variant.cli import log_lines
from tests import base


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class FirstRecordTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(setattr, root, "handlers", root.handlers)
        root.handlers = []
        self.kept = Kept()
        self.set_up = 0
        self.quiet = logging.getLogger(f"{__name__}.quiet")
        self.addCleanup(self.quiet.setLevel, logging.NOTSET)
        log_lines.FirstRecord.wait(self._set_up, logging.INFO)

    def _set_up(self) -> None:
        self.set_up += 1
        logging.getLogger().handlers = [self.kept]
        self.quiet.setLevel(logging.ERROR)

    def test_nothing_is_set_up_for_what_no_level_lets_through(self) -> None:
        logging.getLogger(__name__).debug("small talk")
        self.assertEqual(0, self.set_up)

    def test_the_first_record_is_not_lost(self) -> None:
        logging.getLogger(__name__).warning("first")
        logging.getLogger(__name__).warning("second")
        self.assertEqual(["first", "second"], self.kept.messages)
        self.assertEqual(1, self.set_up)

    def test_the_levels_that_are_set_up_hold_for_the_first_one_too(
        self,
    ) -> None:
        self.quiet.warning("kept back")
        self.quiet.error("shown")
        self.assertEqual(["shown"], self.kept.messages)
