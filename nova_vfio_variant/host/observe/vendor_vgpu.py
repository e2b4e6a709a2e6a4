# SPDX-License-Identifier: Apache-2.0
"""A vendor's vGPU folder of a VF: ``nvidia/`` below its sysfs folder.

NVIDIA's vGPU 17 and newer, on kernels with VFIO variant drivers. The list of
types shrinks as siblings are given theirs, so that it is no catalogue; what
stands in it depends on the driver's version: a header and rows, rows without
a header, the header alone, nothing at all. A VF that has a type shows none.
"""

from __future__ import annotations

import dataclasses
import re
import typing as ty

from nova_vfio_variant.host.tree import paths

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.pci import address as pci_address

#: The folder, below the VF's.
FOLDER: ty.Final = "nvidia"
#: What has its type's id, below the VF's folder.
CURRENT: ty.Final = f"{FOLDER}/current_vgpu_type"
#: The id of no type.
NONE: ty.Final = "0"

_HEADER: ty.Final = re.compile(r"ID\s*:\s*vGPU Name", re.IGNORECASE)
_ROW: ty.Final = re.compile(r"([0-9]{1,10})\s*:\s*(\S.*)")


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class VgpuType:
    """A type that a VF can be given.

    :param id: a number as the driver writes it, without leading zeros
    :param name: as the driver writes it: text of others
    :param framebuffer_mib: None where nobody told
    """

    id: str
    name: str
    framebuffer_mib: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class VendorVgpu:
    """What a vendor's folder of a VF says of its vGPU.

    :param current: the id of its type, ``0`` for none; None if it can't be
        read, or makes no sense
    :param types: those that it could be given now; None where it doesn't say
    :param garbled: the first line of the list that makes no sense, and its
        number from 1; None if all do
    """

    current: str | None
    types: tuple[VgpuType, ...] | None = None
    garbled: tuple[int, str] | None = None

    @property
    def creatable(self) -> tuple[str, ...] | None:
        """Ids of the types that it could be given now."""
        if self.types is None:
            return None
        return tuple(offered.id for offered in self.types)

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Id and name of each of those."""
        return tuple(
            (offered.id, offered.name) for offered in self.types or ()
        )

    @property
    def is_full(self) -> bool:
        """Whether its card has room for no other vGPU.

        A VF that has a type doesn't tell: some drivers list nothing there.
        """
        return (
            self.current == NONE and self.types == () and self.garbled is None
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """What a vendor's tool told of a card.

    :param framebuffer_mib: what all of its vGPUs share; None if not told
    :param sizes: framebuffer of a type in MiB, by its id
    :param max_instances: how many of a type the empty card takes, by its id
    :param names: of all types that it has, whatever it holds, by id
    """

    framebuffer_mib: int | None = None
    sizes: ty.Mapping[str, int] = dataclasses.field(default_factory=dict)
    max_instances: ty.Mapping[str, int] = dataclasses.field(
        default_factory=dict
    )
    names: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)


NOTHING_TOLD: ty.Final = Told()


def parse_listing(
    text: str,
) -> tuple[tuple[VgpuType, ...], tuple[int, str] | None]:
    """Read ``creatable_vgpu_types``, in each form that drivers print.

    :returns: the types in the order in which they stand, and the first line
        that is neither header nor row, with its number
    """
    found: dict[str, VgpuType] = {}
    garbled = None
    for number, line in enumerate(text.split("\n"), 1):
        row = _ROW.fullmatch(line.strip())
        if row is not None and int(row[1]):
            name = str(int(row[1]))
            found.setdefault(name, VgpuType(name, row[2]))
        elif line.strip() and not _HEADER.fullmatch(line.strip()):
            garbled = garbled or (number, line)
    return tuple(found.values()), garbled


def parse_current(text: str | None) -> str | None:
    """Read ``current_vgpu_type``: an id; None if it is none."""
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    return str(int(text))


def read_current(
    tree: host_tree.HostTree, address: pci_address.PciAddress
) -> str | None:
    """The id of the type of a VF that has the folder; see :class:`VendorVgpu`.

    Raises nothing.
    """
    return parse_current(
        tree.read_text(f"{paths.DEVICES}/{address}/{CURRENT}")
    )


def read(
    tree: host_tree.HostTree, address: pci_address.PciAddress
) -> VendorVgpu:
    """What stands in the folder of a VF that has one. Raises nothing."""
    current = read_current(tree, address)
    listed = tree.read_text(
        f"{paths.DEVICES}/{address}/{FOLDER}/creatable_vgpu_types"
    )
    if listed is None:
        return VendorVgpu(current)
    return VendorVgpu(current, *parse_listing(listed))
