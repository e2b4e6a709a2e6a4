# SPDX-License-Identifier: Apache-2.0
"""Trees shaped as those of machines that nobody here has."""

import collections.abc
import os
import pathlib
import typing as ty

_BUS = "sys/bus/pci/devices"


class Machine:
    """A host that is made of files, function by function.

    :param root: an empty directory
    :param groups: whether its functions have IOMMU groups
    :param release: as ``uname -r`` prints it
    """

    def __init__(
        self, root: pathlib.Path, *, groups: bool = True, release: str = "6.12"
    ) -> None:
        self.root = root
        self._groups = groups
        self.put("proc/sys/kernel/osrelease", release)
        self.put("proc/cmdline", "quiet")
        self.put("proc/modules", "igb 1 0 - Live 0x0")
        (root / _BUS).mkdir(parents=True)

    def put(self, path: str, text: str) -> None:
        """Make a file."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n")

    def link(self, path: str, target: str) -> None:
        """Make a link as sysfs has them."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(self.root / target, place.parent))

    def add(
        self,
        name: str,
        ids: str,
        class_code: str = "020000",
        *,
        modalias: collections.abc.Callable[[str], str] = str,
        driver: str | None = None,
        group: int | None = None,
        pf: str | None = None,
        **facts: object,
    ) -> str:
        """A function.

        :param ids: vendor, product, and those of the subsystem
        :param modalias: how this kernel writes one
        :param group: a group that it shares; one of its own if None
        :param pf: of a VF
        :param facts: more files
        :returns: its directory below the root
        """
        place = f"sys/devices/pci{name.rpartition(':')[0]}/{name}"
        vendor, product, *more = ids.split(":")
        subvendor, subdevice = more or ("0000", "0000")
        v, d, sv, sd, code = (
            one.upper()
            for one in (vendor, product, subvendor, subdevice, class_code)
        )
        text = (
            f"pci:v0000{v}d0000{d}sv0000{sv}sd0000{sd}"
            f"bc{code[:2]}sc{code[2:4]}i{code[4:]}"
        )
        self.put(f"{place}/modalias", modalias(text))
        self.put(f"{place}/vendor", f"0x{vendor}")
        self.put(f"{place}/device", f"0x{product}")
        self.put(f"{place}/class", f"0x{class_code}")
        self.put(f"{place}/subsystem_vendor", f"0x{subvendor}")
        self.put(f"{place}/subsystem_device", f"0x{subdevice}")
        for fact, value in facts.items():
            self.put(f"{place}/{fact}", str(value))
        self.link(f"{_BUS}/{name}", place)
        if driver is not None:
            self.link(f"{place}/driver", f"sys/bus/pci/drivers/{driver}")
            self.link(f"sys/bus/pci/drivers/{driver}/{name}", place)
        if self._groups:
            if group is None:
                group = len(os.listdir(self.root / _BUS)) + 1000
            home = f"sys/kernel/iommu_groups/{group}"
            self.link(f"{place}/iommu_group", home)
            self.link(f"{home}/devices/{name}", place)
        if pf is not None:
            home = os.path.relpath(
                os.path.realpath(self.root / _BUS / pf),
                os.path.realpath(self.root),
            )
            number = len(list((self.root / home).glob("virtfn*")))
            self.link(f"{place}/physfn", home)
            self.link(f"{home}/virtfn{number}", place)
        return place


def ten_domains(root: pathlib.Path) -> None:
    """A large server: each root complex is a domain, with the same buses."""
    machine = Machine(root)
    for domain in range(10):
        at = f"{domain:04x}"
        node = domain // 5
        common: dict[str, ty.Any] = {
            "numa_node": node,
            "driver_override": "(null)",
        }
        machine.add(f"{at}:00:00.0", "8086:09a2", "060000", **common)
        machine.add(
            f"{at}:15:01.0", "8086:352a", "060400", driver="pcieport", **common
        )
        pf = machine.add(
            f"{at}:16:00.0",
            "8086:1592:8086:0002",
            driver="ice",
            sriov_totalvfs=128,
            sriov_numvfs=4,
            sriov_offset=8,
            sriov_stride=1,
            sriov_vf_device="1889",
            **common,
        )
        (root / pf / f"net/ens{domain}f0").mkdir(parents=True)
        for number in range(4):
            vf = machine.add(
                f"{at}:16:01.{number}",
                "8086:1889:8086:0000",
                driver="vfio-pci" if number else "iavf",
                pf=f"{at}:16:00.0",
                **common,
            )
            if number:
                (root / vf / f"vfio-dev/vfio{domain * 4 + number}").mkdir(
                    parents=True
                )


def long_domains(root: pathlib.Path) -> None:
    """Domains of more than 16 bits: disks behind VMD, cards of a cloud."""
    machine = Machine(root)
    machine.add("0000:00:0e.0", "8086:467f", "010400", driver="vmd")
    for domain in ("10000", "10001", "7ffffffe"):
        machine.add(f"{domain}:e0:00.0", "8086:09ab", "088000")
        machine.add(
            f"{domain}:e0:06.0", "8086:464d", "060400", driver="pcieport"
        )
        machine.add(
            f"{domain}:e1:00.0",
            "144d:a80a:144d:a801",
            "010802",
            driver="nvme",
            sriov_totalvfs=2,
            sriov_offset=1,
            sriov_stride=1,
            sriov_vf_device="a80a",
        )
        machine.add(
            f"{domain}:e1:00.1",
            "144d:a80a:144d:a801",
            "010802",
            pf=f"{domain}:e1:00.0",
        )
    machine.add("c05e:00:02.0", "15b3:1016", driver="mlx5_core")


def ppc64_without_groups(root: pathlib.Path) -> None:
    """POWER: domains per bridge, node 8, and no IOMMU group at all."""
    machine = Machine(root, groups=False, release="5.14.0-1.el9.ppc64le")
    for domain in range(6):
        at = f"{domain:04x}"
        machine.add(f"{at}:00:00.0", "1014:04c1", "060400", driver="pcieport")
        machine.add(
            f"{at}:01:00.0",
            "15b3:1019:1014:0617",
            "020700",
            driver="mlx5_core",
            numa_node=8 if domain > 2 else 0,
            sriov_totalvfs=8,
            sriov_numvfs=0,
            sriov_offset=2,
            sriov_stride=1,
            sriov_vf_device="101a",
            driver_override="(null)",
        )
    machine.add("0030:01:00.0", "10de:1db6", "030200", numa_node=255)


def no_pci(root: pathlib.Path) -> None:
    """A kernel that was built without PCI."""
    for bus in ("cpu", "platform", "virtio"):
        (root / f"sys/bus/{bus}/devices").mkdir(parents=True)
    for path, text in {
        "proc/sys/kernel/osrelease": "6.1.0-s390x",
        "proc/cmdline": "root=/dev/dasda1",
        "proc/modules": "",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{text}\n")


def old_kernel(root: pathlib.Path) -> None:
    """Linux 3.10: lower-case digits, no override, VFs known by links alone."""
    machine = Machine(root, release="3.10.0-1160.el7.x86_64")

    def old(text: str) -> str:
        head, letter, interface = text.rpartition("i")
        return f"{head}{letter}{interface.lower()}"

    old_facts: dict[str, ty.Any] = {"modalias": old, "numa_node": -1}
    machine.add("0000:00:00.0", "8086:2f00", "060000", **old_facts)
    machine.add("0000:00:1f.0", "8086:8d44", "060100", group=9, **old_facts)
    machine.add(
        "0000:00:1f.2",
        "8086:8d02",
        "01060a",
        group=9,
        driver="ahci",
        **old_facts,
    )
    machine.add(
        "0000:03:00.0",
        "8086:10fb:1028:1f72",
        driver="ixgbe",
        sriov_totalvfs=63,
        sriov_numvfs=2,
        **old_facts,
    )
    for number in range(2):
        machine.add(
            f"0000:03:10.{2 * number}",
            "8086:10ed:1028:1f72",
            driver="vfio-pci" if number else "ixgbevf",
            pf="0000:03:00.0",
            **old_facts,
        )
    machine.add(
        "0000:0a:00.0",
        "1af4:10ca",
        "0780fe",
        modalias=str.lower,
        numa_node=-1,
    )


def new_kernel(root: pathlib.Path) -> None:
    """Linux 6.18: serial numbers; and what only its header tells apart."""
    machine = Machine(root, release="6.18.0")
    machine.put("lib/modules/6.18.0/modules.alias", "alias pci:v* igb")
    for slot, (code, header) in enumerate(
        (("060100", 0), ("068000", 0x80), ("068000", 0x81), ("060500", 2))
    ):
        place = machine.add(f"0000:00:1f.{slot}", "8086:7a86", code)
        raw = bytearray(256)
        raw[0x0E] = header
        (root / place / "config").write_bytes(raw)
    machine.add(
        "0000:01:00.0",
        "15b3:1021:15b3:0061",
        driver="mlx5_core",
        serial_number="b8-3f-d2-03-00-aa-bb-cc",
        driver_override="(null)",
    )


MACHINES: ty.Final = (
    ten_domains,
    long_domains,
    ppc64_without_groups,
    no_pci,
    old_kernel,
    new_kernel,
)
