# SPDX-License-Identifier: Apache-2.0
"""A card's vGPUs as a vendor's driver counts, lists and refuses them.

It is our model, made from public facts; no hardware was asked. That one size of
framebuffer is enough, where the posted driver wants one type, was reported of
the proprietary one (bigstack-oss/cubecos #1316).
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import typing as ty

#: How ``creatable_vgpu_types`` is printed. ``header``: header and rows, the
#: header alone where nothing fits (harvester/pcidevices has a recording).
#: ``headerless``: rows alone, and nothing at all where nothing fits (the
#: README of KubeVirt's GPU plug-in). ``rfc``: header and rows until the card
#: has its first vGPU, then its type alone, nothing at all for a full card and
#: for a VF that has a type (the posted driver).
Listing = ty.Literal["header", "headerless", "rfc"]
#: How a write is refused. ``posted``: by the driver that NVIDIA posted and
#: nobody merged (``vfio_sysfs.c`` of the vgpu-vfio series, June 2025).
#: ``published``: by the sources that come with its own module
#: (``nvidia-vgpu-vfio``, 2022), to which all is EIO that the firmware refuses,
#: and EPERM to take a type from who has none, or to give who has one another.
Errors = ty.Literal["posted", "published"]
NONE: ty.Final = "0"
_HEADER = "ID    : vGPU Name\n"
_MOST = {"posted": 2**32 - 1, "published": 2**63 - 1}


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@dataclasses.dataclass
class VgpuCard:
    """A PF whose VFs can be given types of vGPU.

    :param driver: the vendor's; VFs on it have the folder
    :param types: name and framebuffer in MiB of each, by id
    :param framebuffer_mib: what there is to share out
    :param listing: how the list is printed
    :param heterogeneous: several sizes may stand side by side
    :param mig: MIG is on, and no GPU instance there: EIO for each type
        (reported by CubeCOS, of the proprietary driver)
    :param errors: how a write is refused
    :param vgpus: the type of each VF on the driver, by address
    :param wedged: VFs that left the driver: they take no guest any more
    """

    driver: str
    types: dict[str, tuple[str, int]]
    framebuffer_mib: int
    listing: Listing = "header"
    heterogeneous: bool = False
    mig: bool = False
    errors: Errors = "posted"
    vgpus: dict[str, str] = dataclasses.field(default_factory=dict)
    wedged: list[str] = dataclasses.field(default_factory=list)

    @property
    def made(self) -> list[str]:
        """The types of all vGPUs that there are."""
        return [kind for kind in self.vgpus.values() if kind != NONE]

    def creatable(self) -> list[str]:
        """Ids of the types that a free VF could be given now."""
        return [
            kind
            for kind in self.types
            if not self.mig and self._suits(kind) and self._fits(kind)
        ]

    def _fits(self, kind: str) -> bool:
        used = sum(self.types[made][1] for made in self.made)
        return used + self.types[kind][1] <= self.framebuffer_mib

    def _suits(self, kind: str) -> bool:
        """Whether it may stand beside those that there are."""
        if self.heterogeneous or not self.made:
            return True
        if self.listing == "rfc":
            return kind in self.made
        sizes = {self.types[made][1] for made in self.made}
        return self.types[kind][1] in sizes

    def listed(self, address: str) -> str:
        """What a VF's list says."""
        if self.listing == "rfc" and self.vgpus[address] != NONE:
            return ""
        width = 0 if self.listing == "headerless" else 5
        rows = "".join(
            f"{kind:<{width}} : {self.types[kind][0]}\n"
            for kind in self.creatable()
        )
        bare = self.made if self.listing == "rfc" else width == 0
        return rows if bare else _HEADER + rows

    def set(self, address: str, text: str, *, is_open: bool) -> None:
        """Answer a write of a VF's type.

        :raises OSError: as the driver does
        """
        signs = "+" if self.errors == "posted" else "+-"
        if not re.fullmatch(rf"[{signs}]?[0-9]+", text):
            raise _error(errno.EINVAL)
        if int(text) > _MOST[self.errors]:
            raise _error(errno.ERANGE)
        kind, now = str(int(text)), self.vgpus[address]
        if self.errors == "posted":
            if is_open:
                raise _error(errno.EBUSY)
            if kind not in (NONE, now):
                self._check(kind, now)
        elif (kind == NONE) == (now == NONE) or is_open:
            raise _error(errno.EPERM)
        elif kind not in (NONE, *self.creatable()):
            raise _error(errno.EIO)
        self.vgpus[address] = kind

    def _check(self, kind: str, now: str) -> None:
        """What the posted driver says.

        :raises OSError: a VF of this type can't be given that one
        """
        if kind not in self.types:
            raise _error(errno.ENODEV)
        if self.mig:
            raise _error(errno.EIO)
        if now != NONE or not self._suits(kind):
            raise _error(errno.EINVAL)
        if not self._fits(kind):
            raise _error(errno.ENOSPC)

    def opens(self, address: str) -> None:
        """A guest is to open a VF.

        :raises OSError: ENODEV: it has no type, or is wedged
        """
        if address in self.wedged or self.vgpus.get(address, NONE) == NONE:
            raise _error(errno.ENODEV)
