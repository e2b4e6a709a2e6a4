# SPDX-License-Identifier: Apache-2.0
"""Mediated devices that we made."""

from __future__ import annotations

import sqlalchemy as sa

from nova_vfio_variant.tracker.migrations import steps

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make room; there are none yet."""
    steps.create_table(
        "mdevs",
        sa.Column("uuid", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(511), nullable=False),
        sa.Column("instance_uuid", sa.String(36)),
        sa.Column("assignment", sa.String(36), nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("identity", sa.Text),
    )
    steps.create_index("ix_mdevs_instance_uuid", "mdevs", "instance_uuid")
