# SPDX-License-Identifier: Apache-2.0
"""The Placement that ``[vfio] placement`` chooses, if any."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.placement import embedded

if ty.TYPE_CHECKING:
    from nova_vfio_variant import own_files
    from nova_vfio_variant.conf import located
    from nova_vfio_variant.placement import client


def microversion(conf: located.Config, state: own_files.Given) -> str | None:
    """The newest microversion that Placement speaks; makes nothing.

    :param conf: says which Placement
    :param state: where an embedded one keeps its database
    :returns: None where there is no embedded Placement yet, or none at all
    :raises PlacementError: it can't be asked
    """
    if is_absent(conf, state):
        return None
    return connect(conf, state).max_microversion()


def connect(
    conf: located.Config, state: own_files.Given
) -> client.PlacementClient:
    """It, ready to be asked; an embedded one is made if need be.

    :raises PlacementError: it can't be
    """
    if is_embedded(conf):
        return embedded.connect(state)
    from nova_vfio_variant.placement import service

    return service.connect(conf)


def is_embedded(conf: located.Config) -> bool:
    """Whether it is our own, in process."""
    return bool(conf.vfio.placement == "embedded")


def is_absent(conf: located.Config, state: own_files.Given) -> bool:
    """Whether there is none, or no embedded one yet."""
    if conf.vfio.placement == "none":
        return True
    return is_embedded(conf) and not embedded.is_in(state)
