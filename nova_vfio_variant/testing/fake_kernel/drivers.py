# SPDX-License-Identifier: Apache-2.0
"""What the kernel answers to writes to drivers: who binds what, and when.

Each answer was measured on Linux 6.12; where the reason isn't plain, the
kernel's function is named.
"""

from __future__ import annotations

import contextlib
import errno
import pathlib
import shutil
import typing as ty

from nova_vfio_variant.testing.fake_kernel import files as fake_files
from nova_vfio_variant.testing.fake_kernel import (
    functions,
    matching,
    mdev,
    vendor_vgpu,
    vfio,
)

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


class Drivers:
    """The PCI drivers of one fake host.

    Every method wants the host's lock to be held.

    :param remove_vfs: takes a PF's VFs away, which most drivers do when they
        let go of it
    """

    def __init__(
        self,
        files: fake_files.Files,
        groups: vfio.Groups,
        mdevs: mdev.Core,
        vgpus: vendor_vgpu.VendorVgpus,
        remove_vfs: ty.Callable[[pathlib.Path], None],
    ) -> None:
        self._files = files
        self._groups = groups
        self._mdevs = mdevs
        self._vgpus = vgpus
        self._remove_vfs = remove_vfs

    def write(self, name: str | None, attribute: str, text: str) -> None:
        """Answer a write to a driver's file.

        :raises OSError: as the kernel does
        """
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

    def unload(self, name: str) -> None:
        """Take a driver from all its functions, and show it no longer."""
        for place in self._files.functions():
            if self._files.driver_of(place) == name:
                self.release(place)
        driver = self._files.memory.drivers[name]
        driver.loaded = False
        driver.new_ids.clear()
        shutil.rmtree(self._files.root / fake_files.DRIVERS / name)

    def probe(self, text: str) -> None:
        """Let all drivers look at a function (``drivers_probe``).

        :raises OSError: as the kernel does
        """
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
        gives = driver.vfio or self._vgpus.gives(place, name)
        if not (gives or name in vfio.HARMLESS) and (
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
        if gives:
            self._groups.appear(place)
            if (place / "sriov_totalvfs").exists():
                files.memory.tokens[place.name] = ""
        self._mdevs.driver_came(place, name)
        self._vgpus.came(place, name)

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
            self._vgpus.goes(place)
            if self._groups.is_vfio(place):
                self._groups.vanish(place)
                files.wait_while(
                    lambda: self._groups.device_is_open(place.name)
                )
            self._vgpus.gone(place)
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
