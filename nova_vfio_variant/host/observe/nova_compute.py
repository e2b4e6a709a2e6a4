# SPDX-License-Identifier: Apache-2.0
"""What of nova-compute is seen on a host: its process, or its unit."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.observe import running

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.tree import host_tree

_PROGRAM: ty.Final = "nova-compute"
_AT_BOOT: ty.Final = "etc/systemd/system/multi-user.target.wants"
#: As Debian, RDO, Kolla and DevStack call it.
_UNITS: ty.Final = (
    "nova-compute.service",
    "openstack-nova-compute.service",
    "kolla-nova_compute-container.service",
    "devstack@n-cpu.service",
)


def seen(tree: host_tree.HostTree) -> str | None:
    """Half a sentence that says what is seen; None for nothing.

    What runs in a container is seen from the host. Where processes can't be
    looked into, that one isn't seen says nothing. Raises nothing.
    """
    pid = running.program(tree, _PROGRAM)
    if pid is not None:
        return f"{_PROGRAM} runs as process {pid}"
    enabled = frozenset(tree.listdir(_AT_BOOT))
    for unit in _UNITS:
        if unit in enabled:
            return f"{unit} is started at boot"
    return None
