# SPDX-License-Identifier: Apache-2.0
"""A device knows which function it is; obstacles can be overruled."""

from __future__ import annotations

import sqlalchemy as sa

from nova_vfio_variant.tracker.migrations import steps

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make room; which function each device is the next sync says."""
    steps.add_column("devices", sa.Column("identity", sa.Text))
    steps.create_table(
        "allowances",
        sa.Column("address", sa.String(16), primary_key=True),
        sa.Column("code", sa.String(16), primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
    )
    steps.create_table(
        "reserved",
        sa.Column("provider", sa.String(200), primary_key=True),
        sa.Column("resource_class", sa.String(255), primary_key=True),
        sa.Column("units", sa.Integer, nullable=False),
        sa.Column("intended", sa.Integer),
        sa.Column("generation", sa.BigInteger),
        sa.Column("before", sa.Integer),
        sa.Column("after", sa.Integer),
    )
