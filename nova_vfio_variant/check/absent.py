# SPDX-License-Identifier: Apache-2.0
"""Entries of device_spec whose devices this host doesn't have, and why."""

import typing as ty

from nova_vfio_variant import codes, finding
from nova_vfio_variant.check import facts
from nova_vfio_variant.host import function as host_function
from nova_vfio_variant.host import scan as host_scan
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import matching, pattern
from nova_vfio_variant.pci import spec as pci_spec

_PARTS = frozenset({"domain", "bus", "slot", "function", "address"})


def matches_nothing(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Entries that match nothing: VFs not made yet, or a field is wrong."""
    scan = given.scan
    if scan is None:
        return
    for number, spec in enumerate(given.specs):
        if given.matched[number]:
            continue
        at = None if spec.address is None else spec.address.single
        yield _few_vfs(scan, spec, at) or _nothing(given, spec)


def _few_vfs(
    scan: host_scan.HostScan, spec: pci_spec.DeviceSpec, single: str | None
) -> finding.Finding | None:
    """Whether the entry names VFs that a PF of this host could have."""
    if single is None:
        return None
    try:
        wanted = pci_address.PciAddress.parse(single)
    except ValueError:
        return None
    for pf in scan.functions:
        if pf.sriov_totalvfs == 0:
            continue
        if pf.address == wanted:
            if pf.sriov_numvfs == 0 and spec.product_id != pf.product_id:
                return _fewer(spec, pf, "its VFs are meant")
            continue
        number = _vf_number(scan, pf, wanted)
        if number is not None and number > (pf.sriov_numvfs or 0):
            return _fewer(spec, pf, f"{wanted} would be number {number}")
    return None


def _fewer(
    spec: pci_spec.DeviceSpec, pf: host_function.PciFunction, what: str
) -> finding.Finding:
    has = pf.sriov_numvfs or 0
    return facts.on_spec(
        codes.FEWER_VFS,
        f"{what}, and PF {pf.address} has {has} of {pf.sriov_totalvfs} VFs",
        spec,
        "address",
        str(pf.address),
    )


def _vf_number(
    scan: host_scan.HostScan,
    pf: host_function.PciFunction,
    wanted: pci_address.PciAddress,
) -> int | None:
    """Which VF of a PF an address would be, counted from 1.

    Routing IDs follow the PF's by ``sriov_offset`` and ``sriov_stride``
    (pci_iov_virtfn_devfn in drivers/pci/iov.c).
    """
    below = f"{host_scan.DEVICES}/{pf.address}"
    try:
        offset = int(scan.tree.read_text(f"{below}/sriov_offset") or "")
        stride = int(scan.tree.read_text(f"{below}/sriov_stride") or "")
    except ValueError:
        return None
    if wanted.domain != pf.address.domain:
        return None
    distance = _routing_id(wanted) - _routing_id(pf.address) - offset
    number, rest = divmod(distance, stride) if stride else (distance, 0)
    if rest or not 0 <= number < pf.sriov_totalvfs:
        return None
    return number + 1


def _routing_id(at: pci_address.PciAddress) -> int:
    return at.bus << 8 | at.slot << 3 | at.function


def _nothing(
    given: facts.CheckInput, spec: pci_spec.DeviceSpec
) -> finding.Finding:
    """Name the field that keeps the nearest function from matching."""
    if not given.functions:
        return facts.on_spec(
            codes.MATCHES_NOTHING, "this host has no PCI function", spec
        )
    nearest = min(given.functions, key=_distance(spec))
    (best,) = matching.Matcher([spec], given.functions).explain(nearest)
    wrong = [field for field in best.fields if not field.matched]
    shown = " and ".join(
        f"{field.field} is {field.found or 'nothing'}, not {field.wanted}"
        + (f" ({field.note})" if field.note else "")
        for field in wrong
    )
    key = wrong[0].field
    if key in _PARTS and f"address.{key}" not in spec.keys:
        key = "address"
    elif key in _PARTS:
        key = f"address.{key}"
    return facts.on_spec(
        codes.MATCHES_NOTHING,
        f"this entry matches nothing on this host; nearest is"
        f" {nearest.address}, whose {shown}",
        spec,
        key if len(wrong) == 1 else None,
        str(nearest.address),
    )


def _distance(
    spec: pci_spec.DeviceSpec,
) -> ty.Callable[[host_function.PciFunction], tuple[int, int]]:
    """How far a function is from matching: by its ids, then by its place."""
    address = spec.address or pattern.GlobPattern()
    known: dict[tuple[str, int], bool] = {}

    def fits(field: str, at: pci_address.PciAddress) -> bool:
        key = (field, getattr(at, field))
        if key not in known:
            known[key] = address.accepts(field, pattern.texts(at)[field])
        return known[key]

    def distance(seen: host_function.PciFunction) -> tuple[int, int]:
        return (
            (spec.vendor_id not in (None, seen.vendor_id))
            + (spec.product_id not in (None, seen.product_id)),
            sum(not fits(field, seen.address) for field in pattern.FIELDS),
        )

    return distance
