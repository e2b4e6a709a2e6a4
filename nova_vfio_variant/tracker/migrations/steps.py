# SPDX-License-Identifier: Apache-2.0
"""What a migration is made of: each step is done once, however often asked.

A migration is one transaction, and so done whole or not at all. MySQL and
MariaDB alone end it with each change of a table: what was killed in between
goes on from there when it is run again.
"""

from __future__ import annotations

import typing as ty

import sqlalchemy as sa
from alembic import op


def create_table(name: str, *columns: sa.Column[ty.Any]) -> None:
    """Make a table, unless it is there."""
    if not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *columns)


def create_index(name: str, table: str, column: str) -> None:
    """Make an index, unless it is there."""
    there = sa.inspect(op.get_bind()).get_indexes(table)
    if name not in {index["name"] for index in there}:
        op.create_index(name, table, [column])


def add_column(table: str, column: sa.Column[ty.Any]) -> None:
    """Add a column to a table, unless it is there."""
    there = sa.inspect(op.get_bind()).get_columns(table)
    if column.name not in {found["name"] for found in there}:
        op.add_column(table, column)
