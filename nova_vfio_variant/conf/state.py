# SPDX-License-Identifier: Apache-2.0
"""``[vfio] state_group``: with whom the state path is shared."""

from __future__ import annotations

import grp

from nova_vfio_variant import exception
from nova_vfio_variant.conf import codes, faults, located, vfio


def group_id(conf: located.Config) -> int | None:
    """The id of the group that shares the state path.

    :returns: None if it is shared with nobody
    :raises ConfigError: this host has no such group
    """
    name: str | None = conf.vfio.state_group
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        pass
    if name.isascii() and name.isdecimal():
        return int(name)
    raise exception.ConfigError(
        "the configuration can't be used",
        findings=faults.on_option(
            conf,
            vfio.GROUP.name,
            "state_group",
            codes.BAD_VALUE,
            f"state_group: this host has no group {name!r}",
            "'getent group' shows those that there are.",
        ),
    )
