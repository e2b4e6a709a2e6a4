# SPDX-License-Identifier: Apache-2.0
"""What of a node is nova-compute's to hand out."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.declaration import nova_here, nova_mdevs

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context


def mdevs(on: node_context.Context) -> nova_mdevs.HandedOut:
    """The mediated devices that it hands out on this host.

    A configuration that can't be used is an unknown.

    :raises HostError: the host can't be seen
    """
    try:
        if on.is_configured:
            return nova_mdevs.handed_out(on.observed)
    except exception.ConfigError as error:
        return nova_mdevs.HandedOut(unknown=error.message)
    return nova_mdevs.HandedOut()


def has_guests(on: node_context.Context) -> bool:
    """Whether guests may have devices that it gave them, and not we.

    A configuration that can't be used says nothing against it.

    :raises HostError: the host can't be seen
    """
    try:
        return (
            on.is_configured and nova_here.beside_nova(on.observed) is not None
        )
    except exception.ConfigError:
        return True
