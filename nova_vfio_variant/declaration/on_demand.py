# SPDX-License-Identifier: Apache-2.0
"""Whether a card's vGPUs are declared, or come and go with claims. Pure."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.tracker import vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import verdicts
    from nova_vfio_variant.pci import address as pci_address


def is_declared(
    vfs: ty.Iterable[pci_address.PciAddress],
    judge: verdicts.Verdicts,
    ours: ty.Iterable[vgpus.OurVgpu],
) -> bool:
    """Whether somebody declared what vGPU one of a card's VFs is.

    :param vfs: all of the card
    :param ours: the vGPUs that we made: those of a file of cards are declared
    """
    declared = {
        vgpu.address for vgpu in ours if vgpu.origin is vgpus.Origin.DECLARED
    }
    for vf in vfs:
        function = judge.facts.scan.get(vf)
        if vf in declared or (
            function is not None and judge.has_declared_vgpus(function)
        ):
            return True
    return False
