# SPDX-License-Identifier: Apache-2.0
"""Devices in each state that matters for giving them away, as small hosts.

They are the devices of the table in ``specs/assignability.rst``, and stand
at one address each.
"""

import dataclasses
import pathlib
import re
import typing as ty

from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import host_scan, scanner
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.pci import address
from nova_vfio_variant.pci import function as observed
from tests.functional import check_host

AT: ty.Final = "0000:25:00.4"
PF: ty.Final = "0000:25:00.0"
MATE: ty.Final = "0000:25:00.5"
ONE: ty.Final = "11111111-1111-4111-8111-111111111111"
TWO: ty.Final = "22222222-2222-4222-8222-222222222222"
GROUP: ty.Final = 7

_PROCESS = re.compile(r"proc/\d+/")
_AT, _PF, _MATE = map(address.PciAddress.parse, (AT, PF, MATE))

#: What the words of the table's column mean.
PURPOSES: ty.Final = {
    "any": assignability.ANYBODY,
    "managed yes": assignability.Purpose(managed=True),
    "managed no": assignability.Purpose(managed=False),
    "its instance": assignability.Purpose(instance_uuid=ONE),
    "another instance": assignability.Purpose(instance_uuid=TWO),
    "port": assignability.Purpose(managed=True, is_port=True),
    "port of its instance": assignability.Purpose(
        managed=True, is_port=True, instance_uuid=ONE
    ),
    "mate is a companion": assignability.Purpose(companions={_MATE}),
    "mate goes along": assignability.Purpose(managed=True, mates={_MATE}),
    "host apply": assignability.Purpose(driver="vfio-pci"),
    "vGPU type": assignability.Purpose(managed=False, vgpu_type="470"),
    "another vGPU type": assignability.Purpose(managed=False, vgpu_type="471"),
    "vGPU type managed yes": assignability.Purpose(
        managed=True, vgpu_type="470"
    ),
}
ANY = ("any",)
EACH = ("any", "managed yes", "managed no")
APPLY = ("host apply",)
WHOSE = ("its instance", "another instance", "any")
TYPES = ("vGPU type", "another vGPU type", "vGPU type managed yes")
MATES = ("any", "mate is a companion", "mate goes along")


@dataclasses.dataclass(frozen=True)
class Device:
    """One device, its host, and what is recorded of it.

    :param functions: all of the host
    :param purposes: what it is asked for, words of :data:`PURPOSES`
    :param files: further files of the host, by path
    :param links: further links of the host, likewise
    :param without: files that it doesn't have
    :param folders: where an empty folder stands; in place of a file or a
        link it can be read by nobody, root included
    """

    functions: ty.Sequence[check_host.Function]
    purposes: tuple[str, ...] = ANY
    records: assignability.Records = assignability.NOTHING_RECORDED
    files: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    links: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    without: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def is_picture(self) -> bool:
        """Whether nothing shows that happens on its host."""
        return not any(_PROCESS.match(name) for name in self.files)

    def build(self, folder: pathlib.Path) -> host_scan.HostScan:
        """Write the host and scan it."""
        check_host.build(folder, self.functions, self.files, self.links)
        for name in self.without:
            (folder / name).unlink()
        for name in self.folders:
            path = folder / name
            path.unlink(missing_ok=True)
            path.mkdir(parents=True)
        if "proc/1/comm" in self.files:
            (folder / "proc/1/fd").mkdir()
        return scanner.scan(opening.open_tree(str(folder)))


def vf(
    driver: str | None = "igbvf",
    *,
    pf_driver: str | None = "igb",
    **facts: ty.Any,
) -> list[check_host.Function]:
    """A VF, and its PF."""
    pf, made = check_host.card(vfs=1, driver=driver)
    return [
        dataclasses.replace(pf, driver=pf_driver),
        dataclasses.replace(made, group=GROUP, **facts),
    ]


def one(
    driver: str | None = "e1000", **facts: ty.Any
) -> list[check_host.Function]:
    """A function that is neither PF nor VF."""
    whole: dict[str, ty.Any] = {"ids": "8086:10d3", "group": GROUP, **facts}
    return [check_host.Function(AT, driver=driver, **whole)]


def mate(
    driver: str | None, class_code: str = "040300", **facts: ty.Any
) -> list[check_host.Function]:
    """A GPU on vfio-pci, and another member of its group."""
    ids = "10de:1aef"
    return [
        check_host.Function(AT, "10de:2204", "030000", "vfio-pci", GROUP),
        check_host.Function(MATE, ids, class_code, driver, GROUP, **facts),
    ]


def home(at: str = AT) -> str:
    """Where a function stands in sysfs."""
    return f"sys/devices/pci0000:00/{at}"


def interface(flags: str = "0x1003", **more: str) -> dict[str, str]:
    """An interface eth2 of a function, up unless flags say otherwise."""
    return {"net/eth2/flags": flags, **more}


#: The processes of a host that is alive.
ALIVE: ty.Final = {
    "proc/1/comm": "systemd\n",
    "proc/1/mountinfo": "",
    "proc/1/net/route": "",
    "proc/swaps": "Filename\n",
}


def opened(path: str, instance: str = ONE) -> dict[str, ty.Any]:
    """A guest's process that has a file open."""
    return {
        "files": {
            **ALIVE,
            "proc/4711/comm": "qemu-system-x86\n",
            "proc/4711/cmdline": f"qemu\0-uuid\0{instance}\0",
        },
        "links": {"proc/4711/fd/9": path},
    }


def tracked(**facts: ty.Any) -> assignability.Records:
    """What is recorded of the VF that the host shows."""
    whole: dict[str, ty.Any] = {
        "vendor_id": "8086",
        "product_id": "10ca",
        "physfn": PF,
        "vf_index": 0,
        **facts,
    }
    return assignability.Records(identities={_AT: observed.Identity(**whole)})


def owned(**by: str) -> assignability.Records:
    """Who has what: ``at``, ``pf``, ``mate``."""
    places = {"at": _AT, "pf": _PF, "mate": _MATE}
    return assignability.Records({places[name]: by[name] for name in by})


def allowed(*kinds: ty.Any) -> assignability.Records:
    """Obstacles of the device that were overruled."""
    return assignability.Records(
        allowed={_AT: {kind.id: "a test's" for kind in kinds}}
    )


def vgpu(
    current: str, driver: str = "nvidia", **more: str
) -> list[check_host.Function]:
    """A VF with NVIDIA's folder, whose driver serves it once it is typed."""
    files = {
        "nvidia/current_vgpu_type": current,
        "nvidia/creatable_vgpu_types": "ID : vGPU Name\n",
        **more,
    }
    return vf(driver, pf_driver="nvidia", ids="10de:2236", files=files)


_CREATABLE = "nvidia/creatable_vgpu_types"
_VFIO_DEV = {"vfio-dev/vfio3/dev": "509:3"}
_MODULES = f"lib/modules/{check_host.RELEASE}"
_NO_VFIO = {"proc/modules": "", f"{_MODULES}/modules.alias": "# none\n"}
_VDPA = {
    "sys/bus/vdpa/devices/vdpa0": f"../../../../{home()}/vdpa0",
    f"{home()}/vdpa0/driver": "../../../../bus/vdpa/drivers/vhost_vdpa",
}
_VDPA_FILE = {f"{home()}/vdpa0/vhost-vdpa-0/dev": "511:0\n"}
_MDEV = "a297db4a-f4c2-11e6-90f6-d3b88d6c9525"
_MDEV_LINK = {
    f"sys/bus/mdev/devices/{_MDEV}": f"../../../../{home()}/{_MDEV}",
    f"{home()}/{_MDEV}/iommu_group": "../../../../kernel/iommu_groups/90",
}
_MDEV_FILE = {f"{home()}/{_MDEV}/name": "x\n"}
_DISK = f"{home()}/nvme/nvme0/nvme0n1"
_NVME: dict[str, ty.Any] = {
    "functions": one("nvme", class_code="010802", ids="8086:0953"),
    "links": {"sys/class/block/nvme0n1": f"../../../{_DISK}"},
}
_ROUTES = "Iface\tDestination\tGateway\tFlags\tR\tU\tM\tMask\n"

_DRIVERS = {
    "vfio-pci": Device(vf("vfio-pci"), (*EACH, *APPLY)),
    "variant": Device(vf("igbvf_vfio_pci"), (*EACH, "vGPU type")),
    "host-driver": Device(vf(), (*EACH, *APPLY)),
    "no-driver": Device(vf(None), (*EACH, *APPLY)),
    "variant-no-vfio-dev": Device(
        vf("igbvf_variant"),
        EACH,
        files={
            f"{_MODULES}/modules.alias": "alias vfio_pci:v*d*sv*sd*bc*sc*i*"
            " igbvf_variant\n"
        },
    ),
    "no-vfio-pci": Device(vf(), (*EACH, *APPLY), files=_NO_VFIO),
    "vfio-pci-not-known": Device(
        vf(),
        EACH,
        files={"proc/modules": ""},
        without=(f"{_MODULES}/modules.alias",),
    ),
    "pf-whole": Device(one("igb", vfs=7), EACH),
    "remote-managed": Device(vf("mlx5_core"), ("port",)),
    "vgpu-typed": Device(
        vgpu("470", **_VFIO_DEV), (*EACH, "port", "host apply", *TYPES)
    ),
    "vgpu-untyped": Device(
        vgpu("0", **{_CREATABLE: "ID : vGPU Name\n470 : NVIDIA A16-16A\n"}),
        (*EACH, "port", *APPLY, *TYPES),
    ),
    "vgpu-card-full": Device(vgpu("0"), (*ANY, "vGPU type")),
    "vgpu-offer-unreadable": Device(
        vgpu("0"),
        ("vGPU type",),
        folders=(f"{home()}/{_CREATABLE}",),
    ),
    "vgpu-not-served": Device(vgpu("470"), (*EACH, "vGPU type")),
    "vgpu-unreadable": Device(
        vgpu("470", **_VFIO_DEV),
        (*EACH, "vGPU type"),
        folders=(f"{home()}/nvidia/current_vgpu_type",),
    ),
}
_CLASSES = {
    "pci-bridge": Device(one("pcieport", class_code="060400"), EACH),
    "host-bridge": Device(one(None, class_code="060000"), EACH),
    "nvswitch": Device(one("nvidia-nvswitch", class_code="068000"), EACH),
    "isa-bridge": Device(one("lpc_ich", class_code="060100"), EACH),
    "header-unreadable": Device(
        one("vfio-pci", class_code="068000"),
        folders=(f"{home()}/config",),
    ),
}
_GROUPS = {
    "iommu-off": Device(one(group=None), EACH),
    "no-group": Device(vf(), EACH, without=(f"{home()}/iommu_group",)),
    "mate-on-host-driver": Device(mate("snd_hda_intel"), (*MATES, *APPLY)),
    "mate-in-use": Device(mate("e1000", "020000", files=interface()), MATES),
    "mate-quarantined": Device(
        mate("snd_hda_intel"),
        MATES,
        assignability.Records(quarantined={_MATE: "a write hangs"}),
    ),
    "mate-is-typed-vgpu": Device(
        mate("nvidia", files={"nvidia/current_vgpu_type": "470"}), MATES
    ),
    "mate-is-pf-with-vfs": Device(
        [
            *mate("igb", "020000", vfs=7),
            check_host.Function("0000:25:02.0", driver=None, physfn=MATE),
        ],
        MATES,
    ),
    "mate-on-vfio": Device(mate("vfio-pci")),
    "mate-without-driver": Device(mate(None)),
    "mate-on-pci-stub": Device(mate("pci-stub")),
    "mate-on-xen-pciback": Device(mate("xen-pciback")),
    "mate-on-pci-pf-stub": Device(mate("pci-pf-stub")),
    "mate-pcieport": Device(mate("pcieport", "060400")),
    "mate-shpchp": Device(mate("shpchp", "060400"), MATES),
    "mate-nvswitch": Device(mate("nvidia-nvswitch", "068000"), MATES),
    "mate-isa": Device(mate("lpc_ich", "060100"), MATES),
    "mate-unreadable": Device(
        mate("snd_hda_intel"), MATES, folders=(f"{home(MATE)}/driver",)
    ),
    "mate-claimed": Device(mate("vfio-pci"), WHOSE, records=owned(mate=ONE)),
    "group-open": Device(
        mate("vfio-pci"),
        WHOSE,
        owned(at=ONE, mate=ONE),
        **opened(f"/dev/vfio/{GROUP}"),
    ),
}
_FAMILY = {
    "pf-with-vfs": Device(
        [*one("igb", vfs=7), check_host.Function(MATE, physfn=AT)],
        EACH,
    ),
    "pf-up-for-its-vfs": Device(
        [
            *one("igb", vfs=7, netdev="eth2", files=interface()),
            check_host.Function(MATE, physfn=AT),
        ],
    ),
    "pf-with-vfs-on-vfio": Device(
        [*one("vfio-pci", vfs=7), check_host.Function(MATE, physfn=AT)],
    ),
    "vf-of-pf-that-is-up": Device(
        vf("vfio-pci"),
        files={
            f"{home(PF)}/net/eth0/flags": "0x1003",
            "proc/net/route": f"{_ROUTES}eth0\t00000000\t0102\t0003\t0\t0"
            "\t0\t00000000\n",
        },
    ),
    "vf-of-pf-on-vfio": Device(vf("vfio-pci", pf_driver="vfio-pci"), EACH),
    "vf-of-unread-pf": Device(
        vf("vfio-pci"), folders=(f"{home(PF)}/sriov_totalvfs",)
    ),
    "pf-claimed": Device(vf("vfio-pci"), WHOSE, owned(pf=ONE)),
    "vf-claimed": Device(
        [
            *one("igb", vfs=7),
            check_host.Function(MATE, driver="vfio-pci", physfn=AT),
        ],
        WHOSE,
        owned(mate=ONE),
    ),
}
_USES = {
    "up-link-local": Device(
        vf(netdev="eth2", files=interface()),
        ("any", "managed yes", "port"),
        files={
            **ALIVE,
            "proc/1/net/if_inet6": f"{'fe80':<032} 02 40 20 80 eth2\n",
        },
    ),
    "enslaved": Device(
        vf(netdev="eth2", files=interface()),
        ("any", "port", *APPLY),
        links={f"{home()}/net/eth2/master": "../../../bond0"},
    ),
    "carries-vlan": Device(
        vf(netdev="eth2", files=interface()),
        ("any", "port"),
        links={f"{home()}/net/eth2/upper_eth2.7": "../../../eth2.7"},
    ),
    "global-address": Device(
        vf(netdev="eth2", files=interface()),
        ("any", "port"),
        files={"proc/net/if_inet6": f"{'20010db8':<032} 02 40 00 80 eth2\n"},
    ),
    "route": Device(
        vf(netdev="eth2", files=interface()),
        ("any", "port"),
        files={
            "proc/net/route": f"{_ROUTES}eth2\t0002000A\t0000\t0001\t0\t0"
            "\t0\t00FFFFFF\n"
        },
    ),
    "other-namespace": Device(
        vf(), ("any", "port"), folders=(f"{home()}/net",)
    ),
    "nic-up": Device(one(netdev="eth2", files=interface()), EACH),
    "pf-up-without-vfs": Device(
        one("igb", vfs=7, netdev="eth2", files=interface())
    ),
    "boot-display": Device(
        one("nouveau", class_code="030000", files={"boot_vga": "1"}), EACH
    ),
    "boot-display-on-vfio": Device(
        one("vfio-pci", class_code="030000", files={"boot_vga": "1"})
    ),
    "nvme-idle": Device(**_NVME, purposes=EACH, files={f"{_DISK}/dev": "8:0"}),
    "nvme-mounted": Device(
        **_NVME,
        purposes=EACH,
        files={
            f"{_DISK}/dev": "259:0",
            "proc/mounts": "/dev/nvme0n1 / ext4 rw 0 0\n",
        },
    ),
    "open-by-its-guest": Device(
        vf("vfio-pci"),
        WHOSE,
        owned(at=ONE),
        **opened(f"/dev/vfio/{GROUP}"),
    ),
    "open-unclaimed": Device(
        vf("vfio-pci"), WHOSE, **opened(f"/dev/vfio/{GROUP}")
    ),
    "open-by-another-guest": Device(
        vf("vfio-pci"),
        WHOSE,
        owned(at=ONE),
        **opened(f"/dev/vfio/{GROUP}", TWO),
    ),
    "mdev-idle": Device(vf(), EACH, files=_MDEV_FILE, links=_MDEV_LINK),
    "mdev-open": Device(
        vf(),
        WHOSE,
        owned(at=ONE),
        files={**_MDEV_FILE, **opened("")["files"]},
        links={**_MDEV_LINK, **opened("/dev/vfio/90")["links"]},
    ),
    "vdpa-idle": Device(
        vf("mlx5_core"), (*EACH, "port"), files=_VDPA_FILE, links=_VDPA
    ),
    "vdpa-open": Device(
        vf("mlx5_core"),
        ("port", "port of its instance", "any"),
        owned(at=ONE),
        files={**_VDPA_FILE, **opened("")["files"]},
        links={**_VDPA, **opened("/dev/vhost-vdpa-0")["links"]},
    ),
    "vdpa-open-unclaimed": Device(
        vf("mlx5_core"),
        ("port", "port of its instance"),
        files={**_VDPA_FILE, **opened("")["files"]},
        links={**_VDPA, **opened("/dev/vhost-vdpa-0")["links"]},
    ),
}
_RECORDED = {
    "tracked": Device(vf("vfio-pci"), records=tracked()),
    "not-tracked": Device(vf("vfio-pci")),
    "another-device": Device(
        vf("vfio-pci"), WHOSE, tracked(product_id="1889")
    ),
    "vanished": Device([vf()[0]], records=tracked()),
    "never-there": Device([vf()[0]]),
    "claimed": Device(vf("vfio-pci"), (*WHOSE, *APPLY), owned(at=ONE)),
    "claimed-on-variant": Device(vf("igbvf_vfio_pci"), APPLY, owned(at=ONE)),
    "claimed-to-be-bound": Device(vf(), (*WHOSE, *APPLY), owned(at=ONE)),
    "claimed-driver-unreadable": Device(
        vf(),
        ("its instance", *APPLY),
        owned(at=ONE),
        folders=(f"{home()}/driver",),
    ),
    "quarantined": Device(
        vf("vfio-pci"),
        WHOSE,
        assignability.Records(quarantined={_AT: "a write hangs"}),
    ),
    "unwell": Device(
        vf("vfio-pci"),
        (*WHOSE, *APPLY),
        assignability.Records(unwell={_AT: "2 guests failed"}),
    ),
    "cordoned": Device(
        vf("vfio-pci"),
        (*WHOSE, *APPLY),
        assignability.Records(owners={_AT: ONE}, cordoned={_AT: "ECC errors"}),
    ),
    "cordoned-pf": Device(
        vf("vfio-pci"),
        WHOSE,
        assignability.Records(cordoned={_PF: "ECC errors"}),
    ),
    "unsettled": Device(
        vf("vfio-pci"),
        WHOSE,
        assignability.Records(unsettled={_AT}),
    ),
    "unsettled-pf": Device(
        vf("vfio-pci"), records=assignability.Records(unsettled={_PF})
    ),
    "spent": Device(
        vf("vfio-pci"),
        WHOSE,
        assignability.Records(owners={_AT: ONE}, spent={_AT}),
    ),
    "spent-and-free": Device(
        vf("vfio-pci"), WHOSE, records=assignability.Records(spent={_AT})
    ),
    "records-unreadable": Device(
        vf("vfio-pci"),
        records=assignability.Records(unreadable="the journal is damaged"),
    ),
    "overruled": Device(
        vf(netdev="eth2", files=interface()),
        EACH,
        allowed(host_codes.NETWORK_IN_USE),
        links={f"{home()}/net/eth2/master": "../../../bond0"},
    ),
    "overruled-unknown": Device(
        vf("vfio-pci"),
        records=allowed(host_codes.NOT_KNOWN),
        files={"proc/77/comm": "sshd\n"},
    ),
    "overruled-in-vain": Device(
        vf("vfio-pci"),
        records=dataclasses.replace(
            allowed(host_codes.IS_CLAIMED), owners={_AT: ONE}
        ),
    ),
}
_SEEING = {
    "driver-unreadable": Device(
        vf(), (*EACH, *APPLY), folders=(f"{home()}/driver",)
    ),
    "group-unreadable": Device(
        vf("vfio-pci"), EACH, folders=(f"{home()}/iommu_group",)
    ),
    "another-group-unreadable": Device(
        [*vf("vfio-pci"), check_host.Function("0000:26:00.0", driver=None)],
        folders=(f"{home('0000:26:00.0')}/iommu_group",),
    ),
    "unread": Device(
        vf("vfio-pci"),
        records=tracked(),
        folders=(f"{home()}/physfn",),
    ),
    "may-not-look": Device(
        vf("vfio-pci"), EACH, files={**ALIVE, "proc/77/fd": "closed"}
    ),
    "may-not-look-no-driver": Device(
        vf(None), EACH, files={**ALIVE, "proc/77/fd": "closed"}
    ),
    "processes-hidden": Device(
        vf("vfio-pci"), files={"proc/77/comm": "sshd\n"}
    ),
    "recording": Device(vf("vfio-pci"), EACH),
}

ALL: ty.Final = {
    **_DRIVERS,
    **_CLASSES,
    **_GROUPS,
    **_FAMILY,
    **_USES,
    **_RECORDED,
    **_SEEING,
}
