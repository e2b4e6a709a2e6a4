# SPDX-License-Identifier: Apache-2.0
"""Cells as each format has them: read by a person, a spreadsheet, a shell."""

from __future__ import annotations

import collections.abc
import re

from nova_vfio_variant import shown

#: How a formula begins, and what is only a number.
_FORMULA = re.compile(r"[=+@-](?!(?<=[+-])\d+(\.\d+)?\Z)")


def human(value: object) -> object:
    """A cell as a person reads it: lists and maps without Python's signs.

    Nothing in it commands a terminal: ``value``, ``csv`` and ``shell`` are
    printed there too.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, collections.abc.Mapping):
        return ", ".join(f"{human(key)}={human(value[key])}" for key in value)
    if isinstance(value, list | tuple):
        return ", ".join(str(human(item)) for item in value)
    if isinstance(value, str):
        return shown.line(shown.short(value, shown.HINT))
    return value


def inert(value: object) -> object:
    """A cell that a spreadsheet takes for text, not for a formula.

    Tabs and carriage returns, which hide one, are escaped already.
    """
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return value


def quoted(value: object) -> object:
    """A cell for the double quotes of cliff, which escapes only those."""
    if isinstance(value, str):
        return re.sub(r"([\\$`])", r"\\\1", value)
    return value
