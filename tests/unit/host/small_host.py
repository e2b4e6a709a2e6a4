# SPDX-License-Identifier: Apache-2.0
"""A host of a few functions that answers some writes as a kernel does."""

import errno
import os
import pathlib
import shutil
import typing as ty

from nova_vfio_variant.host import hands
from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.pci import address as pci_address

_NATURAL = {"8086:10c9": "igb", "8086:10ca": "igbvf", "8086:100e": "e1000"}
_VFIO = ("vfio-pci", "igbvf_vfio_pci")


class SmallHost:
    """All that there is stands in the directory."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        if (root / "sys").is_dir():
            return
        for name in ("igb", "igbvf", "e1000", "pcieport", "vfio-pci"):
            (root / "sys/bus/pci/drivers" / name).mkdir(parents=True)
        (root / "sys/bus/pci/devices").mkdir()
        (root / "sys/class/block").mkdir(parents=True)
        for place, text in {
            "proc/1/comm": "init",
            "proc/1/mountinfo": "",
            "proc/sys/kernel/osrelease": "6.12",
            "proc/sys/kernel/random/boot_id": "b1",
            "lib/modules/6.12/modules.dep": "k/igbvf_vfio_pci.ko: k/x.ko\n",
            "lib/modules/6.12/modules.alias": (
                "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
                "alias vfio_pci:v00008086d000010CAsv*sd*bc*sc*i* "
                "igbvf_vfio_pci\n"
            ),
        }.items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text(text)
        (root / "proc/1/fd").mkdir()

    def add(
        self, address: str, ids: str, group: int, vfs: int = 0, pf: str = ""
    ) -> None:
        place = self.root / "sys/devices" / address
        place.mkdir(parents=True)
        vendor, device = ids.upper().split(":")
        self._put(
            place,
            modalias=f"pci:v0000{vendor}d0000{device}sv00000000sd00000000"
            "bc02sc00i00",
            driver_override="(null)",
        )
        if vfs:
            self._put(
                place,
                sriov_totalvfs=vfs,
                sriov_numvfs=0,
                sriov_drivers_autoprobe=1,
                sriov_offset=0x80,
                sriov_stride=2,
                sriov_vf_device="10ca",
            )
        members = self.root / f"sys/kernel/iommu_groups/{group}/devices"
        members.mkdir(parents=True, exist_ok=True)
        (place / "iommu_group").symlink_to(
            f"../../kernel/iommu_groups/{group}"
        )
        if pf:
            (place / "physfn").symlink_to(f"../{pf}")
        (self.root / "sys/bus/pci/devices" / address).symlink_to(
            f"../../../devices/{address}"
        )

    def hands(self) -> hands.Hands:
        return hands.Hands(self.tree, self.write, self.modprobe)

    @property
    def tree(self) -> host_tree.HostTree:
        return host_tree.HostTree.open(str(self.root))

    def modprobe(self, name: str) -> None:
        (self.root / "sys/bus/pci/drivers" / name).mkdir(exist_ok=True)

    def write(self, rel: str, data: bytes) -> None:
        parts = rel.split("/")
        text = data.decode().strip()
        if parts[-1] == "drivers_probe":
            self._probe(self._device(text))
            return
        place = self._device(parts[4])
        if parts[-1] == "sriov_numvfs":
            self._numvfs(place, int(text))
        elif parts[-1] == "unbind":
            if not (place / "driver").is_symlink():
                raise _error(errno.ENOENT)
            self._unbind(place)
        elif parts[-1] == "driver_override":
            (place / "driver_override").write_text((text or "(null)") + "\n")
        else:
            (place / parts[-1]).write_text(text)

    def _device(self, address: str) -> pathlib.Path:
        place = self.root / "sys/devices" / address
        if not place.is_dir():
            raise _error(errno.ENODEV)
        return place

    def _put(self, place: pathlib.Path, **values: object) -> None:
        for name, value in values.items():
            (place / name).write_text(f"{value}\n")

    def _unbind(self, place: pathlib.Path) -> None:
        (place / "driver").unlink()
        shutil.rmtree(place / "vfio-dev", ignore_errors=True)

    def _probe(self, place: pathlib.Path) -> None:
        if (place / "driver").is_symlink():
            return
        name = (place / "driver_override").read_text().strip()
        if name == "(null)":
            text = (place / "modalias").read_text()
            name = _NATURAL.get(f"{text[9:13]}:{text[18:22]}".lower(), "")
            pf = place / "physfn"
            if (
                pf.is_symlink()
                and (pf / "sriov_drivers_autoprobe").read_text().strip() == "0"
            ):
                return
        if name and (self.root / "sys/bus/pci/drivers" / name).is_dir():
            (place / "driver").symlink_to(f"../../bus/pci/drivers/{name}")
            if name in _VFIO:
                (place / "vfio-dev").mkdir()

    def _numvfs(self, place: pathlib.Path, count: int) -> None:
        if not (place / "driver").is_symlink():
            raise _error(errno.ENOENT)
        now = int((place / "sriov_numvfs").read_text())
        if count > int((place / "sriov_totalvfs").read_text()):
            raise _error(errno.ERANGE)
        if now and count and now != count:
            raise _error(errno.EBUSY)
        if now == count:
            return
        base = pci_address.PciAddress.parse(place.name)
        for number in range(max(now, count)):
            rid = (base.bus << 8) + 0x80 + 2 * number
            name = f"0000:{rid >> 8:02x}:{rid >> 3 & 31:02x}.{rid & 7}"
            if count:
                self.add(name, "8086:10ca", rid, pf=place.name)
                (place / f"virtfn{number}").symlink_to(f"../{name}")
                if (place / "sriov_drivers_autoprobe").read_text()[0] == "1":
                    self._probe(self._device(name))
            else:
                (place / f"virtfn{number}").unlink()
                (self.root / "sys/bus/pci/devices" / name).unlink()
                shutil.rmtree(self.root / "sys/devices" / name)
        (place / "sriov_numvfs").write_text(f"{count}\n")


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def with_igb(root: pathlib.Path, vfs: int = 0) -> SmallHost:
    """One igb with seven possible VFs, and two e1000 behind a bridge."""
    host = SmallHost(root)
    host.add("0000:21:00.0", "8086:10c9", 1, vfs=7)
    host.add("0000:31:01.0", "8086:100e", 2)
    host.add("0000:31:02.0", "8086:100e", 2)
    for name in ("0000:21:00.0", "0000:31:01.0", "0000:31:02.0"):
        host.write("sys/bus/pci/drivers_probe", name.encode())
    if vfs:
        host.hands().set_numvfs("0000:21:00.0", vfs)
    return host


def picture(host: SmallHost) -> dict[str, ty.Any]:
    """All files and links."""
    found = {}
    for folder, names, files in os.walk(host.root / "sys"):
        for name in names + files:
            path = pathlib.Path(folder) / name
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            elif path.is_file():
                found[str(path)] = path.read_text().strip()
    return found
