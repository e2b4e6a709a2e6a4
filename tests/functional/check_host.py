# SPDX-License-Identifier: Apache-2.0
"""Small hosts in a folder, as sysfs shows them, for what rules look at."""

import dataclasses
import pathlib
import typing as ty

from nova_vfio_variant.host.observe import host_scan, scanner
from nova_vfio_variant.host.tree import opening, paths

RELEASE = "6.12.0"


@dataclasses.dataclass(frozen=True)
class Function:
    """One function of such a host.

    :param ids: ``8086:10ca``
    :param physfn: of a VF, its PF
    :param driver: a VFIO driver if its name says so
    :param group: -1 for one of its own
    :param vfs: of a PF, how many it could have
    :param files: further attributes, by their path below the function
    :param under: its root complex, and the bridges on the way to it
    """

    address: str
    ids: str = "8086:10ca"
    class_code: str = "020000"
    driver: str | None = None
    group: int | None = -1
    node: int = 0
    physfn: str | None = None
    vfs: int = 0
    netdev: str | None = None
    files: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    under: str = "pci0000:00"


def card(
    bus: int = 0x25,
    vfs: int = 2,
    *,
    total: int = 16,
    driver: str | None = "vfio-pci",
    pf_ids: str = "8086:10c9",
    vf_ids: str = "8086:10ca",
    node: int = 0,
    vf_files: ty.Mapping[str, str] | None = None,
) -> list[Function]:
    """A PF at BUS:00.0 with VFs from BUS:00.4 on."""
    pf = f"0000:{bus:02x}:00.0"
    made = [
        Function(
            pf,
            pf_ids,
            driver="igb",
            vfs=total,
            node=node,
            files={"sriov_offset": "4", "sriov_stride": "1"},
        )
    ]
    for number in range(vfs):
        slot, function = divmod(4 + number, 8)
        made.append(
            Function(
                f"0000:{bus:02x}:{slot:02x}.{function}",
                vf_ids,
                driver=driver,
                physfn=pf,
                node=node,
                files=vf_files or {},
            )
        )
    return made


def build(
    folder: pathlib.Path,
    functions: ty.Sequence[Function],
    files: ty.Mapping[str, str] | None = None,
    links: ty.Mapping[str, str] | None = None,
) -> host_scan.HostScan:
    """Write the host and scan it.

    :param files: further files by path, with their text
    :param links: further links by path, with their target
    """
    texts = {
        "proc/sys/kernel/osrelease": f"{RELEASE}\n",
        "proc/cmdline": "quiet intel_iommu=on\n",
        "proc/modules": "vfio_pci 16384 0 - Live 0x0\n",
        f"lib/modules/{RELEASE}/modules.alias": (
            "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
        ),
    }
    targets: dict[str, str] = {}
    for number, function in enumerate(functions):
        home = f"sys/devices/{function.under}/{function.address}"
        targets[f"sys/bus/pci/devices/{function.address}"] = (
            f"../../../../{home}"
        )
        for name, target in _links(function, number):
            targets[f"{home}/{name}"] = target
        for name, text in _texts(function, number):
            texts[f"{home}/{name}"] = f"{text}\n"
        if function.physfn:
            count = sum(
                other.physfn == function.physfn for other in functions[:number]
            )
            pf = f"sys/devices/{function.under}/{function.physfn}"
            targets[f"{pf}/virtfn{count}"] = f"../{function.address}"
    # A host without functions lists none.
    (folder / paths.DEVICES).mkdir(parents=True, exist_ok=True)
    for name, text in {**texts, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, target in {**targets, **(links or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return scanner.scan(opening.open_tree(str(folder)))


def _links(function: Function, number: int) -> ty.Iterator[tuple[str, str]]:
    top = "../" * (3 + function.under.count("/"))
    if function.driver:
        yield "driver", f"{top}bus/pci/drivers/{function.driver}"
    group = number if function.group == -1 else function.group
    if group is not None:
        yield "iommu_group", f"{top}kernel/iommu_groups/{group}"
    if function.physfn:
        yield "physfn", f"../{function.physfn}"


def _texts(function: Function, number: int) -> ty.Iterator[tuple[str, str]]:
    vendor, product = function.ids.upper().split(":")
    code = function.class_code.upper()
    ids = f"v0000{vendor}d0000{product}sv00000000sd00000000"
    yield "modalias", f"pci:{ids}bc{code[:2]}sc{code[2:4]}i{code[4:]}"
    yield "numa_node", str(function.node)
    if function.vfs:
        yield "sriov_totalvfs", str(function.vfs)
    if function.netdev:
        yield f"net/{function.netdev}/mtu", "1500"
    if "vfio" in (function.driver or ""):
        yield f"vfio-dev/vfio{number}/dev", f"509:{number}"
    yield from function.files.items()
