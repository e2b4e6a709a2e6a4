# SPDX-License-Identifier: Apache-2.0
"""Every kind of finding there is, in whichever room it is found.

``VFIO1xx`` is about text, ``2xx`` about its meaning, ``3xx`` about the host,
``4xx`` about what is published or given to guests, ``5xx`` about preparing the
host and what decides whether a function may go to a guest. An id is never used
again for anything else, and never changes its meaning: operators silence and
count by it.
"""

from __future__ import annotations

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes, migration_codes, nova_mdev_codes
from nova_vfio_variant.conf import codes as conf_codes
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.decide import mdev_codes
from nova_vfio_variant.pci import codes as pci_codes
from nova_vfio_variant.pci import flavor_codes
from nova_vfio_variant.placement import codes as placement_codes


def everything() -> dict[str, finding.Code]:
    """Each constant's name and its code, in the order of the ids."""
    named = {
        name: value
        for room in (
            conf_codes,
            pci_codes,
            flavor_codes,
            placement_codes,
            host_codes,
            mdev_codes,
            codes,
            nova_mdev_codes,
            migration_codes,
        )
        for name, value in vars(room).items()
        if isinstance(value, finding.Code)
    }
    return dict(sorted(named.items(), key=lambda item: item[1].id))
