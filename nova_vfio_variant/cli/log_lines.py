# SPDX-License-Identifier: Apache-2.0
"""What is logged, as lines that command no terminal."""

from __future__ import annotations

import copy
import logging

from nova_vfio_variant import shown


class Formatter(logging.Formatter):
    """Makes one line of a message, and escapes what is told behind it.

    :param formatter: what makes the rest of the line
    """

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Escape the message, then the whole."""
        record = copy.copy(record)
        record.msg, record.args = shown.line(record.getMessage()), None
        return shown.lines(self._formatter.format(record))
