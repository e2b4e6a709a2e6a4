# SPDX-License-Identifier: Apache-2.0
"""The kernel of a fake host: what it has loaded, and who answers a write."""

from __future__ import annotations

import errno
import os
import pathlib
import typing as ty

from nova_vfio_variant.host.observe import drivers as host_drivers
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.testing.fake_kernel import files as fake_files
from nova_vfio_variant.testing.fake_kernel import (
    functions,
    mdev,
    pci,
    vendor_vgpu,
    vfio,
)

RELEASE: ty.Final = "6.12"
MODULES: ty.Final = f"lib/modules/{RELEASE}"
_DIRECTORIES = (
    fake_files.MEMORY,
    fake_files.DEVICES,
    fake_files.DRIVERS,
    "proc/1/fd",
    "sys/bus/mdev/devices",
    "sys/bus/mdev/drivers",
    "sys/class/block",
    "sys/class/mdev_bus",
    "sys/class/vfio-dev",
    "sys/devices",
    "sys/kernel/iommu_groups",
    "sys/module/vfio_pci/parameters",
)
_TEXTS = {
    "proc/1/comm": "init\n",
    "proc/1/mountinfo": "",
    "proc/cmdline": "intel_iommu=on\n",
    "proc/sys/kernel/osrelease": f"{RELEASE}\n",
    "proc/sys/kernel/random/boot_id": "fake-boot\n",
    "sys/bus/pci/drivers_probe": "",
    "sys/bus/pci/rescan": "",
    "sys/module/vfio_pci/parameters/enable_sriov": "N\n",
}


class Kernel:
    """The kernel of one fake host.

    :param root: the host's directory
    """

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.files = fake_files.Files(root)
        self.groups = vfio.Groups(self.files)
        self.mdevs = mdev.Core(self.files, self.groups)
        self.vgpus = vendor_vgpu.VendorVgpus(self.files, self.groups)
        self.pci = pci.PciBus(self.files, self.groups, self.mdevs, self.vgpus)
        if not self.files.hidden.is_dir():
            self._begin()

    def write(self, rel: str, data: bytes) -> None:
        """Answer a write.

        :raises OSError: as the kernel does
        """
        if self.groups.any_open():
            # It may have to wait, and whoever waits there can't be killed.
            self.files.apart(lambda: self._write(rel, data))
        else:
            self._write(rel, data)

    def _write(self, rel: str, data: bytes) -> None:
        with self.files.held():
            parts = rel.split("/")
            if self.mdevs.write(rel, data) or self.vgpus.write(rel, data):
                return
            if parts[:3] == ["sys", "bus", "pci"]:
                self.pci.write(parts[3:], data)
                return
            path = pathlib.Path(os.path.realpath(self.root / rel))
            function = self.root / fake_files.DEVICES / path.parent.name
            if os.path.realpath(function) == str(path.parent):
                address = path.parent.name
                self.pci.write(["devices", address, path.name], data)
            elif not path.exists():
                raise fake_files.error(errno.ENOENT)
            elif parts[-2:-1] == ["parameters"]:
                flag = data.decode().strip()
                known = {"1": "Y", "y": "Y", "0": "N", "n": "N"}
                path.write_text(f"{known.get(flag, flag)}\n")
            else:
                raise fake_files.error(errno.EACCES)

    def modprobe(self, name: str) -> None:
        """Load a module.

        :raises OSError: there is none such
        """
        module = name.replace("-", "_")
        with self.files.held() as memory:
            if f"kernel/{module}.ko:" not in self._lines("modules.dep"):
                raise OSError(
                    0,
                    f"modprobe: FATAL: Module {name} not found in directory "
                    f"/{MODULES}",
                )
            for own_name, driver in memory.drivers.items():
                if driver.module == module and not driver.loaded:
                    self.load(own_name)
            for address, parent in memory.parents.items():
                shown = self.root / "sys/class/mdev_bus" / address
                if (
                    parent.driver == module
                    and not parent.of
                    and not shown.is_symlink()
                ):
                    self.mdevs.register(address)

    def rmmod(self, name: str) -> None:
        """Unload a module, which waits for whoever has a function open."""
        with self.files.held() as memory:
            for address, parent in memory.parents.items():
                if parent.driver == name:
                    self.mdevs.unregister(address)
            for own_name, driver in memory.drivers.items():
                if driver.module == name and driver.loaded:
                    self.pci.drivers.unload(own_name)

    def load(self, name: str) -> None:
        """Show a driver, and let it look at all functions."""
        self.files.memory.drivers[name].loaded = True
        (self.root / fake_files.DRIVERS / name).mkdir(exist_ok=True)
        self.pci.drivers.attach_all(name)

    def can_load(self, module: str, ids: ty.Iterable[str] = ()) -> None:
        """Put a module among those of the kernel.

        :param ids: of the functions that its driver takes by itself
        """
        self.line("modules.dep", f"kernel/{module}.ko:")
        for known in ids:
            self.line(
                "modules.alias", f"alias {functions.alias(known)} {module}"
            )

    def line(self, file: str, line: str) -> None:
        """Put a line into a file of the kernel's modules."""
        if line not in self._lines(file):
            with (self.root / MODULES / file).open("a") as out:
                out.write(f"{line}\n")

    def _lines(self, file: str) -> list[str]:
        return (self.root / MODULES / file).read_text().splitlines()

    def _begin(self) -> None:
        """Make what every host has."""
        for name in _DIRECTORIES:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name, text in _TEXTS.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(text)
        release = self.files.text(self.root / "proc/sys/kernel/osrelease")
        modules = self.root / "lib/modules"
        (modules / release).mkdir(parents=True, exist_ok=True)
        if release != RELEASE:
            (modules / RELEASE).symlink_to(release)
        for name in ("modules.dep", "modules.alias"):
            (modules / release / name).touch()
        self.files.save()

    def learn(self) -> None:
        """Know the drivers that a recording shows."""
        with self.files.held() as memory:
            drivers = memory.drivers
            for name in sorted(os.listdir(self.root / fake_files.DRIVERS)):
                drivers[name] = fake_files.Driver(
                    name.replace("-", "_"), vfio=name == "vfio-pci"
                )
            for place in self.files.functions():
                name = self.files.driver_of(place) or ""
                if name in drivers:
                    self._learn_from(place, drivers[name])
            tree = opening.open_tree(str(self.root))
            for _, module in host_drivers.read_aliases(tree, RELEASE):
                same = [
                    driver
                    for driver in drivers
                    if host_drivers.same_name(driver, module)
                ]
                for name in same:
                    drivers[name].vfio = True
                if not same:
                    drivers[module] = fake_files.Driver(
                        module, vfio=True, loaded=False
                    )
            for driver in drivers.values():
                self.can_load(driver.module, driver.ids)

    def _learn_from(
        self, place: pathlib.Path, driver: fake_files.Driver
    ) -> None:
        """What one function tells of its driver."""
        files = self.files
        if self.groups.is_vfio(place):
            driver.vfio = True
            if (place / "sriov_totalvfs").exists():
                files.memory.tokens[place.name] = ""
            for path in place.glob("vfio-dev/vfio*"):
                shown = self.root / "sys/class/vfio-dev" / path.name
                if not shown.is_symlink():
                    files.link(shown, path)
            return
        driver.makes_vfs |= (place / "sriov_totalvfs").exists()
        found = functions.MODALIAS.fullmatch(files.text(place / "modalias"))
        override = files.text(place / "driver_override")
        if found is not None and override in ("", functions.UNSET):
            mine = f"{found[1]}:{found[2]}".lower()
            if mine not in driver.ids:
                driver.ids.append(mine)
