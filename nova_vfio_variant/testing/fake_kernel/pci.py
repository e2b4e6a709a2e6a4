# SPDX-License-Identifier: Apache-2.0
"""What the kernel answers to writes to PCI functions and their drivers.

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

from nova_vfio_variant.testing.fake_kernel import files as fake_files
from nova_vfio_variant.testing.fake_kernel import (
    functions,
    matching,
    mdev,
    vfio,
)

_PAGE = 4096
_VIRTFN = re.compile(r"virtfn(\d+)")
#: What a driver makes below its function, and takes along when it goes.
_MADE_BY_DRIVERS = (
    "block",
    "drm",
    "graphics",
    "infiniband",
    "infiniband_verbs",
    "net",
    "nvme",
    "ptp",
)
#: Drivers that leave a PF its VFs when they let go of it: pci-pf-stub.c has no
#: remove(). All others that make VFs take them away.
_KEEPS_VFS = ("pci-pf-stub",)


class PciBus:
    """The PCI functions of one fake host, and their drivers.

    Every method wants the host's lock to be held.
    """

    def __init__(
        self,
        files: fake_files.Files,
        groups: vfio.Groups,
        mdevs: mdev.Mdevs,
    ) -> None:
        self._files = files
        self._groups = groups
        self._mdevs = mdevs

    def write(self, parts: ty.Sequence[str], data: bytes) -> None:
        """Answer a write below ``sys/bus/pci``.

        :param parts: the path behind that
        :raises OSError: as the kernel does
        """
        text = data.decode(errors="replace").removesuffix("\n")
        match parts:
            case ["drivers_probe"]:
                self._drivers_probe(text)
            case ["rescan"]:
                if functions.number(text):
                    self.rescan()
            case ["drivers", name, attribute]:
                self._write_driver(name, attribute, text)
            case ["devices", address, "driver", attribute]:
                driver = self._files.driver_of(self._there(address))
                self._write_driver(driver, attribute, text)
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

    # Drivers

    def _write_driver(
        self, name: str | None, attribute: str, text: str
    ) -> None:
        driver = self._files.memory.drivers.get(name or "")
        if name is None or driver is None or not driver.loaded:
            raise fake_files.error(errno.ENOENT)
        if attribute == "bind":
            place = self._files.device(text)
            if not matching.takes(self._files, name, driver, place):
                raise fake_files.error(errno.ENODEV)
            with self._files.locked(place):
                self._attach(place, name)
        elif attribute == "unbind":
            place = self._files.device(text)
            if self._files.driver_of(place) != name:
                raise fake_files.error(errno.ENODEV)
            self.release(place)
        elif attribute in ("new_id", "remove_id"):
            self._write_ids(name, driver, attribute, text)
        else:
            raise fake_files.error(errno.ENOENT)

    def _write_ids(
        self, name: str, driver: fake_files.Driver, attribute: str, text: str
    ) -> None:
        words = text.split()
        try:
            vendor, device = (int(word, 16) for word in words[:2])
        except ValueError:
            raise fake_files.error(errno.EINVAL) from None
        wanted = f"{vendor:04x}:{device:04x}"
        if attribute == "remove_id":
            if wanted not in driver.new_ids:
                raise fake_files.error(errno.ENODEV)
            driver.new_ids.remove(wanted)
            return
        if wanted in (*driver.ids, *driver.new_ids):
            raise fake_files.error(errno.EEXIST)
        driver.new_ids.append(wanted)
        self.attach_all(name)

    def attach_all(self, name: str) -> None:
        """Let a driver look at every function that has none."""
        driver = self._files.memory.drivers[name]
        for place in self._files.functions():
            if self._files.driver_of(place) is None and matching.takes(
                self._files, name, driver, place
            ):
                with contextlib.suppress(OSError):
                    self._attach(place, name)

    def _drivers_probe(self, text: str) -> None:
        place = self._files.device(text)
        if self._files.driver_of(place) or self._files.is_locked(place):
            # Its driver's name goes before the driver itself does.
            return
        with self._files.locked(place):
            for name, driver in self._files.memory.drivers.items():
                if driver.loaded and matching.takes(
                    self._files, name, driver, place
                ):
                    try:
                        self._attach(place, name)
                    except OSError as error:
                        # bus_rescan_devices_helper() forgets which error it
                        # was, and a probe that fails is none.
                        if error.errno == errno.EBUSY:
                            raise fake_files.error(errno.EINVAL) from None
                    return

    def _attach(self, place: pathlib.Path, name: str) -> None:
        """Give a function to a driver that matches.

        :raises OSError: EBUSY: it has one, or its group is a guest's;
            EINVAL: the driver refused; ENODEV: nothing is to be probed
        """
        files = self._files
        driver = files.memory.drivers[name]
        if files.driver_of(place) is not None:
            raise fake_files.error(errno.EBUSY)
        pf = place / "physfn"
        if (
            pf.is_symlink()
            and files.text(pf / "sriov_drivers_autoprobe") == "0"
            and files.text(place / "driver_override") in ("", functions.UNSET)
        ):
            raise fake_files.error(errno.ENODEV)
        group = files.group_of(place)
        if not (driver.vfio or name in vfio.HARMLESS) and (
            self._groups.is_open(group)
        ):
            raise fake_files.error(errno.EBUSY)
        if matching.refuses(files, name, driver, place):
            raise fake_files.error(errno.EINVAL)
        folder = files.root / fake_files.DRIVERS / name
        files.link(folder / place.name, place)
        files.link(place / "driver", folder)
        kept = files.hidden / "made" / place.name / name
        if kept.is_dir():
            for made in sorted(kept.iterdir()):
                made.rename(place / made.name)
        if driver.vfio:
            self._groups.appear(place)
            if (place / "sriov_totalvfs").exists():
                files.memory.tokens[place.name] = ""
        self._mdevs.driver_came(place, name)

    def release(self, place: pathlib.Path) -> None:
        """Take a function from its driver; waits while a guest has it."""
        files = self._files
        name = files.driver_of(place)
        with files.locked(place):
            if name is None:
                # Whoever took its driver off is done with it now.
                return
            (place / "driver").unlink()
            (files.root / fake_files.DRIVERS / name / place.name).unlink(
                missing_ok=True
            )
            if files.memory.drivers[name].vfio:
                self._groups.vanish(place)
                files.wait_while(
                    lambda: self._groups.device_is_open(place.name)
                )
            self._mdevs.driver_goes(place, name)
            files.memory.tokens.pop(place.name, None)
            kept = files.hidden / "made" / place.name / name
            for one in _MADE_BY_DRIVERS:
                if (place / one).is_dir():
                    kept.mkdir(parents=True, exist_ok=True)
                    (place / one).rename(kept / one)
            if name not in _KEEPS_VFS and (
                files.text(place / "sriov_numvfs") not in ("", "0")
            ):
                self._remove_vfs(place)

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
        elif attribute == "remove":
            if functions.number(text):
                self.remove(place)
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
        found = functions.MODALIAS.fullmatch(files.text(pf / "modalias"))
        if found is None:
            raise fake_files.error(errno.EIO)
        vendor, _, *class_code = (one.lower() for one in found.groups())
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
                self._drivers_probe(place.name)
        files.put(pf, sriov_numvfs=count)

    def _remove_vfs(self, pf: pathlib.Path) -> None:
        """sriov_disable(): one by one, and the number at the end."""
        links = sorted(
            (int(found[1]), one)
            for one in pf.iterdir()
            if (found := _VIRTFN.fullmatch(one.name))
        )
        for _, link in links:
            place = pf.parent / link.readlink().name
            link.unlink()
            (place / "physfn").unlink(missing_ok=True)
            self._delete(place)
        self._files.put(pf, sriov_numvfs=0)

    # Removal

    def remove(self, place: pathlib.Path) -> None:
        """Take a function away; a rescan finds it again."""
        for one in self._behind(place):
            self._files.memory.removed[one.name] = (
                str(one.relative_to(self._files.root)),
                self._files.group_of(one) or "",
            )
            self._delete(one)

    def _behind(self, place: pathlib.Path) -> list[pathlib.Path]:
        """A function and what stands behind it, the farthest first.

        VFs go with their PF, which comes after them, and don't count.
        """
        return sorted(
            (
                one
                for one in self._files.functions()
                if (one == place or place in one.parents)
                and not (one / "physfn").is_symlink()
            ),
            key=lambda one: len(one.parts),
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
        for one in self._behind(place):
            self._delete(one)

    def _delete(self, place: pathlib.Path) -> None:
        files = self._files
        self.release(place)
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
            found, key=lambda one: (len(one[1][0]), one)
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
                self._drivers_probe(name)
