# SPDX-License-Identifier: Apache-2.0
"""Where each claim is in its life, names of devices, and what is cordoned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from nova_vfio_variant.tracker.migrations import steps

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make room, and give each claim on a function its row.

    What was allocated may be in a guest: nobody said when one began. What a
    claim asked for wasn't kept.
    """
    steps.create_table(
        "claims",
        sa.Column("instance_uuid", sa.String(36), primary_key=True),
        sa.Column("assignment", sa.String(36), nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("asked", sa.Text),
        sa.Column("since", sa.String(32), nullable=False),
    )
    op.execute(
        "INSERT INTO claims (instance_uuid, assignment, state, asked, since)"
        " SELECT instance_uuid, COALESCE(MIN(request_id), instance_uuid),"
        # In the order of the alphabet, allocated comes before claimed.
        " MAX(status), NULL, '' FROM devices WHERE instance_uuid IS NOT NULL"
        " AND instance_uuid NOT IN (SELECT instance_uuid FROM claims)"
        " GROUP BY instance_uuid"
    )
    steps.create_table(
        "names",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("address", sa.String(16), nullable=False, unique=True),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
    )
    steps.create_table(
        "cordons",
        sa.Column("address", sa.String(16), primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
    )
