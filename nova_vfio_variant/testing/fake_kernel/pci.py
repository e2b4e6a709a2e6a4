# SPDX-License-Identifier: Apache-2.0
"""What the kernel answers to writes to PCI functions.

Each answer was measured on Linux 6.12; where the reason isn't plain, the
kernel's function is named.
"""

from __future__ import annotations

import contextlib
import errno
import pathlib
import re
import shutil
import typing as ty

from nova_vfio_variant.testing.fake_kernel import (
    drivers,
    functions,
    matching,
    mdev,
    vendor_vgpu,
    vfio,
)
from nova_vfio_variant.testing.fake_kernel import files as fake_files

_PAGE = 4096
_VIRTFN = re.compile(r"virtfn(\d+)")


class PciBus:
    """The PCI functions of one fake host.

    Every method wants the host's lock to be held.
    """

    def __init__(
        self,
        files: fake_files.Files,
        groups: vfio.Groups,
        mdevs: mdev.Core,
        vgpus: vendor_vgpu.VendorVgpus,
    ) -> None:
        self._files = files
        self._vgpus = vgpus
        self.drivers = drivers.Drivers(
            files, groups, mdevs, vgpus, self._remove_vfs
        )

    def write(self, parts: ty.Sequence[str], data: bytes) -> None:
        """Answer a write below ``sys/bus/pci``.

        :param parts: the path behind that
        :raises OSError: as the kernel does
        """
        text = data.decode(errors="replace").removesuffix("\n")
        match parts:
            case ["drivers_probe"]:
                self.drivers.probe(text)
            case ["rescan"]:
                if functions.number(text):
                    self.rescan()
            case ["drivers", name, attribute]:
                self.drivers.write(name, attribute, text)
            case ["devices", address, "driver", attribute]:
                driver = self._files.driver_of(self._there(address))
                self.drivers.write(driver, attribute, text)
            case ["devices", address, attribute]:
                place = self._there(address)
                if attribute != "remove" and not (place / attribute).exists():
                    raise fake_files.error(errno.ENOENT)
                self._write_attribute(place, attribute, data)
            case _:
                raise fake_files.error(errno.ENOENT)

    def _there(self, address: str) -> pathlib.Path:
        """A function whose file is opened.

        :raises OSError: ENOENT: it isn't there
        """
        try:
            return self._files.device(address)
        except OSError:
            raise fake_files.error(errno.ENOENT) from None

    # Attributes

    def _write_attribute(
        self, place: pathlib.Path, attribute: str, data: bytes
    ) -> None:
        text = data.decode(errors="replace").removesuffix("\n")
        if attribute == "driver_override":
            if not data:
                return
            if len(data) >= _PAGE - 1:
                raise fake_files.error(errno.EINVAL)
            name = text.partition("\n")[0]
            (place / attribute).write_text(f"{name or functions.UNSET}\n")
        elif attribute == "sriov_numvfs":
            self._set_numvfs(place, text)
        elif attribute == "sriov_drivers_autoprobe":
            flag = text[:1]
            if not flag or flag not in "01yYnNtTfF":
                raise fake_files.error(errno.EINVAL)
            (place / attribute).write_text("1\n" if flag in "1yYtT" else "0\n")
        elif attribute in {"remove", "reset"}:
            if functions.number(text):
                getattr(self, attribute)(place)
        else:
            raise fake_files.error(errno.EACCES)

    def _set_numvfs(self, place: pathlib.Path, text: str) -> None:
        """sriov_numvfs_store() in drivers/pci/iov.c."""
        files = self._files
        count = functions.number(text)
        if count > 0xFFFF:
            raise fake_files.error(errno.ERANGE)
        if count > int(files.text(place / "sriov_totalvfs")):
            raise fake_files.error(errno.ERANGE)
        with files.locked(place):
            now = int(files.text(place / "sriov_numvfs"))
            if count == now:
                return
            if not matching.makes_vfs(files, files.driver_of(place)):
                raise fake_files.error(errno.ENOENT)
            if not count:
                self._remove_vfs(place)
            elif now:
                raise fake_files.error(errno.EBUSY)
            else:
                self._make_vfs(place, count)

    def _make_vfs(self, pf: pathlib.Path, count: int) -> None:
        files = self._files
        self._vgpus.made_anew(pf)
        found = functions.MODALIAS.fullmatch(files.text(pf / "modalias"))
        if found is None:
            raise fake_files.error(errno.EIO)
        vendor, _, *class_code = (group.lower() for group in found.groups())
        device = f"{int(files.text(pf / 'sriov_vf_device'), 16):04x}"
        for number in range(count):
            place = pf.parent / functions.vf_name(files, pf, number)
            functions.make(
                files,
                place,
                f"{vendor}:{device}",
                int("".join(class_code), 16),
                numa_node=files.text(pf / "numa_node") or "-1",
            )
            files.link(place / "physfn", pf)
            files.link(pf / f"virtfn{number}", place)
            files.join_group(place, None)
            files.link(files.root / fake_files.DEVICES / place.name, place)
            if files.driver_of(pf) == matching.VFIO_PCI:
                # vfio_pci_bus_notifier(): nobody else may have them.
                files.put(place, driver_override=matching.VFIO_PCI)
            with contextlib.suppress(OSError):
                self.drivers.probe(place.name)
        files.put(pf, sriov_numvfs=count)

    def _remove_vfs(self, pf: pathlib.Path) -> None:
        """sriov_disable(): one by one, and the number at the end."""
        links = sorted(
            (int(found[1]), path)
            for path in pf.iterdir()
            if (found := _VIRTFN.fullmatch(path.name))
        )
        for _, link in links:
            place = pf.parent / link.readlink().name
            link.unlink()
            (place / "physfn").unlink(missing_ok=True)
            self._delete(place)
        self._vgpus.made_anew(pf)
        self._files.put(pf, sriov_numvfs=0)

    # Removal

    def reset(self, place: pathlib.Path) -> None:
        """Reset a function, which nothing shows of."""
        if not self._files.text(place / "reset_method"):
            raise fake_files.error(errno.ENOTTY)

    def remove(self, place: pathlib.Path) -> None:
        """Take a function away; a rescan finds it again."""
        for path in self._behind(place):
            self._files.memory.removed[path.name] = (
                str(path.relative_to(self._files.root)),
                self._files.group_of(path) or "",
            )
            self._delete(path)

    def _behind(self, place: pathlib.Path) -> list[pathlib.Path]:
        """A function and what stands behind it, the farthest first.

        VFs go with their PF, which comes after them, and don't count.
        """
        return sorted(
            (
                path
                for path in self._files.functions()
                if (path == place or place in path.parents)
                and not (path / "physfn").is_symlink()
            ),
            key=lambda path: len(path.parts),
            reverse=True,
        )

    def vanish(self, place: pathlib.Path) -> None:
        """Take a function away as if pulled out, whoever has it open."""
        if (place / "physfn").is_symlink():
            pf = place / "physfn"
            for link in pf.iterdir():
                if (
                    _VIRTFN.fullmatch(link.name)
                    and link.readlink().name == place.name
                ):
                    link.unlink()
            self._delete(place)
        for path in self._behind(place):
            self._delete(path)
            self._files.memory.cards.pop(path.name, None)

    def _delete(self, place: pathlib.Path) -> None:
        files = self._files
        self.drivers.release(place)
        files.leave_group(place)
        (files.root / fake_files.DEVICES / place.name).unlink()
        if place.name in files.memory.removed:
            kept = files.hidden / "removed" / place.name
            shutil.rmtree(kept, ignore_errors=True)
            kept.parent.mkdir(exist_ok=True)
            place.rename(kept)
        else:
            made = files.hidden / "made" / place.name
            shutil.rmtree(made, ignore_errors=True)
            shutil.rmtree(place)

    def rescan(self) -> None:
        """Find what was removed."""
        files = self._files
        found = files.memory.removed.items()
        # A bridge before what stands behind it.
        for name, (where, group) in sorted(
            found, key=lambda item: (len(item[1][0]), item)
        ):
            place = files.root / where
            (files.hidden / "removed" / name).rename(place)
            del files.memory.removed[name]
            files.put(place, driver_override=functions.UNSET)
            if (place / "sriov_totalvfs").exists():
                files.put(place, sriov_drivers_autoprobe=1)
            # What shares a group by where it stands finds it again.
            shared = group and files.members(group)
            files.join_group(place, int(group) if shared else None)
            files.link(files.root / fake_files.DEVICES / name, place)
            with contextlib.suppress(OSError):
                self.drivers.probe(name)
