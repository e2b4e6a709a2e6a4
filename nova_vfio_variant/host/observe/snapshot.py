# SPDX-License-Identifier: Apache-2.0
"""Records a host, so that it can be looked at elsewhere.

Only what is named here is read: the links and the directories of the PCI
functions and of the classes that say who uses them, and a list of harmless
attributes. So nothing is recorded by accident, nothing slow is read (``vpd``;
of ``config`` the header's type alone, where a scan wants it), and almost
nothing that waits for a device's lock:
``sriov_numvfs`` is written down as the number of VFs that are there, which
is its value. ``driver_override`` alone has to be read; on kernels that take
the lock for it the reader waits while another process hangs in an unbind of
that device.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import pathlib
import posixpath
import re
import tarfile
import typing as ty

from nova_vfio_variant import own_files, trust
from nova_vfio_variant.host.observe import (
    anonymize,
    drivers,
    function_ids,
    kernels,
    numa,
    pciids,
    scanner,
    sriov,
    vgpu_mode,
)
from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.pci import function


def _words(*lines: str) -> tuple[str, ...]:
    return tuple(" ".join(lines).split())


#: Read wherever they are met below a directory that is recorded.
ATTRIBUTES = frozenset(
    _words(
        # a PCI function
        "ari_enabled boot_vga class d3cold_allowed device driver_override",
        "enable local_cpulist modalias numa_node power_state revision",
        "sriov_drivers_autoprobe sriov_offset sriov_stride sriov_totalvfs",
        "sriov_vf_device subsystem_device subsystem_vendor vendor",
        # IOMMU groups, network interfaces, disks, displays, consoles
        "type reserved_regions dev_id dev_port flags ifindex iflink mtu",
        "operstate dev hidden partition removable ro size start model state",
        "transport enabled status bind name",
        # mdev types, and the vGPU types of NVIDIA's variant driver
        "available_instances description device_api",
        "creatable_vgpu_types current_vgpu_type",
        # NUMA nodes
        "cpulist distance has_cpu has_memory online possible",
    )
)

#: Read too where identities are wanted.
IDENTITIES = frozenset(
    _words(
        "address eui nguid phys_port_id phys_switch_id serial serial_number",
        "subsysnqn uuid wwid",
    )
)

#: Files with addresses or ids that are as long as an identity, and none.
_WITH_LONG_NUMBERS = frozenset(
    _words("modalias modules modules.alias pci.ids reserved_regions")
)

#: Directories and links that tell nothing of who uses a function.
_SKIPPED = frozenset(
    _words(
        "firmware_node hugepages hwmon i2c-dev input integrity leds link",
        "memory_failure mq msi_irqs notes pci_bus power ptp queue queues rc",
        "sections sound statistics trace tracing wakeup",
    )
)
_SKIPPED_TOO = re.compile(r"(usb|i2c-|hwmon|cpu|memory|x)\d+")

_CLASSES = _words(
    "block drm graphics iommu mdev_bus net nvme nvme-subsystem vfio vfio-dev",
    "vtconsole",
)

#: The beginning of a configuration space, up to the header's type.
_HEADER = b"\0" * 14 + b"%c\0"

_MODULES = _words("vfio vfio_iommu_type1 vfio_pci vfio_pci_core")

#: A link's target, a file's bytes, or None for a directory.
Entry = str | bytes | None


def record(
    tree: host_tree.HostTree,
    out_path: str | os.PathLike[str],
    identities: bool = False,
) -> None:
    """Write a recording, whole or not at all.

    The same host gives the same bytes, as long as nothing changed on it. A
    file that can't be read is left out.

    :param tree: the host
    :param out_path: a ``.tar.gz``; what stood there is replaced
    :param identities: serial numbers, MAC addresses and the whole of the
        kernel's command line too; without them, what looks like one in a
        text, a name or a link's target is replaced, and so are the user and
        the query of a URL
    :raises HostError: the file can't be written, or its place may be a
        stranger's
    """
    _write(entries(tree, identities), pathlib.Path(out_path))


def entries(
    tree: host_tree.HostTree, identities: bool = False
) -> dict[str, Entry]:
    """What a recording of a host has, by path, in no order.

    :param identities: as for :func:`record`
    """
    return _Recorder(tree, identities).entries()


@dataclasses.dataclass
class _Recorder:
    tree: host_tree.HostTree
    identities: bool
    found: dict[str, Entry] = dataclasses.field(default_factory=dict)
    hider: anonymize.Hider = dataclasses.field(default_factory=anonymize.Hider)

    def entries(self) -> dict[str, Entry]:
        """Path to what stands there, in no order, parents not all there."""
        self._links_and_targets(paths.DEVICES)
        if not self.tree.exists(paths.DEVICES):
            # The other buses tell that the kernel was built without PCI.
            self.found.update(
                (f"{paths.BUSES}/{name}", None)
                for name in self.tree.listdir(paths.BUSES)
            )
        for name in _CLASSES:
            self._links_and_targets(f"sys/class/{name}")
        self._links_and_targets("sys/bus/mdev/devices")
        self._links_and_targets(paths.VDPA)
        for path in (
            "sys/bus/pci/drivers",
            "sys/kernel/iommu_groups",
            numa.NODES,
            *(f"sys/module/{name}" for name in _MODULES),
        ):
            self._walk(path)
        self._count_vfs()
        self._sockets()
        self._texts()
        if self.identities:
            return self.found
        return {
            self.hider.name(path): self._without_identity(path)
            for path in sorted(self.found)
        }

    def _links_and_targets(self, path: str) -> None:
        """A directory of links, and the directories that they lead to."""
        self._walk(path)
        for name in self.tree.listdir(path):
            try:
                self._walk(self.tree.real_path(f"{path}/{name}"))
            except OSError:
                continue

    def _walk(self, path: str) -> None:
        """A directory and what is below it, links not followed."""
        if path in self.found:
            return
        try:
            folder = self.tree.folder(path)
        except OSError:
            return
        self.found[path] = None
        with folder:
            try:
                names = sorted(folder.names())
            except OSError:
                return
            for name in names:
                if name not in _SKIPPED and not _SKIPPED_TOO.fullmatch(name):
                    self._add(path, name, folder)

    def _add(self, path: str, name: str, folder: host_tree.Folder) -> None:
        here = f"{path}/{name}"
        try:
            target = folder.link(name)
        except OSError:
            pass
        else:
            end = posixpath.normpath(posixpath.join(path, target))
            if not target.startswith("/") and not end.startswith(".."):
                self.found[here] = target
            return
        if name == "config":
            self._add_header(here, folder)
            return
        parameter = path.endswith("/parameters")
        if name in ATTRIBUTES or (
            parameter or (self.identities and name in IDENTITIES)
        ):
            try:
                self.found[here] = folder.read(name)
            except IsADirectoryError:
                self._walk(here)
            except OSError:
                pass
        else:
            self._walk(here)

    def _add_header(self, here: str, folder: host_tree.Folder) -> None:
        """A configuration space that has nothing but its header's type."""
        try:
            if function.is_open_class(int(folder.read("class"), 16)):
                self.found[here] = _HEADER % function_ids.header_type(folder)
        except (OSError, ValueError):
            pass

    def _count_vfs(self) -> None:
        for path in [p for p in self.found if p.endswith("/sriov_totalvfs")]:
            folder = path.rpartition("/")[0]
            vfs = sriov.count(self.tree.listdir(folder))
            self.found[f"{folder}/sriov_numvfs"] = b"%d\n" % vfs

    def _sockets(self) -> None:
        """Of all that there is of processors, each node's socket."""
        for node in self.tree.listdir(numa.NODES):
            path = numa.package_path(self.tree, node)
            if path is not None:
                self._text(path, self.tree.read_text(path))

    def _texts(self) -> None:
        """The few files outside sysfs."""
        seen = scanner.scan(self.tree)
        modules = self.tree.read_text("proc/modules")
        self._text(
            "proc/modules",
            # An address in the kernel is nobody's business.
            modules and re.sub(r"\b0x[0-9a-f]+", f"0x{0:016x}", modules),
        )
        self._text("proc/sys/kernel/osrelease", seen.kernel_release)
        cmdline = seen.cmdline
        if cmdline and not self.identities:
            cmdline = anonymize.known_parameters(cmdline)
        self._text("proc/cmdline", cmdline)
        for path, text in vgpu_mode.files(self.tree):
            if text is None:
                self.found[path] = None
            else:
                self._text(path, text)
        self._text("proc/swaps", self.tree.read_text("proc/swaps"))
        self._text("proc/mounts", self._mounts())
        self._text("proc/net/route", self._default_routes())
        for release in kernels.installed(self.tree):
            self._text(
                f"lib/modules/{release}/modules.alias",
                "\n".join(
                    f"alias {pattern} {module}"
                    for pattern, module in drivers.read_aliases(
                        self.tree, release
                    )
                ),
            )
        names = pciids.Names.load(self.tree).excerpt(seen.functions)
        if names:
            self._text(pciids.PATHS[1], names.rstrip("\n"))

    def _mounts(self) -> str | None:
        """What is mounted from a device, without its options."""
        text = self.tree.read_text("proc/mounts")
        if text is None:
            return None
        return "\n".join(
            f"{' '.join(line.split(' ')[:3])} rw 0 0"
            for line in text.splitlines()
            if line.startswith("/dev/")
        )

    def _default_routes(self) -> str | None:
        """Which interfaces have a default route, not where it leads."""
        text = self.tree.read_text("proc/net/route")
        if text is None:
            return None
        header, *routes = text.splitlines() or [""]
        fields = [line.split() for line in routes]
        return "\n".join(
            [
                header.strip(),
                *(
                    "\t".join([field[0], field[1], "00000000", *field[3:]])
                    for field in fields
                    if field[1:2] == ["00000000"]
                ),
            ]
        )

    def _text(self, path: str, text: str | None) -> None:
        if text is not None:
            self.found[path] = f"{text}\n".encode() if text else b""

    def _without_identity(self, path: str) -> Entry:
        entry = self.found[path]
        if isinstance(entry, str):
            return self.hider.name(entry)
        if entry is None:
            return None
        text = self.hider.text(
            entry.decode("utf-8", "surrogateescape"),
            long=posixpath.basename(path) not in _WITH_LONG_NUMBERS,
        )
        return text.encode("utf-8", "surrogateescape")


def _write(entries: ty.Mapping[str, Entry], out: pathlib.Path) -> None:
    """Write the archive beside its place, then put it there."""
    whole = dict(entries)
    for path in entries:
        for parent in pathlib.PurePosixPath(path).parents:
            whole.setdefault(str(parent), None)
    whole.pop(".", None)

    def fill(fd: int, _path: pathlib.Path) -> None:
        with (
            open(fd, "wb", closefd=False) as file,
            gzip.GzipFile("", "wb", 9, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for path in sorted(whole):
                _add_member(archive, path, whole[path])

    try:
        with own_files.opened(out.parent, sticky=True) as folder:
            folder.make(out.name, fill, replace=True)
    except OSError as error:
        raise trust.unwritten(out, error) from error


def _add_member(archive: tarfile.TarFile, path: str, entry: Entry) -> None:
    info = tarfile.TarInfo(path)
    if entry is None:
        info.type = tarfile.DIRTYPE
        info.mode = 0o755
        archive.addfile(info)
    elif isinstance(entry, str):
        info.type = tarfile.SYMTYPE
        info.linkname = entry
        info.mode = 0o777
        archive.addfile(info)
    else:
        info.size = len(entry)
        info.mode = 0o644
        archive.addfile(info, io.BytesIO(entry))
