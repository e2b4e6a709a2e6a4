# SPDX-License-Identifier: Apache-2.0
"""A report on a vGPU knows which function it was about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from nova_vfio_variant.tracker.migrations import steps

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make room; those of before are about what is tracked there now."""
    steps.add_column("vgpu_reports", sa.Column("identity", sa.Text))
    op.execute(
        "UPDATE vgpu_reports SET identity = (SELECT devices.identity FROM"
        " devices WHERE devices.address = vgpu_reports.address)"
        " WHERE identity IS NULL"
    )
