# SPDX-License-Identifier: Apache-2.0
"""The folder ``nvidia/`` of each VF of a card that makes vGPUs.

It comes with the vendor's driver and goes with it, and the type with it, as a
driver's ``dev_groups`` do; which types a VF shows depends on its siblings.
"""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
import stat

from nova_vfio_variant.testing.fake_kernel import files as fake_files
from nova_vfio_variant.testing.fake_kernel import vfio, vgpu_card

FOLDER = "nvidia"
_TYPE, _LIST = "current_vgpu_type", "creatable_vgpu_types"
_PARAMETERS = "vgpu_params"
#: Those that can't be read while a VF has no type (reported by CubeCOS).
_OF_A_TYPE = ("gpu_instance_id", "placement_id")


class VendorVgpus:
    """The vendor's vGPUs of one fake host; every method wants its lock."""

    def __init__(self, files: fake_files.Files, groups: vfio.Groups) -> None:
        self._files = files
        self._groups = groups

    def add(self, pf: pathlib.Path, card: vgpu_card.VgpuCard) -> None:
        """Let a PF's VFs have vGPUs, those that are there too."""
        self._files.memory.cards[pf.name] = card
        for link in sorted(pf.glob("virtfn*")):
            vf = self._files.device(link.readlink().name)
            if self.gives(vf, self._files.driver_of(vf)):
                if not self._groups.is_vfio(vf):
                    self._groups.appear(vf)
                self.came(vf, card.driver)

    def gives(self, place: pathlib.Path, driver: str | None) -> bool:
        """Whether a function is a VF that this driver gives to guests."""
        card = self._files.memory.card_of(place)
        return card is not None and card.driver == driver

    def came(self, place: pathlib.Path, driver: str | None) -> None:
        """A function was bound."""
        card = self._files.memory.card_of(place)
        if card is None or card.driver != driver:
            return
        card.vgpus[place.name] = vgpu_card.NONE
        folder = place / FOLDER
        folder.mkdir(exist_ok=True)
        self._files.put(folder, vgpu_params="", warm_update="0")
        self._show(card)

    def goes(self, place: pathlib.Path) -> None:
        """A function loses its driver: its folder goes at once."""
        if self._files.memory.card_of(place) is not None:
            shutil.rmtree(place / FOLDER, ignore_errors=True)

    def gone(self, place: pathlib.Path) -> None:
        """It has lost it, and its type, and whoever had it open is gone."""
        card = self._files.memory.card_of(place)
        if card is not None and place.name in card.vgpus:
            del card.vgpus[place.name]
            card.wedged.append(place.name)
            self._show(card)

    def made_anew(self, pf: pathlib.Path) -> None:
        """A PF's VFs are made, or are gone: what it was set to is over."""
        card = self._files.memory.cards.get(pf.name)
        if card is not None:
            card.heterogeneous = False
            card.wedged.clear()

    def write(self, rel: str, data: bytes) -> bool:
        """Answer a write, if it is for a file in such a folder.

        :returns: whether it is
        :raises OSError: as the driver does
        """
        path = pathlib.Path(rel)
        if path.parent.name != FOLDER:
            return False
        real = os.path.realpath(self._files.root / path.parent.parent)
        place = pathlib.Path(real)
        card = self._files.memory.card_of(place)
        if card is None:
            return False
        if not (place / FOLDER / path.name).exists():
            raise fake_files.error(errno.ENOENT)
        text = data.decode(errors="replace").removesuffix("\n")
        is_open = self._groups.device_is_open(place.name)
        if path.name == _TYPE:
            card.set(place.name, text, is_open=is_open)
            self._show(card)
        elif path.name == _PARAMETERS:
            self._files.put(place / FOLDER, vgpu_params=text.strip())
        else:
            # The list has no store(); of the others nobody reports one.
            raise fake_files.error(errno.EACCES)
        return True

    def set_heterogeneous(self, pf: str, flag: bool) -> None:
        """What ``nvidia-smi vgpu -shm`` asks for.

        :raises OSError: EBUSY: a vGPU is there; ENODEV: there is no such card
        """
        card = self._files.memory.cards.get(pf)
        if card is None:
            raise fake_files.error(errno.ENODEV)
        if card.made:
            raise fake_files.error(errno.EBUSY)
        card.heterogeneous = flag
        self._show(card)

    def _show(self, card: vgpu_card.VgpuCard) -> None:
        """What one VF has changes what its siblings are offered."""
        for address, kind in card.vgpus.items():
            folder = self._files.device(address) / FOLDER
            if not folder.is_dir():
                continue  # Somebody still waits for its guest.
            (folder / _LIST).write_text(card.listed(address))
            self._files.put(folder, current_vgpu_type=kind)
            for name in _OF_A_TYPE:
                _show_if(folder / name, kind != vgpu_card.NONE)


def _show_if(path: pathlib.Path, is_typed: bool) -> None:
    """A file that says 0; a socket, which opens with ENXIO too, if not so."""
    path.unlink(missing_ok=True)
    if is_typed:
        path.write_text("0\n")
    else:
        os.mknod(path, stat.S_IFSOCK | 0o644)
