# SPDX-License-Identifier: Apache-2.0
"""What is recorded about functions, as plain values.

The tracker's store and the journal know it; whoever opens them fills this.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

Address = pci_address.PciAddress
#: The instance that has claimed a function, by address.
Owners = ty.Mapping[Address, str]
#: Why nobody gets a function, by address.
Quarantines = ty.Mapping[Address, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """What is recorded about functions, by address.

    :param owners: the instance that has claimed it
    :param quarantined: why nobody gets it
    :param unwell: why no guest gets it as a vGPU: others failed on it
    :param unsettled: a change of it was begun and has not ended
    :param identities: which device was tracked there
    :param allowed: obstacles that were overruled by hand: the code's id and
        the reason given
    :param spent: a device for one time that had it
    :param cordoned: why no new claim is made of it, nor of its VFs
    :param uncordoned: why the one was cordoned in whose place it stands
    :param vgpu_types: those that a card is known to have, by its PF
    :param vgpu_told: what a vendor's tool told of a card, by its PF
    :param vgpu_laid: the type that was declared for a VF, or laid on it
    :param vgpu_mixed: cards, by their PF, that lost their mode for vGPUs of
        several sizes while their VFs were made anew, and are to have it again
    :param vgpu_held: the type of a VF that a claim which stands set, or is
        about to set: its framebuffer is taken, whatever the VF says
    :param unreadable: why the rest can't be known; None if all was read
    """

    owners: Owners = dataclasses.field(default_factory=dict)
    quarantined: Quarantines = dataclasses.field(default_factory=dict)
    unwell: Quarantines = dataclasses.field(default_factory=dict)
    unsettled: ty.Collection[Address] = ()
    identities: ty.Mapping[Address, observed.Identity] = dataclasses.field(
        default_factory=dict
    )
    allowed: ty.Mapping[Address, ty.Mapping[str, str]] = dataclasses.field(
        default_factory=dict
    )
    spent: ty.Collection[Address] = ()
    cordoned: Quarantines = dataclasses.field(default_factory=dict)
    uncordoned: Quarantines = dataclasses.field(default_factory=dict)
    vgpu_types: ty.Mapping[Address, tuple[vendor_vgpu.VgpuType, ...]] = (
        dataclasses.field(default_factory=dict)
    )
    vgpu_told: ty.Mapping[Address, vendor_vgpu.Told] = dataclasses.field(
        default_factory=dict
    )
    vgpu_laid: ty.Mapping[Address, str] = dataclasses.field(
        default_factory=dict
    )
    vgpu_held: ty.Mapping[Address, str] = dataclasses.field(
        default_factory=dict
    )
    vgpu_mixed: frozenset[Address] = frozenset()
    unreadable: str | None = None


NOTHING: ty.Final = Records()
