# SPDX-License-Identifier: Apache-2.0
"""A card whose VFs take vGPUs: what is seen of it, remembered and told.

The lists of its VFs shrink with each vGPU, so that they are no catalogue:
that is remembered from when the card had fewer, and told by a vendor's tool,
before there are VFs too. Sizes are told by it alone.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts
    from nova_vfio_variant.host.tree import host_tree


Told = vendor_vgpu.Told
NOTHING_TOLD = vendor_vgpu.NOTHING_TOLD


@dataclasses.dataclass(frozen=True, slots=True)
class Card:
    """A card, and what its VFs are.

    :param address: of its PF
    :param vfs: what each VF's vendor folder says, in rising order of address
    :param remembered: the types that it is known to have
    :param told: see :class:`Told`
    :param heterogeneous: whether its vGPUs may be of several sizes; None if
        nobody can tell
    :param closed: VFs that are to be given no type: claimed, open,
        quarantined
    :param cordoned: those of them that no new claim gets
    :param held: the types of VFs that claims set, or are about to set
    :param has_gpu_instances: it is in MIG mode, and has some
    :param cordoned: those of the closed VFs that no new claim gets
    """

    address: pci_address.PciAddress
    vfs: ty.Mapping[pci_address.PciAddress, vendor_vgpu.VendorVgpu]
    remembered: tuple[vendor_vgpu.VgpuType, ...] = ()
    told: Told = NOTHING_TOLD
    heterogeneous: bool | None = None
    closed: frozenset[pci_address.PciAddress] = frozenset()
    has_gpu_instances: bool = False
    held: ty.Mapping[pci_address.PciAddress, str] = dataclasses.field(
        default_factory=dict
    )
    cordoned: frozenset[pci_address.PciAddress] = frozenset()

    @property
    def known(self) -> tuple[vendor_vgpu.VgpuType, ...]:
        """The types that it has, as far as anybody knows, by number.

        A type that a VF has and nobody names has an empty name.
        """
        found = {
            type_id: vendor_vgpu.VgpuType(type_id, name)
            for type_id, name in self.told.names.items()
        }
        found |= {known.id: known for known in self.remembered}
        for vf in self.vfs.values():
            for offered in vf.types or ():
                found[offered.id] = dataclasses.replace(
                    offered,
                    framebuffer_mib=offered.framebuffer_mib
                    or (
                        found[offered.id].framebuffer_mib
                        if offered.id in found
                        else None
                    ),
                )
        for current in self.taken:
            found.setdefault(current, vendor_vgpu.VgpuType(current, ""))
        return tuple(
            dataclasses.replace(
                known,
                framebuffer_mib=known.framebuffer_mib
                or self.told.sizes.get(known.id),
            )
            for known in sorted(
                found.values(), key=lambda known: int(known.id)
            )
        )

    @property
    def existing(self) -> tuple[str, ...]:
        """The id of each vGPU's type that the card has."""
        return tuple(
            vf.current
            for vf in self.vfs.values()
            if vf.current not in (None, vendor_vgpu.NONE)
        )

    @property
    def lost(self) -> ty.Mapping[pci_address.PciAddress, str]:
        """The VFs that have no type, and are to have that of a claim (again).

        After a reboot, for one: the vendor's lists know nothing of them.
        """
        return {
            address: self.held[address]
            for address, vf in self.vfs.items()
            if vf.current in (None, vendor_vgpu.NONE) and address in self.held
        }

    @property
    def taken(self) -> tuple[str, ...]:
        """The types of :attr:`existing`, and of :attr:`lost`."""
        return (*self.existing, *self.lost.values())

    @property
    def free(
        self,
    ) -> ty.Mapping[pci_address.PciAddress, vendor_vgpu.VendorVgpu]:
        """The VFs that have no type and may be given one."""
        return {
            address: vf
            for address, vf in self.vfs.items()
            if vf.current == vendor_vgpu.NONE and address not in self.closed
        }


def cards(
    facts: host_facts.HostFacts,
) -> dict[
    pci_address.PciAddress,
    dict[pci_address.PciAddress, vendor_vgpu.VendorVgpu],
]:
    """The VFs with a vendor's folder, by the address of their PF.

    Cards and VFs are in rising order of address.
    """
    found: dict[
        pci_address.PciAddress,
        dict[pci_address.PciAddress, vendor_vgpu.VendorVgpu],
    ] = {}
    for function in facts.scan.functions:
        seen = facts.vgpus.get(function.address)
        if seen is not None and function.physfn is not None:
            found.setdefault(function.physfn, {})[function.address] = seen
    return dict(sorted(found.items()))


def look(tree: host_tree.HostTree, vf: pci_address.PciAddress) -> Card | None:
    """The card of a VF as it is now, by its files alone.

    None where the VF has no vendor's folder any more.
    """
    link = tree.readlink(f"{paths.DEVICES}/{vf}/physfn")
    if link is None or not tree.exists(
        f"{paths.DEVICES}/{vf}/{vendor_vgpu.CURRENT}"
    ):
        return None
    pf = link.rpartition("/")[2]
    places = {
        (tree.readlink(f"{paths.DEVICES}/{pf}/{name}") or "").rpartition("/")[
            2
        ]
        for name in tree.listdir(f"{paths.DEVICES}/{pf}")
        if name.startswith("virtfn")
    }
    vfs = sorted(pci_address.PciAddress.parse(name) for name in places if name)
    return Card(
        pci_address.PciAddress.parse(pf),
        {
            sibling: vendor_vgpu.read(tree, sibling)
            for sibling in vfs
            if tree.exists(f"{paths.DEVICES}/{sibling}/{vendor_vgpu.CURRENT}")
        },
    )
