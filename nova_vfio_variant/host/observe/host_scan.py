# SPDX-License-Identifier: Apache-2.0
"""A host at one moment: the value that a scan gives."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import typing as ty

from nova_vfio_variant.host.observe import drivers
from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """Something that is there and could not be read.

    :param subject: the function, as sysfs names it
    :param fact: the file; None if the function is left out
    :param why: half a sentence
    """

    subject: str
    fact: str | None
    why: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.fact or 'left out'}: {self.why}"


@dataclasses.dataclass(frozen=True)
class HostScan:
    """A host at one moment.

    :param functions: in rising order of address
    :param kernel_release: as ``uname -r`` prints it; None if unknown
    :param cmdline: the kernel's command line; None if unknown
    :param modules: names of the loaded modules, sorted, with ``_``
    :param problems: what was lost, and why
    :param tree: the host that was scanned, for what is read only when asked
    """

    functions: tuple[function.PciFunction, ...]
    kernel_release: str | None
    cmdline: str | None
    modules: tuple[str, ...]
    problems: tuple[Lost, ...]
    tree: host_tree.HostTree = dataclasses.field(compare=False, repr=False)

    def get(
        self, address: pci_address.PciAddress
    ) -> function.PciFunction | None:
        """The function at an address."""
        return self._by_address.get(address)

    @functools.cached_property
    def _by_address(
        self,
    ) -> dict[pci_address.PciAddress, function.PciFunction]:
        return {seen.address: seen for seen in self.functions}

    @functools.cached_property
    def vfs(
        self,
    ) -> ty.Mapping[pci_address.PciAddress, tuple[function.PciFunction, ...]]:
        """The VFs of each PF that has any, in rising order of address."""
        vfs: dict[pci_address.PciAddress, list[function.PciFunction]] = {}
        for seen in self.functions:
            if seen.physfn is not None:
                vfs.setdefault(seen.physfn, []).append(seen)
        return {pf: tuple(those) for pf, those in vfs.items()}

    @functools.cached_property
    def unread(self) -> frozenset[pci_address.PciAddress]:
        """The functions that are there, and left out of ``functions``."""
        found = set()
        for problem in self.problems:
            if problem.fact is None:
                # What has no address is no function.
                with contextlib.suppress(ValueError):
                    found.add(pci_address.PciAddress.parse(problem.subject))
        return frozenset(found)

    @functools.cached_property
    def hidden(self) -> tuple[pci_address.PciAddress, ...]:
        """The functions that may be in any IOMMU group, in rising order."""
        return tuple(
            sorted(
                {
                    *(at for at, group in self._unread_groups if group < 0),
                    *(
                        seen.address
                        for seen in self.functions
                        if "iommu_group" in seen.lost
                    ),
                }
            )
        )

    def unread_in(self, group: int) -> tuple[pci_address.PciAddress, ...]:
        """The members of an IOMMU group that can't be read otherwise."""
        return tuple(
            at for at, number in self._unread_groups if number == group
        )

    @functools.cached_property
    def _unread_groups(
        self,
    ) -> tuple[tuple[pci_address.PciAddress, int], ...]:
        """The groups of ``unread``; -1 for one that can't be known."""
        found = []
        for address in sorted(self.unread):
            try:
                with self.tree.folder(f"{paths.DEVICES}/{address}") as folder:
                    if "iommu_group" in folder.names():
                        link = folder.link("iommu_group")
                        found.append((address, int(link.rpartition("/")[2])))
            except (OSError, ValueError):
                found.append((address, -1))
        return tuple(found)

    @functools.cached_property
    def iommu_groups(
        self,
    ) -> ty.Mapping[int, tuple[pci_address.PciAddress, ...]]:
        """The addresses in each IOMMU group, in rising order."""
        groups: dict[int, list[pci_address.PciAddress]] = {}
        for seen in self.functions:
            if seen.iommu_group is not None:
                groups.setdefault(seen.iommu_group, []).append(seen.address)
        return {number: tuple(groups[number]) for number in sorted(groups)}

    @functools.cached_property
    def vfio_aliases(self) -> tuple[tuple[str, str], ...]:
        """The ``vfio_pci:`` lines of ``modules.alias``, read when asked for.

        :returns: (pattern, module) in the file's order; see
            :func:`nova_vfio_variant.host.observe.drivers.best_variant`
        """
        return drivers.read_aliases(self.tree, self.kernel_release)

    @functools.cached_property
    def vfio_modules(self) -> frozenset[str]:
        """The modules of VFIO drivers, read when asked for.

        See :func:`nova_vfio_variant.host.observe.vfio.is_driver`.
        """
        return drivers.vfio_modules(self.tree, self.vfio_aliases)
