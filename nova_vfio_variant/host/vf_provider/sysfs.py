# SPDX-License-Identifier: Apache-2.0
"""VFs as the kernel makes them: ``sriov_numvfs``."""

import typing as ty

from nova_vfio_variant.host import function as observed
from nova_vfio_variant.host import vf_provider

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host import hands as host_hands


class SysfsVfProvider(vf_provider.VfProvider):
    """Writes the number and lets the PF's driver do the rest."""

    def serves(self, pf: observed.PciFunction) -> bool:
        """Every PF."""
        return True

    def set_numvfs(
        self, hands: "host_hands.Hands", address: str, count: int
    ) -> None:
        """Write it.

        :raises OSError: the kernel refused it
        """
        hands.set_numvfs(address, count)
