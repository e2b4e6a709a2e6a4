# SPDX-License-Identifier: Apache-2.0
"""Hosts of any size, made up from nothing, as plain values."""

from __future__ import annotations

from nova_vfio_variant.pci import address, function

_FUNCTIONS_A_BUS = 256
_BUSES_A_DOMAIN = 256


def make_functions(
    pfs: int,
    vfs_per_pf: int,
    *,
    numa_nodes: int = 2,
    domain: int = 0,
    vendor_id: str = "8086",
    pf_product_id: str = "10c9",
    vf_product_id: str = "10ca",
    vf_driver: str | None = "vfio-pci",
) -> tuple[function.PciFunction, ...]:
    """Network cards with virtual functions, as a scan would give them.

    Each PF begins a bus of its own and its VFs follow it without a gap, as
    with ARI; where a domain has no bus left the next domain begins. NUMA
    nodes are dealt out to the PFs in turn; each function has an IOMMU group
    of its own.

    :param pfs: number of physical functions
    :param vfs_per_pf: VFs of each; with 0 the PFs are plain PCI functions
    :param numa_nodes: 0 for a host that knows of no NUMA node
    :param domain: the first PCI domain
    :param vf_driver: driver of every VF; ``vfio-pci``, or a name that ends
        in ``_vfio_pci`` for a variant driver, makes it a VFIO driver
    :returns: pfs * (vfs_per_pf + 1) functions in rising order of address
    """
    buses = -(-(vfs_per_pf + 1) // _FUNCTIONS_A_BUS)
    pfs_a_domain = _BUSES_A_DOMAIN // buses
    functions: list[function.PciFunction] = []
    for index in range(pfs):
        in_domain, place = divmod(index, pfs_a_domain)
        first = place * buses * _FUNCTIONS_A_BUS
        pf = function.PciFunction(
            _address(domain + in_domain, first),
            vendor_id,
            pf_product_id,
            0x020000,
            driver="igb",
            iommu_group=len(functions),
            numa_node=index % numa_nodes if numa_nodes else None,
            sriov_totalvfs=vfs_per_pf,
            sriov_numvfs=vfs_per_pf,
            netdevs=(f"eth{index}",),
            modalias=_modalias(vendor_id, pf_product_id),
        )
        functions.append(pf)
        functions += (
            _vf(pf, number, vf_product_id, vf_driver)
            for number in range(1, vfs_per_pf + 1)
        )
    return tuple(functions)


def _vf(
    pf: function.PciFunction,
    number: int,
    product_id: str,
    driver: str | None,
) -> function.PciFunction:
    """The VF of a PF that follows it at this distance."""
    return function.PciFunction(
        _address(pf.address.domain, (pf.address.bus << 8) + number),
        pf.vendor_id,
        product_id,
        pf.class_code,
        driver=driver,
        vfio=driver is not None
        and driver.replace("-", "_").endswith("vfio_pci"),
        iommu_group=(pf.iommu_group or 0) + number,
        numa_node=pf.numa_node,
        physfn=pf.address,
        modalias=_modalias(pf.vendor_id, product_id),
    )


def _address(domain: int, routing_id: int) -> address.PciAddress:
    """The function with this routing ID (bus, slot and function in one)."""
    return address.PciAddress(
        domain, routing_id >> 8, routing_id >> 3 & 0x1F, routing_id & 7
    )


def _modalias(vendor_id: str, product_id: str) -> str:
    vendor, product = vendor_id.upper(), product_id.upper()
    return f"pci:v0000{vendor}d0000{product}sv00000000sd00000000bc02sc00i00"
