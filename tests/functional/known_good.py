# SPDX-License-Identifier: Apache-2.0
"""Hosts and configurations of which every device can go to a guest.

That all commands agree proves little: they would agree on "blocked" for
everything as well.
"""

import dataclasses
import typing as ty

from tests.functional.check_host import Function


@dataclasses.dataclass(frozen=True)
class Good:
    """A host on which nothing is in the way.

    :param functions: all that it has
    :param specs: ``device_spec`` entries without their braces
    :param alias: an alias without its braces and name; empty where none can
        ask for such devices, which are Neutron's
    :param wanted: how many devices the guest asks for
    :param given: those that it may get, and their state
    :param more: further lines of nova.conf, from ``[vfio]`` on
    :param serial_at: the card that tells a serial number
    :param is_alive: it shows processes, mounts and addresses
    """

    functions: ty.Sequence[Function]
    specs: tuple[str, ...]
    alias: str
    given: ty.Mapping[str, str]
    wanted: int = 1
    more: str = ""
    files: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    links: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    serial_at: str = ""
    is_alive: bool = True


def home(address: str) -> str:
    """Where a function stands in sysfs."""
    return f"sys/devices/pci0000:00/{address}"


def of(
    functions: ty.Sequence[Function],
    addresses: str,
    state: str,
    *,
    keys: str = "",
    **more: ty.Any,
) -> Good:
    """A host some of whose functions are named by their addresses.

    :param addresses: with blanks between them
    :param keys: what their entries say besides
    """
    named = addresses.split()
    ids = next(
        function.ids for function in functions if function.address == named[0]
    )
    vendor, product = ids.split(":")
    is_vf = any(
        function.physfn
        for function in functions
        if function.address == named[0]
    )
    is_pf = any(
        function.vfs for function in functions if function.address == named[0]
    )
    kind = "VF" if is_vf else "PF" if is_pf else "PCI"
    whole: dict[str, ty.Any] = {
        "specs": tuple(f'"address": "{at}"{keys}' for at in named),
        "alias": f'"vendor_id": "{vendor}", "product_id": "{product}",'
        f' "device_type": "type-{kind}"',
        "given": dict.fromkeys(named, state),
        **more,
    }
    return Good(functions, **whole)


NO: ty.Final = ', "managed": "no"'
YES: ty.Final = ', "managed": "yes"'
VF: ty.Final = "0000:25:00.1"
PF: ty.Final = "0000:25:00.0"
CARD: ty.Final = "0000:41:00.0"


def family(
    pf: str,
    vf: str,
    pf_driver: str,
    driver: str | None,
    *,
    class_code: str = "020000",
    pf_files: ty.Mapping[str, str] | None = None,
    at: str = PF,
    **facts: ty.Any,
) -> list[Function]:
    """A PF with two VFs."""
    routing = {"sriov_offset": "1", "sriov_stride": "1", **(pf_files or {})}
    made = [
        Function(
            at,
            pf,
            class_code,
            pf_driver,
            vfs=8,
            files=routing,
            netdev="eth0" if "net/eth0/flags" in routing else None,
        )
    ]
    return made + [
        Function(
            f"{at[:-1]}{number}", vf, class_code, driver, physfn=at, **facts
        )
        for number in (1, 2)
    ]


def up(name: str) -> dict[str, ty.Any]:
    """An interface that udev set up."""
    return {"netdev": name, "files": {f"net/{name}/flags": "0x1003"}}


def gpu(driver: str | None, *mates: str | None) -> list[Function]:
    """A GPU, and what else is on its card."""
    kinds = (
        ("10de:1aef", "040300"),
        ("10de:1aec", "0c0330"),
        ("10de:1aed", "0c8000"),
    )
    return [
        Function(CARD, "10de:2204", "030000", driver, 17),
        *(
            Function(f"{CARD[:-1]}{n + 1}", *kinds[n], mate, 17)
            for n, mate in enumerate(mates)
        ),
    ]


def disk(name: str, address: str) -> dict[str, ty.Any]:
    """An NVMe disk below a function."""
    place = f"{home(address)}/nvme/{name}/{name}n1"
    number = f"259:{name.removeprefix('nvme')}"
    return {
        "files": {f"{place}/dev": f"{number}\n"},
        "links": {f"sys/class/block/{name}n1": f"../../../{place}"},
    }


def nvme(address: str) -> Function:
    """An NVMe controller on the host's driver."""
    return Function(address, "8086:0a54", "010802", "nvme")


def host_spec(text: str) -> str:
    """What is to be done to the host."""
    return f"[vfio]\nhost_spec = {{ {text} }}\n"


_ROUTES = (
    "Iface\tDestination\tGateway\tFlags\tR\tU\tM\tMask\n"
    "eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\n"
    "eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
)
_LOCAL = f"{'fe80':<032} 02 40 20 80 eth2\n"
_UP_ALONE = {"proc/1/net/if_inet6": _LOCAL}
_MATE = "0000:41:00.1"
_NET = "8086:10d3"


def mate(
    driver: str | None, class_code: str = "ff0000", **facts: ty.Any
) -> list[Function]:
    """A function on vfio-pci, with another member in its group."""
    return [
        Function(CARD, _NET, "020000", "vfio-pci", 17),
        Function(_MATE, "1b36:0005", class_code, driver, 17, **facts),
    ]


_GPUS = {
    "gpu with its audio, both managed": of(
        gpu("nvidia", "snd_hda_intel"),
        f"{CARD} {_MATE}",
        "preparable",
        keys=YES,
        given={CARD: "preparable"},
    ),
    "gpu with audio, usb and ucsi as companions": of(
        gpu("vfio-pci", "snd_hda_intel", "xhci_hcd", "nvidia-gpu"),
        CARD,
        "preparable",
        keys=NO,
        more=host_spec(
            f'"address": "{CARD}", "driver": "vfio-pci", "companions":'
            ' ["0000:41:00.1", "0000:41:00.2", "0000:41:00.3"]'
        ),
    ),
    "the same after host apply": of(
        gpu("vfio-pci", None, None, None), CARD, "ready", keys=NO
    ),
    "gpu beside another one that has the screen": of(
        [
            Function(
                "0000:02:00.0",
                "1a03:2000",
                "030000",
                "ast",
                files={"boot_vga": "1"},
            ),
            Function(
                CARD,
                "1002:744c",
                "030000",
                "amdgpu",
                files={
                    "boot_vga": "0",
                    "drm/card1/card1-DP-1/status": "disconnected",
                },
            ),
        ],
        CARD,
        "preparable",
    ),
    "compute gpu as a whole": of(
        [Function(CARD, "10de:2331", "030200", "vfio-pci", vfs=16)],
        CARD,
        "ready",
        keys=NO,
    ),
    "typed vgpu": of(
        family(
            "10de:25b6",
            "10de:25b6",
            "nvidia",
            "nvidia",
            class_code="030200",
            files={
                "vfio-dev/vfio4/dev": "509:4",
                "nvidia/current_vgpu_type": "588",
                "nvidia/creatable_vgpu_types": "ID : vGPU Name",
            },
        ),
        f"{VF} 0000:25:00.2",
        "ready",
        keys=NO,
    ),
    "xe vf on its variant driver": of(
        family(
            "8086:e211", "8086:e211", "xe", "xe-vfio-pci", class_code="030000"
        ),
        VF,
        "ready",
        keys=NO,
    ),
    "grace hopper on an arm host": of(
        [
            Function(
                "0009:01:00.0", "10de:2342", "030200", "nvgrace_gpu_vfio_pci"
            )
        ],
        "0009:01:00.0",
        "ready",
        keys=NO,
        files={"proc/cmdline": "root=/dev/nvme0n1p2 arm-smmu-v3.x=1\n"},
    ),
    "nvswitches that are all on vfio-pci": of(
        [
            Function(f"0000:0{n}:00.0", "10de:22a3", "068000", "vfio-pci", 30)
            for n in (5, 6, 7, 8)
        ],
        "0000:05:00.0 0000:06:00.0 0000:07:00.0 0000:08:00.0",
        "ready",
        keys=NO,
        wanted=4,
    ),
}
_NICS = {
    "igb vfs, managed": of(
        family("8086:10c9", "8086:10ca", "igb", "igbvf"),
        f"{VF} 0000:25:00.2",
        "preparable",
        keys=YES,
    ),
    "igb vf whose interface udev set up": of(
        family("8086:10c9", "8086:10ca", "igb", "igbvf", **up("eth2"))[:2],
        VF,
        "preparable",
        files=_UP_ALONE,
    ),
    "igb vf on vfio-pci, its pf up for it": of(
        family(
            "8086:10c9",
            "8086:10ca",
            "igb",
            "vfio-pci",
            pf_files={"net/eth0/flags": "0x1003"},
        ),
        VF,
        "ready",
        keys=NO,
    ),
    "vf of the card of the host's own connection": of(
        family(
            "8086:1572",
            "8086:154c",
            "i40e",
            "iavf",
            pf_files={"net/eth0/flags": "0x1003"},
        ),
        VF,
        "preparable",
        files={"proc/1/net/route": _ROUTES},
    ),
    "vf for neutron, up": of(
        family("8086:1572", "8086:154c", "i40e", "iavf", **up("eth2"))[:2],
        VF,
        "preparable",
        keys=', "physical_network": "physnet1"',
        files=_UP_ALONE,
    ),
    "trusted vf for neutron on vfio-pci": of(
        family("8086:1592", "8086:1889", "ice", "vfio-pci"),
        VF,
        "ready",
        keys=', "physical_network": "physnet1", "trusted": "true"',
    ),
    "connectx vf on the host's driver": of(
        family("15b3:1017", "15b3:101e", "mlx5_core", "mlx5_core"),
        VF,
        "preparable",
    ),
    "connectx vf with idle infiniband": of(
        family(
            "15b3:1017",
            "15b3:101e",
            "mlx5_core",
            "mlx5_core",
            files={"infiniband_verbs/uverbs1/dev": "231:193"},
        ),
        VF,
        "preparable",
    ),
    "connectx vf on its variant driver": of(
        family("15b3:1017", "15b3:101e", "mlx5_core", "mlx5_vfio_pci"),
        VF,
        "ready",
        keys=NO,
    ),
    "pds vf on its variant driver": of(
        family("1dd8:1002", "1dd8:1003", "pds_core", "pds_vfio_pci"),
        VF,
        "ready",
        keys=NO,
    ),
    "virtio vf on its variant driver": of(
        family("1af4:1041", "1af4:1041", "virtio-pci", "virtio_vfio_pci"),
        VF,
        "ready",
        keys=NO,
    ),
    "nic as a whole, without vfs": of(
        [
            Function(
                PF,
                "8086:1572",
                driver="i40e",
                vfs=64,
                netdev="eth0",
                files={"net/eth0/flags": "0x1002"},
            )
        ],
        PF,
        "preparable",
    ),
    "smartnic vf, remote managed": of(
        family(
            "15b3:a2d6",
            "15b3:101e",
            "mlx5_core",
            "mlx5_core",
        ),
        VF,
        "preparable",
        specs=(
            (
                '"vendor_id": "15b3", "product_id": "101e",'
                ' "physical_network": null, "remote_managed": "true",'
                ' "managed": "no"'
            ),
        ),
        alias="",
        serial_at=PF,
    ),
    "vdpa vf for neutron": of(
        family("15b3:1017", "15b3:101e", "mlx5_core", "mlx5_core"),
        VF,
        "ready",
        keys=', "physical_network": "physnet1"',
        alias="",
        files={f"{home(VF)}/vdpa0/vhost-vdpa-0/dev": "511:0\n"},
        links={"sys/bus/vdpa/devices/vdpa0": f"../../../../{home(VF)}/vdpa0"},
    ),
    "32-bit domain": of(
        family(
            "8086:10c9", "8086:10ca", "igb", "vfio-pci", at="10000:25:00.0"
        ),
        "10000:25:00.1",
        "ready",
        specs=(),
        alias="",
    ),
    "host without numa nodes": of(
        [Function("0012:00:00.0", "15b3:1016", driver="vfio-pci", node=-1)],
        "0012:00:00.0",
        "ready",
        keys=NO,
        files={"proc/cmdline": "root=/dev/dasda1\n"},
    ),
}
_DISKS = {
    "nvme that nothing uses": of(
        [nvme(CARD)], CARD, "preparable", **disk("nvme0", CARD)
    ),
    "nvme beside the one that is mounted": of(
        [nvme(CARD), nvme("0000:42:00.0")],
        "0000:42:00.0",
        "preparable",
        files={
            **disk("nvme0", CARD)["files"],
            **disk("nvme1", "0000:42:00.0")["files"],
            "proc/1/mountinfo": "29 1 259:0 / / rw - ext4 /dev/nvme0n1 rw\n",
        },
        links={
            **disk("nvme0", CARD)["links"],
            **disk("nvme1", "0000:42:00.0")["links"],
        },
    ),
    "nvme vf": of(
        family("144d:a824", "144d:a824", "nvme", "nvme", class_code="010802"),
        VF,
        "preparable",
    ),
    "hba without disks": of(
        [Function(CARD, "1000:0097", "010700", "mpt3sas")],
        CARD,
        "preparable",
    ),
}
_OTHERS = {
    "qat vf": of(
        family(
            "8086:4940", "8086:4941", "4xxx", "vfio-pci", class_code="0b4000"
        ),
        f"{VF} 0000:25:00.2",
        "ready",
        keys=NO,
        wanted=2,
    ),
    "qat vf on its variant driver": of(
        family(
            "8086:4940",
            "8086:4941",
            "4xxx",
            "qat_vfio_pci",
            class_code="0b4000",
        ),
        VF,
        "ready",
        keys=NO,
    ),
    "accelerator vf on an arm host": of(
        family(
            "19e5:a250",
            "19e5:a251",
            "hisi_zip",
            "hisi_acc_vfio_pci",
            class_code="120000",
        ),
        VF,
        "ready",
        keys=NO,
    ),
    "on vfio-pci since boot": of(
        [
            Function(
                CARD,
                "1b73:1100",
                "0c0330",
                "vfio-pci",
                files={"driver_override": "vfio-pci"},
            )
        ],
        CARD,
        "ready",
    ),
    "usb controller": of(
        [Function(CARD, "1b73:1100", "0c0330", "xhci_hcd")],
        CARD,
        "preparable",
    ),
    "on no driver": of(
        [Function(CARD, _NET, "020000", None)], CARD, "preparable"
    ),
    "beside a member without driver": of(mate(None), CARD, "ready", keys=NO),
    "beside a member on pci-stub": of(
        mate("pci-stub"), CARD, "ready", keys=NO
    ),
    "beside a root port": of(
        mate("pcieport", "060400"), CARD, "ready", keys=NO
    ),
    "behind a pair of bridges": of(
        [
            Function("0000:40:00.0", "8086:3420", "060400", "pcieport", 17),
            Function("0000:41:00.0", "8086:244e", "060401", None, 17),
            Function("0000:42:01.0", "8086:100e", "020000", "e1000", 17),
        ],
        "0000:42:01.0",
        "preparable",
    ),
    "two that go together, managed": of(
        [
            Function(CARD, _NET, "020000", "e1000e", 17),
            Function(_MATE, _NET, "020000", "e1000e", 17),
        ],
        f"{CARD} {_MATE}",
        "preparable",
        wanted=2,
    ),
    "two that go together, on vfio-pci": of(
        [
            Function(CARD, _NET, "020000", "vfio-pci", 17),
            Function(_MATE, _NET, "020000", "vfio-pci", 17),
        ],
        f"{CARD} {_MATE}",
        "ready",
        keys=NO,
        wanted=2,
    ),
    "seen in a recording": of(
        family("8086:10c9", "8086:10ca", "igb", "igbvf", **up("eth2"))[:2],
        VF,
        "preparable",
        is_alive=False,
    ),
}

ALL: ty.Final = {**_GPUS, **_NICS, **_DISKS, **_OTHERS}
