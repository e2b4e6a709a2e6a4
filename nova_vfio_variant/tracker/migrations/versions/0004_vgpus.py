# SPDX-License-Identifier: Apache-2.0
"""vGPUs: the types that cards have, what we made, and how starts went."""

from __future__ import annotations

import sqlalchemy as sa

from nova_vfio_variant.tracker.migrations import steps

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make room; nothing is known of any yet."""
    steps.create_table(
        "vgpu_types",
        sa.Column("card", sa.String(16), primary_key=True),
        sa.Column("type_id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("framebuffer_mib", sa.Integer),
        sa.Column("identity", sa.Text, nullable=False),
    )
    steps.create_table(
        "vgpus",
        sa.Column("address", sa.String(16), primary_key=True),
        sa.Column("type_id", sa.String(16), nullable=False),
        sa.Column("origin", sa.String(8), nullable=False),
        sa.Column("instance_uuid", sa.String(36)),
        sa.Column("assignment", sa.String(36), nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
    )
    steps.create_index("ix_vgpus_instance_uuid", "vgpus", "instance_uuid")
    steps.create_table(
        "vgpu_reports",
        sa.Column("address", sa.String(16), primary_key=True),
        sa.Column("assignment", sa.String(64), primary_key=True),
        sa.Column("instance_uuid", sa.String(36)),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
    )
