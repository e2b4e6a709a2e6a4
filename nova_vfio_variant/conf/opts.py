# SPDX-License-Identifier: Apache-2.0
"""All options, for oslo-config-generator and the documentation."""

from __future__ import annotations

import typing as ty

if ty.TYPE_CHECKING:
    from oslo_config import cfg


def list_opts() -> list[tuple[str | cfg.OptGroup, list[cfg.Opt]]]:
    """Groups and their options, as ``oslo.config.opts`` wants them."""
    # Only who lists options needs oslo.db and keystoneauth for it.
    from nova_vfio_variant.conf import (
        database,
        nova,
        placement,
        vfio,
    )

    return [
        (vfio.GROUP, vfio.OPTS),
        *nova.OPTS.items(),
        (placement.GROUP, placement.list_opts()),
        (database.GROUP, database.OPTS),
    ]
