# SPDX-License-Identifier: Apache-2.0
"""The stores of old that are kept here."""

import contextlib
import pathlib
import sqlite3
import typing as ty

from nova_vfio_variant.tracker import models
from tests.functional.old_stores import make

HERE: ty.Final = make.HERE
#: Those whose tables are not this version's.
OLDER: ty.Final = sorted(set(make.COMMITS) - {models.HEAD})


def load(path: pathlib.Path, version: str) -> None:
    """Make the file of what was kept of a store."""
    with contextlib.closing(sqlite3.connect(path)) as link:
        link.execute("PRAGMA journal_mode = WAL")
        link.executescript((HERE / version / "store.sql").read_text())
