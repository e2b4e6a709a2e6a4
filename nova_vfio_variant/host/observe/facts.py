# SPDX-License-Identifier: Apache-2.0
"""All that a decision about the host needs to know, gathered at one moment.

What a plan, ``host show`` and ``config check`` know of a host they know from
here; deciding itself reads nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as ty

from nova_vfio_variant.host.observe import (
    drivers,
    function_state,
    host_scan,
    machine,
    mdev,
    programs,
    sriov,
    vendor_vgpu,
)
from nova_vfio_variant.host.observe import records as host_records
from nova_vfio_variant.host.observe import use as uses
from nova_vfio_variant.host.observe.use import (
    children,
    device_files,
    display,
    network,
    processes,
    storage,
)
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed


@dataclasses.dataclass(frozen=True, slots=True)
class Sriov:
    """What a PF says of VFs that it doesn't have yet.

    :param routing: where they are
    :param vf_device: their product id, four lower-case hex digits
    """

    routing: sriov.Routing
    vf_device: str


@dataclasses.dataclass(frozen=True)
class HostFacts:
    """A host's functions and what stands in the way of changing them.

    :param scan: the functions
    :param states: what we may change, by address
    :param in_use: the uses of each function, by address
    :param sriov: of each PF that says so, by address
    :param drivers: names of the drivers that are there
    :param modules: names of the modules that may be loaded, with ``_``: of
        drivers for PCI functions
    :param all_modules: there are no others; False where they can't be seen
    :param vgpus: of each VF that has a vendor's vGPU folder
    :param records: what is known of its functions beside that
    :param unseen: what this root can't show of any host, such as
        ``processes``: nobody knows whether it has a use for a function
    :param mdevs: the mediated devices, and who offers them
    :param mdev_uses: who has a mediated device open, by its UUID
    """

    scan: host_scan.HostScan
    states: ty.Mapping[pci_address.PciAddress, function_state.State]
    in_use: ty.Mapping[pci_address.PciAddress, tuple[uses.Use, ...]]
    sriov: ty.Mapping[pci_address.PciAddress, Sriov]
    drivers: frozenset[str]
    modules: frozenset[str]
    all_modules: bool
    vgpus: ty.Mapping[pci_address.PciAddress, vendor_vgpu.VendorVgpu] = (
        dataclasses.field(default_factory=dict)
    )
    unseen: tuple[str, ...] = ()
    records: host_records.Records = host_records.NOTHING
    mdevs: mdev.Mdevs = mdev.NONE
    mdev_uses: ty.Mapping[str, tuple[uses.Use, ...]] = dataclasses.field(
        default_factory=dict
    )

    def knowing(
        self,
        *,
        owners: host_records.Owners | None = None,
        quarantined: host_records.Quarantines | None = None,
        cordoned: host_records.Quarantines | None = None,
    ) -> HostFacts:
        """The same host, with this recorded of it in place of what is.

        What is None stays as it is.
        """
        known = self.records
        return dataclasses.replace(
            self,
            records=dataclasses.replace(
                known,
                owners=known.owners if owners is None else owners,
                quarantined=(
                    known.quarantined if quarantined is None else quarantined
                ),
                cordoned=known.cordoned if cordoned is None else cordoned,
            ),
        )

    @functools.cached_property
    def how_to_get_an_iommu(self) -> str:
        """Advice for this kind of machine, read when asked for."""
        return machine.enable_iommu(self.scan.tree, self.scan.cmdline)

    def driver_named(self, name: str) -> str | None:
        """The driver of this name that is there, ``-`` and ``_`` alike."""
        if name in self.drivers:
            return name
        for driver in self.drivers:
            if drivers.same_name(driver, name):
                return driver
        return None

    def can_load(self, name: str) -> bool | None:
        """Whether a module of this name may be loaded; None if unknown."""
        if name.replace("-", "_") in self.modules:
            return True
        return False if self.all_modules else None

    def why_not_run(self, name: str) -> str | None:
        """Why a program of the host isn't run.

        :returns: None where it is, or where that can't be seen
        """
        return programs.why_not_run(self.scan.tree, name)


def gather(
    host: host_scan.HostScan, opened: device_files.OpenFiles | None = None
) -> HostFacts:
    """Read what stands in the way of each function of a host.

    :param opened: what its processes have open, where somebody looked who
        may; None to look now
    """
    tree = host.tree
    if opened is None:
        opened = processes.look(tree)
    disks = storage.look(tree)
    routing = network.Routing.of(tree)
    open_files = device_files.Index(opened, children.look(tree))
    in_use = {}
    mdevs = mdev.read(tree)
    for function in host.functions:
        address = str(function.address)
        group = host.iommu_groups.get(function.iommu_group or 0, ())
        found = (
            *display.look(tree, address),
            *network.look(tree, function, routing),
            *disks.of(function),
            *open_files.uses(
                function, disks.names.get(address, ()), len(group)
            ),
        )
        if found:
            in_use[function.address] = found
    return HostFacts(
        host,
        {
            function.address: function_state.state(tree, function)
            for function in host.functions
        },
        in_use,
        {
            function.address: known
            for function in host.functions
            if (known := _sriov(tree, function)) is not None
        },
        frozenset(tree.listdir("sys/bus/pci/drivers")),
        *_modules(host),
        {
            function.address: vendor_vgpu.read(tree, function.address)
            for function in host.functions
            if function.has_vgpu_folder
        },
        (
            *((uses.PROCESSES,) if opened.unseen else ()),
            *disks.unseen,
            *((uses.ADDRESSES,) if routing.unseen else ()),
        ),
        mdevs=mdevs,
        mdev_uses={
            device.uuid: found
            for device in mdevs.devices.values()
            if (found := open_files.of_mdev(device.uuid, device.group))
        },
    )


def _sriov(
    tree: host_tree.HostTree, function: observed.PciFunction
) -> Sriov | None:
    if not function.sriov_totalvfs:
        return None
    routing = sriov.routing(tree, function.address)
    device = sriov.vf_device(tree, function.address)
    if routing is None or device is None:
        return None
    return Sriov(routing, device)


def _modules(host: host_scan.HostScan) -> tuple[frozenset[str], bool]:
    """The modules that may be loaded, and whether these are all."""
    named = drivers.for_functions(
        host.tree,
        host.kernel_release,
        {function.vendor_id for function in host.functions},
    )
    there = drivers.loadable(host.tree, host.kernel_release)
    if there is not None:
        return named & there, True
    # A recorded host has these lines alone.
    return frozenset(
        module.replace("-", "_") for _, module in host.vfio_aliases
    ), False
