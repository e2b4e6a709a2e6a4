# SPDX-License-Identifier: Apache-2.0
"""PFs and their VFs: which there are, and where the others would be.

A VF's routing ID (bus, slot and function as one number) follows its PF's by
``sriov_offset`` and ``sriov_stride``: ``pci_iov_virtfn_bus()`` and
``pci_iov_virtfn_devfn()`` in drivers/pci/iov.c.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as ty

from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import host_scan

#: Of a routing ID.
_LAST = 0xFFFF
#: sriov_numvfs is a u16 (kstrtou16 in drivers/pci/iov.c).
_MAX_VFS = 0xFFFF
_VIRTFN = re.compile(r"virtfn(\d+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Routing:
    """Where a PF's VFs are, those that it doesn't have yet among them.

    :param offset: how far its first VF's routing ID is from its own
    :param stride: how far one VF's routing ID is from the next
    """

    offset: int
    stride: int

    def address(
        self, pf: pci_address.PciAddress, index: int
    ) -> pci_address.PciAddress | None:
        """The address of a VF.

        :param index: which it is, from 0 on
        :returns: None where the PF doesn't say so: some have no offset
            before they have VFs
        """
        place = routing_id(pf) + self.offset + index * self.stride
        if not self.offset or place > _LAST:
            return None
        return pci_address.PciAddress(
            pf.domain, place >> 8, place >> 3 & 0x1F, place & 7
        )

    def index(
        self, pf: pci_address.PciAddress, vf: pci_address.PciAddress
    ) -> int | None:
        """Which VF of a PF an address is, from 0 on; None if it is none.

        How many it can have is for others to compare with.
        """
        if vf.domain != pf.domain or not self.offset:
            return None
        distance = routing_id(vf) - routing_id(pf) - self.offset
        if not self.stride:
            return None if distance else 0
        number, rest = divmod(distance, self.stride)
        return None if rest or number < 0 else number


def routing_id(address: pci_address.PciAddress) -> int:
    """Bus, slot and function as one number."""
    return address.bus << 8 | address.slot << 3 | address.function


def routing(
    tree: host_tree.HostTree, pf: pci_address.PciAddress
) -> Routing | None:
    """Where the VFs of a PF are; None where it doesn't say so."""
    place = f"{paths.DEVICES}/{pf}"
    try:
        return Routing(
            int(tree.read_text(f"{place}/sriov_offset") or ""),
            int(tree.read_text(f"{place}/sriov_stride") or ""),
        )
    except ValueError:
        return None


def vf_device(
    tree: host_tree.HostTree, pf: pci_address.PciAddress
) -> str | None:
    """The product id of a PF's VFs, four lower-case hex digits."""
    text = tree.read_text(f"{paths.DEVICES}/{pf}/sriov_vf_device")
    try:
        return f"{int(text or '', 16):04x}"
    except ValueError:
        return None


def is_count(value: object) -> bool:
    """Whether something may be written as a number of VFs."""
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and 0 <= value <= _MAX_VFS
    )


def count(names: ty.Iterable[str]) -> int:
    """How many VFs a PF shows.

    To read ``sriov_numvfs`` blocks while another process removes VFs that
    are in use.

    :param names: what stands in its directory
    """
    return sum(bool(_VIRTFN.fullmatch(name)) for name in names)


class Indices:
    """Which VF of one PF an address is. What is read is read once."""

    def __init__(
        self, tree: host_tree.HostTree, pf: pci_address.PciAddress
    ) -> None:
        self.pf = pf
        self._tree = tree

    def of(self, vf: pci_address.PciAddress) -> int | None:
        """The index, from 0 on; None where the host doesn't say so.

        :param vf: a VF that names this PF as its own
        """
        routing = self._routing
        index = None if routing is None else routing.index(self.pf, vf)
        return self._links.get(str(vf)) if index is None else index

    @functools.cached_property
    def _routing(self) -> Routing | None:
        return routing(self._tree, self.pf)

    @functools.cached_property
    def _links(self) -> dict[str, int]:
        """The VFs by the PF's links."""
        place = f"{paths.DEVICES}/{self.pf}"
        found = {}
        for name in self._tree.listdir(place):
            match = _VIRTFN.fullmatch(name)
            target = self._tree.readlink(f"{place}/{name}") if match else None
            if match and target is not None:
                found[target.rpartition("/")[2]] = int(match[1])
        return found


def vfs_of(
    scan: host_scan.HostScan, pf: pci_address.PciAddress
) -> tuple[function.PciFunction, ...]:
    """The VFs that a PF has now, in rising order of address."""
    return scan.vfs.get(pf, ())
