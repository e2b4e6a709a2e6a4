# SPDX-License-Identifier: Apache-2.0
"""Entries of device_spec whose devices this host doesn't have, and why."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import matching, pattern
from nova_vfio_variant.pci import spec as pci_spec

_PARTS = frozenset({"domain", "bus", "slot", "function", "address"})

#: The rank of bridges among what could be meant.
_NEVER_MEANT = 3


def matches_nothing(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Entries that match nothing: VFs not made yet, or a field is wrong."""
    scan = given.scan
    if scan is None:
        return
    near = _Near(scan)
    pfs = _Pf.all_of(scan)
    for number, spec in enumerate(given.specs):
        if not given.matched[number] and not _hidden(given, spec):
            yield _few_vfs(spec, pfs) or _nothing(spec, near)


def _hidden(given: facts.CheckInput, spec: pci_spec.DeviceSpec) -> bool:
    """Whether it names what is there and can't be read, as is told already."""
    return any(
        spec.address is not None
        and all(
            spec.address.accepts(field, text)
            for field, text in pattern.texts(at).items()
        )
        for at in (given.scan.unread if given.scan else ())
    )


def _few_vfs(
    spec: pci_spec.DeviceSpec, pfs: ty.Sequence[_Pf]
) -> finding.Finding | None:
    """Whether the entry names VFs that a PF of this host could have."""
    single = None if spec.address is None else spec.address.single
    if single is None:
        return None
    try:
        wanted = pci_address.PciAddress.parse(single)
    except ValueError:
        return None
    for listed in pfs:
        pf = listed.seen
        if pf.address == wanted:
            if pf.sriov_numvfs == 0 and spec.product_id != pf.product_id:
                return _fewer(spec, pf, "its VFs are meant")
            continue
        number = listed.number(wanted)
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Pf:
    """A PF, and where its VFs would be.

    Routing IDs follow the PF's by ``sriov_offset`` and ``sriov_stride``
    (pci_iov_virtfn_devfn in drivers/pci/iov.c); None if either is unknown.
    """

    seen: host_function.PciFunction
    offset: int | None
    stride: int | None

    @classmethod
    def all_of(cls, scan: host_scan.HostScan) -> list[_Pf]:
        """Every PF of a host."""
        return [
            cls(
                seen,
                _number(scan, seen, "sriov_offset"),
                _number(scan, seen, "sriov_stride"),
            )
            for seen in scan.functions
            if seen.sriov_totalvfs
        ]

    def number(self, wanted: pci_address.PciAddress) -> int | None:
        """Which VF an address would be, counted from 1."""
        at = self.seen.address
        if self.offset is None or self.stride is None:
            return None
        if wanted.domain != at.domain:
            return None
        distance = _routing_id(wanted) - _routing_id(at) - self.offset
        number, rest = (
            divmod(distance, self.stride) if self.stride else (distance, 0)
        )
        if rest or not 0 <= number < self.seen.sriov_totalvfs:
            return None
        return number + 1


def _number(
    scan: host_scan.HostScan, pf: host_function.PciFunction, name: str
) -> int | None:
    text = scan.tree.read_text(f"{paths.DEVICES}/{pf.address}/{name}")
    try:
        return int(text or "")
    except ValueError:
        return None


def _routing_id(at: pci_address.PciAddress) -> int:
    return at.bus << 8 | at.slot << 3 | at.function


def _nothing(spec: pci_spec.DeviceSpec, near: _Near) -> finding.Finding:
    """Name the field that keeps the nearest function from matching."""
    nearest = near.to(spec)
    if nearest is None:
        return facts.on_spec(
            codes.MATCHES_NOTHING,
            "this entry matches nothing on this host, and no device here is"
            " like it",
            spec,
            hint="Name devices that nova-vfio host list shows.",
        )
    # Its PF is all else that may matter.
    family = [nearest]
    if nearest.physfn is not None:
        family += filter(None, [near.scan.get(nearest.physfn)])
    (best,) = matching.Matcher([spec], family).explain(nearest)
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
        _meant(nearest, {field.field for field in wrong}),
    )


def _meant(nearest: host_function.PciFunction, wrong: set[str]) -> str | None:
    """What to write if the nearest function is meant."""
    if nearest.address.domain > pattern.MAX_DOMAIN:
        return None
    if wrong <= _PARTS:
        return f'If it is meant, write "address": "{nearest.address}".'
    if len(wrong) == 1 and wrong <= {"vendor_id", "product_id"}:
        (key,) = wrong
        return f'If it is meant, write "{key}": "{getattr(nearest, key)}".'
    return None


class _Near:
    """Which function of a host an entry that matches none is nearest to.

    For each value of a field the functions that have it are kept as bits, so
    that an entry is not compared with one function after another.

    :ivar scan: the host
    """

    def __init__(self, scan: host_scan.HostScan) -> None:
        self.scan = scan
        self._all = (1 << len(scan.functions)) - 1
        self._interfaces: dict[str, host_function.PciFunction] = {}
        self._having: dict[str, dict[str, int]] = {}
        self._ranks: dict[int, int] = {}
        for number, seen in enumerate(scan.functions):
            bit = 1 << number
            self._interfaces.update(dict.fromkeys(seen.netdevs, seen))
            values = {
                "vendor_id": seen.vendor_id,
                "product_id": seen.product_id,
                **pattern.texts(seen.address),
            }
            for field, value in values.items():
                having = self._having.setdefault(field, {})
                having[value] = having.get(value, 0) | bit
            rank = _rank(seen)
            self._ranks[rank] = self._ranks.get(rank, 0) | bit
        self._accepted: dict[tuple[type, str, str], int] = {}

    def to(
        self, spec: pci_spec.DeviceSpec
    ) -> host_function.PciFunction | None:
        """The nearest function; None if there is nothing to tell it by.

        The one with the most of the ids, then of the address, then with the
        likest product; of those that are equal a VF rather than its PF. A
        bridge is meant only where the address says so.
        """
        if spec.devname is not None:
            return self._interfaces.get(spec.devname)
        ids = [
            self._having.get(field, {}).get(value, 0)
            for field in ("vendor_id", "product_id")
            if (value := getattr(spec, field)) is not None
        ]
        left = _most(ids, self._all)
        fields = [
            self._fitting(spec.address, field)
            for field in pattern.FIELDS
            if spec.address is not None
            and spec.address.wanted(field) is not None
        ]
        left = _most(fields, left)
        if not fields:
            left &= ~self._ranks.get(_NEVER_MEANT, 0)
        told = any(field & left for field in (*ids, *fields))
        if spec.product_id is not None:
            digits, left = self._likest(spec.product_id, left)
            told = told or digits <= 1
        if not told:
            return None
        for rank in sorted(self._ranks):
            found = left & self._ranks[rank]
            if found:
                number = (found & -found).bit_length() - 1
                return self.scan.functions[number]
        return None

    def _fitting(self, address: pattern.AddressPattern, field: str) -> int:
        wanted = address.wanted(field)
        assert wanted is not None
        key = (type(address), field, wanted)
        if key not in self._accepted:
            self._accepted[key] = sum(
                bits
                for text, bits in self._having.get(field, {}).items()
                if address.accepts(field, text)
            )
        return self._accepted[key]

    def _likest(self, product_id: str, left: int) -> tuple[int, int]:
        """The fewest digits in which a product differs, and whose does."""
        alike: dict[int, int] = {}
        for text, bits in self._having["product_id"].items():
            if bits & left:
                differ = sum(map(str.__ne__, text, product_id))
                alike[differ] = alike.get(differ, 0) | bits & left
        return min(alike.items(), default=(len(product_id), left))


def _most(masks: ty.Sequence[int], left: int) -> int:
    """Those of the functions left that most of the masks have."""
    for count in range(len(masks), 0, -1):
        found = 0
        for chosen in itertools.combinations(masks, count):
            found |= functools.reduce(operator.and_, chosen, left)
        if found:
            return found
    return left


def _rank(seen: host_function.PciFunction) -> int:
    """How seldom a function is what somebody means to give to a guest."""
    if seen.has_bridge_class:
        return _NEVER_MEANT
    if seen.physfn is not None:
        return 0
    return 2 if seen.sriov_totalvfs else 1
