# SPDX-License-Identifier: Apache-2.0
"""The work of :mod:`benchmarks.workload` as our own values."""

import functools
import typing as ty

from benchmarks import workload
from nova_vfio_variant import source
from nova_vfio_variant.pci import address, alias, function, parse, spec


@functools.cache
def functions(vfs: int) -> tuple[function.PciFunction, ...]:
    """A finished scan of the host with so many VFs.

    :param vfs: beside 64 PFs
    """
    return tuple(
        _function(place, one) for place, one in enumerate(workload.host(vfs))
    )


def specs(values: ty.Iterable[str]) -> tuple[spec.DeviceSpec, ...]:
    """Parsed ``device_spec`` values."""
    texts = [source.SourceText.of(value) for value in values]
    found, findings = parse.parse_device_specs(texts)
    assert not findings, findings
    return found


def _function(place: int, one: dict[str, ty.Any]) -> function.PciFunction:
    parent = one.get("parent_addr")
    return function.PciFunction(
        address.PciAddress.parse(one["address"]),
        one["vendor_id"],
        one["product_id"],
        0x020000,
        driver="vfio-pci" if parent else "igb",
        vfio=parent is not None,
        iommu_group=place,
        numa_node=one["numa_node"],
        # As a scan: an object of its own for each VF.
        physfn=address.PciAddress.parse(parent) if parent else None,
        sriov_totalvfs=one.get("sriov_totalvfs", 0),
        sriov_numvfs=one.get("sriov_totalvfs", 0),
    )


def request(count: int) -> alias.PciRequest:
    """A request for so many VFs by their ids."""
    wanted = alias.Alias(
        "vf",
        source.SourceText.of("{}", "alias"),
        vendor_id=workload.VENDOR_ID,
        product_id=workload.VF_PRODUCT_ID,
    )
    return alias.PciRequest("vf", count, (wanted,), "legacy")
