# SPDX-License-Identifier: Apache-2.0
"""VFs as the kernel makes them: ``sriov_numvfs``."""

import errno
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
        try:
            hands.set_numvfs(address, count)
        except OSError as error:
            driver = hands.driver(address)
            if error.errno != errno.ENOENT or not driver:
                raise
            # The file is there: the driver has no sriov_configure().
            raise OSError(
                errno.ENOENT, f"driver {driver} can not make VFs"
            ) from error
