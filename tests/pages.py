# SPDX-License-Identifier: Apache-2.0
"""The README and every page of the documentation."""

from __future__ import annotations

import pathlib
import typing as ty

CHECKOUT: ty.Final = pathlib.Path(__file__).resolve().parents[1]


def paths() -> list[pathlib.Path]:
    """The README first."""
    found = (CHECKOUT / "doc/source").rglob("*.rst")
    return [CHECKOUT / "README.rst", *sorted(found)]


def name(path: pathlib.Path) -> str:
    """As it is told."""
    return str(path.relative_to(CHECKOUT))
