# SPDX-License-Identifier: Apache-2.0
"""A quarantine knows the boot of the host that it is of."""

from __future__ import annotations

import sqlalchemy as sa

from nova_vfio_variant.tracker.migrations import steps

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Those that are there are of no boot that is known, and end."""
    steps.add_column(
        "quarantine",
        sa.Column("boot", sa.String(36), nullable=False, server_default=""),
    )
