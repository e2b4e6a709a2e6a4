# SPDX-License-Identifier: Apache-2.0
"""What PCI functions a host has, seen through sysfs.

The order of reading is chosen so that nothing is asked for in vain: the
listing of a function's directory says which facts it has. ``modalias`` alone
gives the vendor, the product, the class and the subsystem. ``vpd`` is never
read (1 ms), ``config`` only where the class leaves open whether the function
is a bridge, ``uevent`` and ``sriov_numvfs`` never: reading them takes
the device's lock, which another process may hold for ever while it removes
VFs that are in use. ``driver_override`` takes it too
(driver_override_show in drivers/pci/pci-sysfs.c) on kernels whose ``struct
device`` has no override of its own (Linux 6.12.95 has), but nothing else tells
what it holds.
"""

from __future__ import annotations

import contextlib
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import (
    drivers,
    function_ids,
    host_scan,
    sriov,
)
from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function

_LOG = logging.getLogger(__name__)

_T = ty.TypeVar("_T")
_NOTHING: frozenset[str] = frozenset()


def scan(
    tree: host_tree.HostTree, only: ty.Collection[str] | None = None
) -> host_scan.HostScan:
    """Look at every PCI function of a host, or at some.

    A file that vanishes or can't be read costs its fact. A function is left
    out where the fact says what it is: its ids, its class, its PF, or how
    many VFs it could have. Both are told in ``problems``.

    :param only: their addresses, each of a function that is to be there; None
        for all
    :raises HostError: the host doesn't say which functions it has
    """
    seen = _Scanner(tree).scan(only)
    _LOG.debug(
        "%d functions seen, %d facts lost",
        len(seen.functions),
        len(seen.problems),
    )
    return seen


class _Scanner:
    """One scan, with what it has parsed already."""

    def __init__(self, tree: host_tree.HostTree) -> None:
        self._tree = tree
        self._problems: list[host_scan.Lost] = []
        # VFs of one card share these, so each is parsed once.
        self._ids: dict[bytes, function_ids.Ids] = {}
        self._pfs: dict[str, sriov.Indices] = {}
        self._vdpa_parents = self._find_vdpa_parents()

    def scan(self, only: ty.Collection[str] | None) -> host_scan.HostScan:
        tree = self._tree
        names = self._names() if only is None else only
        functions = []
        # Addresses differ in length only where the domain needs more digits.
        for name in sorted(names, key=lambda name: (len(name), name)):
            try:
                with tree.folder(f"{paths.DEVICES}/{name}") as folder:
                    functions.append(self._function(name, folder))
            except (OSError, ValueError) as error:
                self._lost(name, None, error)
        return host_scan.HostScan(
            tuple(functions),
            tree.read_text("proc/sys/kernel/osrelease"),
            tree.read_text("proc/cmdline"),
            tuple(
                sorted(
                    line.split(" ", 1)[0]
                    for line in (
                        tree.read_text("proc/modules") or ""
                    ).splitlines()
                )
            ),
            tuple(self._problems),
            tree,
        )

    def _names(self) -> list[str]:
        try:
            with self._tree.folder(paths.DEVICES) as folder:
                return folder.names()
        except OSError as error:
            buses = self._tree.listdir(paths.BUSES)
            if buses and "pci" not in buses:
                return []  # The kernel was built without PCI.
            raise exception.HostError(
                f"the host's PCI functions can't be listed: {paths.DEVICES}:"
                f" {error.strerror}",
                "--host-root names the folder, or the recorded host, that"
                " has it",
            ) from error

    def _find_vdpa_parents(self) -> frozenset[str]:
        """The functions below which vDPA devices stand, of any name."""
        found = set()
        for name in self._tree.listdir(paths.VDPA):
            # What vanishes meanwhile is below none.
            with contextlib.suppress(OSError):
                home = self._tree.real_path(f"{paths.VDPA}/{name}")
                found.add(home.rpartition("/")[0].rpartition("/")[2])
        return frozenset(found)

    def _function(
        self, name: str, folder: host_tree.Folder
    ) -> function.PciFunction:
        """One function.

        :raises OSError: its ids can't be read
        :raises ValueError: what it is can't be read, or makes no sense
        """
        # Longer than 60 lines: a fact after the other, in the order of reading
        # that asks for nothing in vain.
        address = pci_address.PciAddress.parse(name)
        before = len(self._problems)
        names = set(folder.names())
        ids = self._ids_of(name, folder, names)
        driver = group = pf = node = override = serial = header = None
        totalvfs = numvfs = 0
        if "driver" in names:
            driver = self._fact(name, "driver", folder.link)
        if "iommu_group" in names:
            group = self._fact(name, "iommu_group", folder.link)
        if "physfn" in names:
            pf = self._pf(_tail(_telling("physfn", folder.link)))
        if "numa_node" in names:
            node = self._fact(
                name, "numa_node", lambda fact: int(folder.read(fact))
            )
        if "driver_override" in names:
            override = self._text(name, folder, "driver_override")
        if "sriov_totalvfs" in names:
            totalvfs = _telling(
                "sriov_totalvfs", lambda fact: int(folder.read(fact))
            )
            numvfs = sriov.count(names)
        if "serial_number" in names:
            serial = self._text(name, folder, "serial_number")
        if function.is_open_class(ids.class_code) and "config" in names:
            header = self._fact(
                name, "config", lambda _: function_ids.header_type(folder)
            )
        driver = driver and _tail(driver)
        netdevs = self._listing(name, "net") if "net" in names else ()
        mdev_types = (
            self._listing(name, "mdev_supported_types")
            if "mdev_supported_types" in names
            else ()
        )
        return function.PciFunction(
            address,
            ids.vendor_id,
            ids.product_id,
            ids.class_code,
            driver,
            "vfio-dev" in names or driver == "vfio-pci",
            drivers.override_in(override),
            int(_tail(group)) if group else None,
            node if node is not None and node >= 0 else None,
            None if pf is None else pf.pf,
            totalvfs,
            numvfs,
            netdevs,
            mdev_types,
            ids.modalias,
            lost=frozenset(
                [str(lost.fact) for lost in self._problems[before:]]
            )
            if len(self._problems) > before
            else _NOTHING,
            vdpa=pf is not None
            and (
                name in self._vdpa_parents
                # A recording may lack that bus; mostly they are called vdpa0.
                or "\nvdpa" in "\n".join(("", *names))
            ),
            has_vgpu_folder="nvidia" in names,
            subsystem=ids.subsystem,
            serial_number=serial or None,
            vf_index=None if pf is None else pf.of(address),
            header_type=header,
        )

    def _ids_of(
        self, name: str, folder: host_tree.Folder, names: set[str]
    ) -> function_ids.Ids:
        """What ``modalias`` says, or the files that say the same.

        :raises OSError: neither modalias nor the three files can be read
        :raises ValueError: the three files make no sense
        """
        if "modalias" in names:
            try:
                raw = folder.read("modalias")
                known = self._ids.get(raw)
                if known is None:
                    known = self._ids[raw] = function_ids.parse_modalias(raw)
            except (OSError, ValueError) as error:
                self._lost(name, "modalias", error)
            else:
                return known
        return function_ids.Ids(
            function_ids.hex_id(folder.read("vendor")),
            function_ids.hex_id(folder.read("device")),
            int(folder.read("class"), 16),
            self._subsystem(name, folder, names),
            None,
        )

    def _subsystem(
        self, name: str, folder: host_tree.Folder, names: set[str]
    ) -> str | None:
        parts = []
        for fact in ("subsystem_vendor", "subsystem_device"):
            if fact not in names:
                return None
            parts.append(
                self._fact(
                    name,
                    fact,
                    lambda fact: function_ids.hex_id(folder.read(fact)),
                )
            )
        return None if None in parts else ":".join(map(str, parts))

    def _pf(self, name: str) -> sriov.Indices:
        pf = self._pfs.get(name)
        if pf is None:
            address = pci_address.PciAddress.parse(name)
            pf = self._pfs[name] = sriov.Indices(self._tree, address)
        return pf

    def _fact(
        self, name: str, fact: str, read: ty.Callable[[str], _T]
    ) -> _T | None:
        """A fact that is lost if it can't be read, or makes no sense."""
        try:
            return read(fact)
        except (OSError, ValueError) as error:
            self._lost(name, fact, error)
            return None

    def _text(
        self, name: str, folder: host_tree.Folder, fact: str
    ) -> str | None:
        raw = self._fact(name, fact, folder.read)
        return None if raw is None else raw.decode(errors="replace").strip()

    def _listing(self, name: str, fact: str) -> tuple[str, ...]:
        try:
            with self._tree.folder(f"{paths.DEVICES}/{name}/{fact}") as folder:
                return tuple(sorted(folder.names()))
        except OSError as error:
            self._lost(name, fact, error)
            return ()

    def _lost(self, subject: str, fact: str | None, error: Exception) -> None:
        self._problems.append(host_scan.Lost(subject, fact, _why(error)))


def _tail(target: str) -> str:
    """The last part of where a link points to."""
    return target.rpartition("/")[2]


def _why(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def _telling(fact: str, read: ty.Callable[[str], _T]) -> _T:
    """A fact without which a function would be taken for another kind.

    :raises ValueError: it can't be read, or makes no sense
    """
    try:
        return read(fact)
    except (OSError, ValueError) as error:
        raise ValueError(f"{fact}: {_why(error)}") from error
