# SPDX-License-Identifier: Apache-2.0
"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from nova_vfio_variant.tracker.migrations import steps

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them; what each is for stands in ``tracker.models``."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    steps.create_table(
        "devices",
        sa.Column("id", number, primary_key=True, autoincrement=False),
        sa.Column("mark", sa.String(64), nullable=False),
        sa.Column("address", sa.String(16), nullable=False, unique=True),
        sa.Column("vendor_id", sa.String(4), nullable=False),
        sa.Column("product_id", sa.String(4), nullable=False),
        sa.Column("dev_type", sa.String(8), nullable=False),
        sa.Column("numa_node", sa.Integer),
        sa.Column("parent_addr", sa.String(16)),
        sa.Column("resource_class", sa.String(255), nullable=False),
        sa.Column("traits", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("status", sa.String(11), nullable=False),
        sa.Column("instance_uuid", sa.String(36)),
        sa.Column("request_id", sa.String(36)),
        sa.Column("alias_name", sa.String(256)),
        sa.Column("extra_info", sa.Text, nullable=False),
        sa.Column("pending", sa.Text),
    )
    # As sa.Column(index=True) names them.
    steps.create_index("ix_devices_parent_addr", "devices", "parent_addr")
    steps.create_index("ix_devices_instance_uuid", "devices", "instance_uuid")
    steps.create_table(
        "generation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    generation = sa.table("generation", sa.column("id"), sa.column("value"))
    if op.get_bind().scalar(sa.select(generation.c.id)) is None:
        op.bulk_insert(generation, [{"id": 1, "value": 0}])
    steps.create_table(
        "meta",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    steps.create_table(
        "providers",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False, unique=True),
        sa.Column("generation", sa.BigInteger),
        sa.Column("fingerprint", sa.String(255)),
    )
    steps.create_table(
        "quarantine",
        sa.Column("id", number, primary_key=True, autoincrement=False),
        sa.Column("address", sa.String(16), nullable=False, unique=True),
        sa.Column("reason", sa.Text, nullable=False),
    )
