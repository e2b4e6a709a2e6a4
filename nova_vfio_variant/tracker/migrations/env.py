# SPDX-License-Identifier: Apache-2.0
"""Run by alembic, on the connection that the store hands over."""

from __future__ import annotations

from alembic import context

from nova_vfio_variant.tracker import models

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=models.METADATA,
    # All steps or none: SQLite can do it, alembic just doesn't assume so.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
