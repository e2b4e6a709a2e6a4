# SPDX-License-Identifier: Apache-2.0
"""VFs as the kernel makes them: ``sriov_numvfs``."""

from __future__ import annotations

import errno

from nova_vfio_variant.host import vf_provider
from nova_vfio_variant.pci import function as observed


class SysfsVfProvider(vf_provider.VfProvider):
    """Writes the number and lets the PF's driver do the rest."""

    def serves(self, pf: observed.PciFunction) -> bool:
        """Every PF."""
        return True

    def set_numvfs(
        self, writer: vf_provider.Writer, address: str, count: int
    ) -> None:
        """Write it.

        :raises OSError: the kernel refused it
        """
        try:
            writer.set_numvfs(address, count)
        except OSError as error:
            driver = writer.driver(address)
            if error.errno != errno.ENOENT or not driver:
                raise
            # The file is there: the driver has no sriov_configure().
            raise OSError(
                errno.ENOENT, f"driver {driver} can not make VFs"
            ) from error
