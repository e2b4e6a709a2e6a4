# SPDX-License-Identifier: Apache-2.0
"""Random small hosts, with what is declared and recorded of them.

A seed makes a host always the same. What is made is plain values that print
readably, become files (on disk, or of a tree in memory), and can be made
smaller for as long as a property fails.
"""

import collections.abc
import dataclasses
import errno
import json
import os
import pathlib
import random
import typing as ty

from nova_vfio_variant.host.decide import obstacles
from nova_vfio_variant.host.tree import host_tree

RELEASE = "6.12.0"
BOOT = "b0000000-0000-4000-8000-000000000001"
DEVICES = "sys/bus/pci/devices"
#: The most functions that a host has.
MOST = 12
#: What the functions of a host are to SR-IOV.
KINDS = ("PCI", "PF", "VF")
#: The type that a vGPU VF has.
TYPE = "558"

#: VFIO drivers, whether they show so or not.
VFIO = ("vfio-pci", "mlx5_vfio_pci")
#: The number of the IOMMU group of what stands below the first function.
CHILDREN = 1000

_ALIASES = """\
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
"""
#: What an interface can be.
_NET = ("down", "up", "address", "default", "member", "carries", "away")
_INSTANCE = "{0}0000000-0000-4000-8000-00000000000{0}"
_MDEV = "{0:08x}-0000-4000-8000-0000000000ff"

Specs = tuple[ty.Mapping[str, ty.Any], ...]


@dataclasses.dataclass(frozen=True)
class Function:
    """One function.

    :param vfio: the bound driver shows ``vfio-dev/``
    :param group: None for none
    :param total: of a PF, how many VFs it could have
    :param net: how its interface is used (``up``, ``address``, ``default``,
        ``member``, ``carries``, ``down``); None where it has none
    :param disk: of one with a disk, whether that is mounted
    :param vga: the firmware booted with it
    :param vgpu: what ``current_vgpu_type`` holds; None without the folder,
        ``?`` where it can't be read
    :param child: what stands below it: ``mdev`` or ``vdpa``
    :param lost: what of it can't be read: ``driver``, ``iommu_group``
    """

    address: str
    ids: str
    class_code: str = "020000"
    driver: str | None = None
    vfio: bool = False
    group: int | None = None
    physfn: str | None = None
    total: int = 0
    net: str | None = None
    disk: bool | None = None
    vga: bool = False
    vgpu: str | None = None
    child: str | None = None
    lost: str | None = None


@dataclasses.dataclass(frozen=True)
class Process:
    """One process that has one file open.

    :param opens: an IOMMU group by its number, or the address of a function
        whose ``resource0`` it has
    :param instance: whose guest it is
    """

    pid: int
    opens: int | str
    instance: str | None = None


@dataclasses.dataclass(frozen=True)
class Host:
    """A host, and what is declared and recorded of it.

    :param live: it shows processes
    :param has_vfio: there is a vfio-pci
    :param specs: the entries of device_spec, in their order
    :param host_specs: the entries of host_spec
    :param claims: address -> instance
    :param quarantined: addresses
    :param allowed: address and code of obstacles that were overruled
    :param exchanged: addresses at which other devices were tracked
    """

    seed: int
    functions: tuple[Function, ...]
    processes: tuple[Process, ...] = ()
    live: bool = True
    has_vfio: bool = True
    specs: Specs = ()
    host_specs: Specs = ()
    claims: tuple[tuple[str, str], ...] = ()
    quarantined: tuple[str, ...] = ()
    allowed: tuple[tuple[str, str], ...] = ()
    exchanged: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"random host, seed {self.seed}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "seed" or value == field.default:
                continue
            if isinstance(value, tuple):
                lines.append(f"  {field.name}:")
                lines += [f"    {_shown(one)}" for one in value]
            else:
                lines.append(f"  {field.name}: {value}")
        return "\n".join(lines)

    def at(self, address: str) -> Function:
        """The function at an address."""
        return next(
            function
            for function in self.functions
            if function.address == address
        )


def _shown(value: ty.Any) -> str:
    """A value, of what is a dataclass only what is no default."""
    if not dataclasses.is_dataclass(value):
        return json.dumps(value)
    return ", ".join(
        f"{field.name}={getattr(value, field.name)}"
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    )


def random_host(seed: int) -> Host:
    """The host of a seed."""
    return _Maker(seed).host()


class _Maker:
    """One host in the making."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._any = random.Random(seed)
        self._found: list[Function] = []
        self._groups = 0
        self._bus = 0

    def host(self) -> Host:
        room = self._any.randint(1, MOST)
        units = (
            self._family,
            self._family,
            self._vgpu_card,
            self._graphics,
            self._disk,
            self._plain,
            self._bridged,
            self._odd,
        )
        while len(self._found) < room:
            self._bus += 1
            self._any.choice(units)()
            del self._found[room:]
        functions = self._grouped()
        specs = self._specs(functions)
        claims = self._claims(functions)
        return Host(
            self._seed,
            functions,
            self._processes(functions, claims),
            self._often(0.92),
            self._often(0.95)
            or any(function.driver == "vfio-pci" for function in functions),
            specs,
            self._host_specs(functions),
            claims,
            self._some(functions, 0.05),
            self._allowed(functions),
            self._some(functions, 0.03),
        )

    # Its functions.

    def _often(self, share: float) -> bool:
        return self._any.random() < share

    def _at(self, slot: int = 0, number: int = 0) -> str:
        return f"0000:{self._bus:02x}:{slot:02x}.{number}"

    def _own_group(self) -> int:
        self._groups += 1
        return self._groups

    def _add(self, address: str, ids: str, **more: ty.Any) -> None:
        driver = more.get("driver")
        more.setdefault("vfio", driver in ("vfio-pci", "mlx5_vfio_pci"))
        more.setdefault("group", self._own_group())
        self._found.append(Function(address, ids, **more))

    def _net(self) -> str:
        return self._any.choice([*_NET, "down", "up"])

    def _family(self) -> None:
        """A PF of a NIC and its VFs."""
        mlx = self._often(0.4)
        vendor, pf, vf = (
            ("15b3", "101d", "101e") if mlx else ("8086", "10c9", "10ca")
        )
        own = "mlx5_core" if mlx else "igb"
        driver = self._any.choice((own, own, own, own, None, "vfio-pci"))
        self._add(
            self._at(),
            f"{vendor}:{pf}",
            driver=driver,
            total=8,
            net=self._net() if driver == own else None,
        )
        for number in range(self._any.randint(0, 5)):
            self._vf(number, f"{vendor}:{vf}", mlx=mlx)

    def _vf(self, number: int, ids: str, *, mlx: bool) -> None:
        own = "mlx5_core" if mlx else "igbvf"
        variant = "mlx5_vfio_pci" if mlx else "vfio-pci"
        driver = self._any.choice(
            (own, own, variant, variant, "vfio-pci", None, "xen-pciback")
        )
        self._add(
            self._at(2 + number // 8, number % 8),
            ids,
            driver=driver,
            physfn=self._at(),
            net=self._net() if driver == own and self._often(0.7) else None,
            child="vdpa" if driver == own and self._often(0.15) else None,
            # Before Linux 6.1 nothing shows which driver is a VFIO driver.
            vfio=driver == "vfio-pci"
            or (driver == "mlx5_vfio_pci" and self._often(0.8)),
        )

    def _vgpu_card(self) -> None:
        """A card with VFs that a vendor's driver gives types to."""
        self._add(
            self._at(),
            "10de:25b6",
            class_code="030200",
            driver="nvidia",
            total=4,
        )
        for number in range(self._any.randint(1, 4)):
            kind = self._any.choice(("0", TYPE, TYPE, TYPE, "?"))
            driver = self._any.choice(("nvidia", "nvidia", "nvidia", None))
            self._add(
                self._at(0, 4 + number),
                "10de:25b6",
                class_code="030200",
                driver=driver,
                physfn=self._at(),
                vgpu=kind,
                vfio=driver is not None and kind == TYPE and self._often(0.8),
            )

    def _graphics(self) -> None:
        """A GPU with its audio function, in one group."""
        group = self._own_group()
        self._add(
            self._at(),
            "10de:1db6",
            class_code="030000",
            driver=self._any.choice(("nvidia", "nouveau", "vfio-pci", None)),
            vga=self._often(0.2),
            group=group,
        )
        self._add(
            self._at(0, 1),
            "10de:10f2",
            class_code="040300",
            driver=self._any.choice(("snd_hda_intel", "vfio-pci", None)),
            group=group,
        )

    def _disk(self) -> None:
        driver = self._any.choice(("nvme", "nvme", "vfio-pci", None))
        self._add(
            self._at(),
            "144d:a80a",
            class_code="010802",
            driver=driver,
            disk=self._often(0.5) if driver == "nvme" else None,
        )

    def _plain(self) -> None:
        driver = self._any.choice(("e1000e", "vfio-pci", None, "pci-stub"))
        self._add(
            self._at(),
            "8086:10d3",
            driver=driver,
            net=self._net() if driver == "e1000e" else None,
        )

    def _bridged(self) -> None:
        """Functions behind a bridge that doesn't isolate."""
        group = self._own_group()
        self._add(
            self._at(),
            "8086:2030",
            class_code="060400",
            driver=self._any.choice(("pcieport", "shpchp", None)),
            group=group,
        )
        for number in range(self._any.randint(1, 2)):
            driver = self._any.choice(("e1000e", "vfio-pci", None))
            self._add(
                self._at(1, number),
                "8086:10d3",
                driver=driver,
                net=self._net() if driver == "e1000e" else None,
                group=group,
            )

    def _odd(self) -> None:
        """A host bridge, an ISA bridge, or a parent of mediated devices."""
        kind = self._any.randrange(3)
        if kind == 0:
            self._add(self._at(), "8086:3e10", class_code="060000")
        elif kind == 1:
            self._add(
                self._at(0x1F),
                "8086:a305",
                class_code="060100",
                driver=self._any.choice((None, "lpc_ich")),
            )
        else:
            self._add(
                self._at(2),
                "8086:3e98",
                class_code="030000",
                driver="i915",
                child=self._any.choice((None, "mdev")),
            )

    def _grouped(self) -> tuple[Function, ...]:
        """The functions, some of them without a group or in another's."""
        if self._often(0.04):
            return tuple(
                dataclasses.replace(function, group=None)
                for function in self._found
            )
        made: list[Function] = []
        for function in self._found:
            if self._often(0.03):
                function = dataclasses.replace(function, group=None)
            elif made and made[-1].group and self._often(0.12):
                function = dataclasses.replace(function, group=made[-1].group)
            if function.driver and self._often(0.02):
                lost = self._any.choice(("driver", "iommu_group"))
                function = dataclasses.replace(function, lost=lost, vfio=False)
            made.append(function)
        return tuple(made)

    # What is declared.

    def _specs(self, functions: ty.Sequence[Function]) -> Specs:
        specs: list[dict[str, ty.Any]] = []
        heads = {function.physfn for function in functions}
        wanted: list[dict[str, ty.Any]] = []
        # Some operators name devices by their ids, others by addresses.
        by_ids = self._often(0.4)
        for function in functions:
            share = 0.15 if by_ids else 0.65
            if self._often(0.1 if function.address in heads else share):
                wanted.append({"address": function.address})
                if function.address in heads:
                    # Alone it means the VFs as well.
                    wanted[-1] |= _ids(function.ids)
        wanted += (
            _ids(ids)
            for ids in sorted({function.ids for function in functions})
            if self._often(0.7 if by_ids else 0.2)
        )
        for spec in wanted:
            # Nova doesn't start where it would publish a PF and its VFs.
            if not _is_family([*specs, spec], functions):
                specs.append(spec)
        for number, spec in enumerate(specs):
            managed = self._any.choice(("yes", "no", None))
            if managed is not None:
                spec["managed"] = managed
            spec["resource_class"] = f"R{number}"
            if self._often(0.08):
                spec["physical_network"] = "net"
        return tuple(specs)

    def _host_specs(self, functions: ty.Sequence[Function]) -> Specs:
        found: list[dict[str, ty.Any]] = []
        for function in functions:
            mates = [
                other.address
                for other in functions
                if other.group == function.group and other != function
            ]
            if function.group is None or not self._often(
                0.4 if mates else 0.1
            ):
                continue
            spec: dict[str, ty.Any] = {
                "address": function.address,
                "driver": "vfio-pci",
                "allow_pf": True,
            }
            if mates and self._often(0.6):
                spec["companions"] = mates
            found.append(spec)
        return tuple(found)

    # What is recorded, and who has what open.

    def _some(
        self, functions: ty.Iterable[Function], share: float
    ) -> tuple[str, ...]:
        return tuple(
            function.address for function in functions if self._often(share)
        )

    def _claims(
        self, functions: ty.Iterable[Function]
    ) -> tuple[tuple[str, str], ...]:
        return tuple(
            (at, _INSTANCE.format(self._any.randint(1, 3)))
            for at in self._some(functions, 0.15)
        )

    def _allowed(
        self, functions: ty.Iterable[Function]
    ) -> tuple[tuple[str, str], ...]:
        codes = sorted(code.id for code in obstacles.OVERRULABLE)
        return tuple(
            (at, self._any.choice(codes)) for at in self._some(functions, 0.1)
        )

    def _processes(
        self,
        functions: ty.Sequence[Function],
        claims: ty.Sequence[tuple[str, str]],
    ) -> tuple[Process, ...]:
        owners = dict(claims)
        found: list[Process] = []
        for number, function in enumerate(functions):
            pid = 100 + number
            opens = self._opened(number, function)
            if opens is not None and self._often(
                0.5 if function.address in owners else 0.12
            ):
                owner = owners.get(function.address)
                found.append(
                    Process(pid, opens, owner if self._often(0.7) else None)
                )
        return tuple(found)

    def _opened(self, number: int, function: Function) -> int | str | None:
        if function.child == "mdev":
            return CHILDREN + number
        if function.driver in VFIO and function.group is not None:
            return function.group
        return function.address if self._often(0.5) else None


def _ids(ids: str) -> dict[str, str]:
    """What an entry says of them."""
    vendor, product = ids.split(":")
    return {"vendor_id": vendor, "product_id": product}


def _is_family(
    specs: ty.Iterable[ty.Mapping[str, ty.Any]],
    functions: ty.Iterable[Function],
) -> bool:
    """Whether entries match a PF and one of its VFs."""
    matched = [
        function
        for function in functions
        if any(
            spec.get("address", function.address)
            in (function.address, function.physfn)
            and spec.items() >= _ids(function.ids).items()
            if "product_id" in spec
            else spec["address"] == function.address
            for spec in specs
        )
    ]
    taken = {function.address for function in matched}
    return any(function.physfn in taken for function in matched)


# As files.


class Files:
    """The files and links of a host.

    :ivar texts: by path
    :ivar links: by path
    """

    def __init__(self, host: Host) -> None:
        self.texts: dict[str, str] = {
            "proc/sys/kernel/osrelease": f"{RELEASE}\n",
            "proc/sys/kernel/random/boot_id": f"{BOOT}\n",
            "proc/cmdline": "quiet intel_iommu=on\n",
            "proc/modules": "",
            f"lib/modules/{RELEASE}/modules.alias": _ALIASES,
            f"lib/modules/{RELEASE}/modules.dep": "",
            "sys/class/block/.keep": "",
        }
        self.links: dict[str, str] = {}
        self._host = host
        if host.has_vfio:
            self.texts["sys/bus/pci/drivers/vfio-pci/.keep"] = ""
            self.texts["proc/modules"] = "vfio_pci 16384 0 - Live 0x0\n"
        for number, function in enumerate(host.functions):
            self._function(number, function)
        for pf in host.functions:
            vfs = [x for x in host.functions if x.physfn == pf.address]
            for index, vf in enumerate(vfs):
                home = f"sys/devices/pci0000:00/{pf.address}"
                self.links[f"{home}/virtfn{index}"] = f"../{vf.address}"
        if host.live:
            self._live()

    def _function(self, number: int, function: Function) -> None:
        home = f"sys/devices/pci0000:00/{function.address}"
        self.links[f"{DEVICES}/{function.address}"] = f"../../../../{home}"
        texts = {name: f"{text}\n" for name, text in _facts(function)}
        links = self._links_of(function)
        if function.lost in links:
            # What should be a link, and is none, can't be read.
            del links[function.lost]
            texts[function.lost] = ""
        if function.vfio:
            texts[f"vfio-dev/vfio{number}/dev"] = f"509:{number}\n"
        if function.disk is not None:
            self._disk(number, home, texts)
        if function.child is not None:
            self._child(number, home, function.child)
        for name, text in texts.items():
            self.texts[f"{home}/{name}"] = text
        for name, target in links.items():
            self.links[f"{home}/{name}"] = target
        if function.net in ("down", "up", "address", "default"):
            name = interface(function)
            self.links[f"sys/class/net/{name}"] = f"../../../{home}/net/{name}"

    def _links_of(self, function: Function) -> dict[str, str]:
        """The links of a function."""
        links: dict[str, str] = {}
        if function.driver:
            links["driver"] = f"../../../bus/pci/drivers/{function.driver}"
            self.texts[f"sys/bus/pci/drivers/{function.driver}/.keep"] = ""
        if function.group is not None:
            links["iommu_group"] = (
                f"../../../kernel/iommu_groups/{function.group}"
            )
            at = f"sys/kernel/iommu_groups/{function.group}/devices/{function.address}"
            self.links[at] = (
                f"../../../../devices/pci0000:00/{function.address}"
            )
        if function.physfn:
            links["physfn"] = f"../{function.physfn}"
        if function.net == "member":
            links[f"net/{interface(function)}/master"] = "../../virtual/br0"
        return links

    def _disk(self, number: int, home: str, texts: dict[str, str]) -> None:
        name = f"nvme{number}n1"
        place = f"nvme/nvme{number}/{name}"
        texts[f"{place}/dev"] = f"259:{number}\n"
        texts[f"{place}/holders/.keep"] = ""
        self.links[f"sys/class/block/{name}"] = f"../../../{home}/{place}"

    def _child(self, number: int, home: str, kind: str) -> None:
        name = f"vdpa{number}"
        if kind == "mdev":
            name = _MDEV.format(number)
            group = f"sys/kernel/iommu_groups/{CHILDREN + number}/.keep"
            self.texts[group] = ""
            self.links[f"{home}/{name}/iommu_group"] = (
                f"../../../../kernel/iommu_groups/{CHILDREN + number}"
            )
        self.texts[f"{home}/{name}/.keep"] = ""
        self.links[f"sys/bus/{kind}/devices/{name}"] = (
            f"../../../../{home}/{name}"
        )

    def _live(self) -> None:
        mounts, routes, addresses = [], [], []
        for number, function in enumerate(self._host.functions):
            name = interface(function)
            if function.disk:
                mounts.append(
                    f"{30 + number} 1 259:{number} / /mnt/{number} rw -"
                    f" ext4 /dev/nvme{number}n1 rw\n"
                )
            if function.net == "default":
                routes.append(f"{name} 00000000 0 0003 0 0 0 00000000 0 0 0\n")
            if function.net == "address":
                addresses.append(f"2{'0' * 31} 02 40 00 80 {name}\n")
        self._process(1, "init")
        self.texts["proc/1/mountinfo"] = "".join(mounts)
        self.texts["proc/1/net/route"] = "".join(routes)
        self.texts["proc/1/net/if_inet6"] = "".join(addresses)
        self.texts["proc/swaps"] = "Filename Type Size Used Priority\n"
        for its in self._host.processes:
            self._process(its.pid, "qemu" if its.instance else "other")
            words = ["x", "-uuid", its.instance] if its.instance else ["x"]
            self.texts[f"proc/{its.pid}/cmdline"] = "\0".join([*words, ""])
            self.links[f"proc/{its.pid}/fd/3"] = (
                f"/dev/vfio/{its.opens}"
                if isinstance(its.opens, int)
                else f"/sys/devices/pci0000:00/{its.opens}/resource0"
            )

    def _process(self, pid: int, command: str) -> None:
        self.texts[f"proc/{pid}/comm"] = f"{command}\n"
        self.texts[f"proc/{pid}/cmdline"] = f"{command}\0"
        self.texts[f"proc/{pid}/mountinfo"] = ""
        self.texts[f"proc/{pid}/fd/.keep"] = ""

    def write(self, folder: pathlib.Path) -> None:
        """Write them below a folder that isn't there yet."""
        made: set[pathlib.Path] = set()
        for paths, make in (
            (self.texts, pathlib.Path.write_text),
            (self.links, pathlib.Path.symlink_to),
        ):
            for name, what in paths.items():
                path = folder / name
                if path.parent not in made:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    made.add(path.parent)
                if path.name != ".keep":
                    make(path, what)


def interface(function: Function) -> str:
    """The name of a function's interface."""
    bus, slot, number = (
        function.address[5:7],
        function.address[8:10],
        function.address[-1],
    )
    return f"e{bus}{slot}{number}"


def _facts(function: Function) -> ty.Iterator[tuple[str, str]]:
    """A function's attributes."""
    vendor, product = function.ids.upper().split(":")
    code = function.class_code.upper()
    ids = f"v0000{vendor}d0000{product}sv00000000sd00000000"
    yield "modalias", f"pci:{ids}bc{code[:2]}sc{code[2:4]}i{code[4:]}"
    yield "numa_node", "0"
    if code.startswith("03"):
        yield "boot_vga", str(int(function.vga))
    if function.total:
        yield "sriov_totalvfs", str(function.total)
        yield "sriov_drivers_autoprobe", "1"
        offset = "4" if function.ids.startswith("10de") else "16"
        yield "sriov_offset", offset
        yield "sriov_stride", "1"
        yield "sriov_vf_device", product.lower()
    if function.vgpu == "?":
        yield "nvidia/current_vgpu_type/.keep", ""
    elif function.vgpu is not None:
        yield "nvidia/current_vgpu_type", function.vgpu
        yield "nvidia/creatable_vgpu_types", f"{TYPE} : A16-4Q"
    if function.net == "away":
        yield "net/.keep", ""
    elif function.net is not None:
        place = f"net/{interface(function)}"
        yield (
            f"{place}/flags",
            "0x1002" if function.net == "down" else "0x1003",
        )
        if function.net == "carries":
            yield f"{place}/upper_br0/.keep", ""


class MemoryTree(host_tree.HostTree):
    """A live host's tree that is in no file system."""

    root = "/nowhere"

    def __init__(self, files: Files) -> None:
        super().__init__()
        self._links = files.links
        self._texts: dict[str, bytes] = {}
        self._folders: dict[str, set[str]] = {"": set()}
        for name, text in files.texts.items():
            parent, _, last = name.rpartition("/")
            if last == ".keep":
                self._make(parent)
            else:
                self._texts[name] = text.encode()
                self._make(parent).add(last)
        for name in files.links:
            parent, _, last = name.rpartition("/")
            self._make(parent).add(last)

    def _make(self, path: str) -> set[str]:
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = set()
            parent, _, last = path.rpartition("/")
            self._make(parent).add(last)
        return known

    def _target(self, path: str) -> str | None:
        if path in self._links:
            return self._links[path]
        if path in self._texts or path in self._folders:
            return None
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def _open_folder(self, path: str) -> host_tree.Folder:
        if path not in self._folders:
            why = errno.ENOTDIR if path in self._texts else errno.ENOENT
            raise OSError(why, os.strerror(why), path)
        return _MemoryFolder(self, path, self._folders[path])

    def _read(self, path: str) -> bytes:
        if path in self._texts:
            return self._texts[path]
        why = errno.EISDIR if path in self._folders else errno.ENOENT
        raise OSError(why, os.strerror(why), path)

    def of_link(self, path: str) -> str:
        """Where a link points to; as readlink(2) fails on what is none."""
        target = self._target(path)
        if target is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return target


class _MemoryFolder(host_tree.Folder):
    def __init__(
        self, tree: MemoryTree, path: str, names: collections.abc.Set[str]
    ) -> None:
        self._tree = tree
        self._path = path
        self._names = names

    def names(self) -> list[str]:
        return list(self._names)

    def read(self, name: str, size: int = host_tree.ATTRIBUTE) -> bytes:
        return self._tree._read(f"{self._path}/{name}")[:size]

    def link(self, name: str) -> str:
        return self._tree.of_link(f"{self._path}/{name}")

    def close(self) -> None:
        pass


def configuration(host: Host, *, declared: bool = True) -> str:
    """The text of nova.conf.

    :param declared: with what is wanted of the host's functions
    """
    lines = [
        "[DEFAULT]",
        "host = compute-1",
        "[filter_scheduler]",
        "pci_in_placement = true",
        "[vfio]",
        "placement = embedded",
        "provider_layout = per_class",
    ]
    if declared:
        lines += [f"host_spec = {json.dumps(one)}" for one in host.host_specs]
    lines += ["[pci]", "report_in_placement = true"]
    if declared:
        lines += [f"device_spec = {json.dumps(one)}" for one in host.specs]
        lines += [
            f"alias = {json.dumps(alias(one['resource_class'], kind))}"
            for one in host.specs
            for kind in KINDS
        ]
    return "".join(f"{line}\n" for line in lines)


def alias(resource_class: str, kind: str) -> dict[str, str]:
    """The alias of those devices of one entry that are of one kind.

    :param resource_class: the entry's; each has its own
    """
    return {
        "name": f"{resource_class}_{kind}",
        "resource_class": f"CUSTOM_{resource_class}",
        "device_type": f"type-{kind}",
    }


# Smaller.


def smaller(host: Host) -> ty.Iterator[Host]:
    """Hosts like this one with a little less of it."""
    for function in host.functions:
        gone = {
            other.address
            for other in host.functions
            if function.address in (other.address, other.physfn)
        }
        yield dataclasses.replace(
            host,
            functions=tuple(
                x for x in host.functions if x.address not in gone
            ),
        )
    for name in (
        "processes",
        "specs",
        "host_specs",
        "claims",
        "quarantined",
        "allowed",
        "exchanged",
    ):
        those = getattr(host, name)
        for number in range(len(those)):
            rest = those[:number] + those[number + 1 :]
            yield dataclasses.replace(host, **{name: rest})
    for number, function in enumerate(host.functions):
        for field in ("net", "child", "lost", "disk"):
            if getattr(function, field) is not None:
                less: Function = dataclasses.replace(function, **{field: None})  # type: ignore[arg-type] # each may be None
                some = list(host.functions)
                some[number] = less
                yield dataclasses.replace(host, functions=tuple(some))


def shrunk(host: Host, fails: ty.Callable[[Host], bool]) -> Host:
    """The smallest that is found of which a property fails still."""
    while True:
        for less in smaller(host):
            if fails(less):
                host = less
                break
        else:
            return host
