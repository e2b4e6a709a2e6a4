# SPDX-License-Identifier: Apache-2.0
"""Which device_spec entry takes which function: the first that matches.

For each field of a function, the entries that its value satisfies are
remembered as a bit mask; the masks are ANDed, and the lowest bit that is left
is the first entry that matches. So the work for a function does not grow
with the number of entries, where Nova asks one after another.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant.pci import pattern, values

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import spec

_FORMATS = {
    "domain": "{:04x}",
    "bus": "{:02x}",
    "slot": "{:02x}",
    "function": "{:x}",
}


@dataclasses.dataclass(frozen=True, slots=True)
class FieldMatch:
    """Why one field of an entry fits a function, or doesn't.

    :param field: a key of the entry, with its part for an address: ``bus``
    :param wanted: what the entry says
    :param found: what the function has; None if it has nothing of the kind
    :param matched: whether it fits
    :param note: what isn't obvious about it
    """

    field: str
    wanted: str
    found: str | None
    matched: bool
    note: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class SpecMatch:
    """What one entry makes of a function.

    :param spec: the entry
    :param fields: all that the entry asks of a function, in order
    :param wins: it matches, and no entry before it does
    """

    spec: spec.DeviceSpec
    fields: tuple[FieldMatch, ...]
    wins: bool

    @property
    def matched(self) -> bool:
        """Whether every field fits."""
        return all(field.matched for field in self.fields)


class _Masks(dict[ty.Any, int]):
    """For each value of a field, the entries that it satisfies, as bits."""

    def __init__(self, entries_for: ty.Callable[[ty.Any], int]) -> None:
        super().__init__()
        self._entries_for = entries_for

    def __missing__(self, value: ty.Any) -> int:
        mask = self[value] = self._entries_for(value)
        return mask


class _First(dict[int, "spec.DeviceSpec | None"]):
    """For each mask the first of its entries."""

    def __init__(self, specs: ty.Sequence[spec.DeviceSpec]) -> None:
        super().__init__({0: None})
        self._specs = specs

    def __missing__(self, mask: int) -> spec.DeviceSpec | None:
        found = self[mask] = self._specs[(mask & -mask).bit_length() - 1]
        return found


class Matcher:
    """The entries of a configuration on one host.

    The host is needed for what an entry means: an address that is a PF's
    covers its VFs, and an interface name stands for the function that has it.

    :param specs: in the order of matching
    :param functions: all of the host
    """

    def __init__(
        self,
        specs: ty.Sequence[spec.DeviceSpec],
        functions: ty.Iterable[values.Function],
    ) -> None:
        self.specs = tuple(specs)
        functions = tuple(functions)
        pfs = {str(seen.address) for seen in functions if seen.sriov_totalvfs}
        interfaces: dict[str, pci_address.PciAddress] = {}
        if any(spec.devname is not None for spec in self.specs):
            for function in functions:
                for name in function.netdevs:
                    interfaces[name] = function.address
        self._patterns = [_pattern(spec, interfaces) for spec in self.specs]
        # None for an interface that the host doesn't have.
        self._pf_mask = _mask(
            found is not None and found.single in pfs
            for found in self._patterns
        )
        self._remote_mask = _mask(map(remote_managed, self.specs))
        self._vendors = self._ids("vendor_id")
        self._products = self._ids("product_id")
        self._domains, self._buses, self._slots, self._functions = (
            self._part(field) for field in pattern.FIELDS
        )
        self._first = _First(self.specs)

    def winner(self, function: values.Function) -> spec.DeviceSpec | None:
        """The entry that takes a function; None if none does."""
        return self.winners((function,))[0]

    def winners(
        self, functions: ty.Iterable[values.Function]
    ) -> list[spec.DeviceSpec | None]:
        """For each function the entry that takes it, or None.

        :raises ConfigError: a regular expression took more than a second
        """
        first = self._first
        return [first[mask] for mask in self._masks(functions)]

    def matched(
        self, functions: ty.Sequence[values.Function]
    ) -> list[frozenset[pci_address.PciAddress]]:
        """For each entry all functions that it matches, won or not.

        Functions are mostly alike, and so are entries: each set is made once.

        :raises ConfigError: a regular expression took more than a second
        """
        alike: dict[int, int] = {}
        for number, mask in enumerate(self._masks(functions)):
            alike[mask] = alike.get(mask, 0) | 1 << number
        columns = [0] * len(self.specs)
        for mask, column in alike.items():
            for number in _bits(mask):
                columns[number] |= column
        made = {
            column: frozenset(
                functions[number].address for number in _bits(column)
            )
            for column in set(columns)
        }
        return [made[column] for column in columns]

    def _masks(
        self, functions: ty.Iterable[values.Function]
    ) -> ty.Iterator[int]:
        """For each function the entries that it satisfies."""
        vendors, products = self._vendors, self._products
        domains, buses = self._domains, self._buses
        slots, numbers = self._slots, self._functions
        pf_mask, remote_mask = self._pf_mask, self._remote_mask
        for function in functions:
            mask = vendors[function.vendor_id] & products[function.product_id]
            if mask:
                at = function.address
                covered = (
                    domains[at.domain]
                    & buses[at.bus]
                    & slots[at.slot]
                    & numbers[at.function]
                )
                parent = function.physfn if pf_mask else None
                if parent is not None:
                    covered |= (
                        pf_mask
                        & domains[parent.domain]
                        & buses[parent.bus]
                        & slots[parent.slot]
                        & numbers[parent.function]
                    )
                mask &= covered
                if mask & remote_mask and not function.card_serial_number:
                    mask &= ~remote_mask
            yield mask

    def explain(self, function: values.Function) -> tuple[SpecMatch, ...]:
        """What each entry makes of a function, in order, field by field."""
        winner = self.winner(function)
        return tuple(
            SpecMatch(
                spec,
                tuple(self._fields(number, function))
                or (_asks_for_nothing(function),),
                spec is winner,
            )
            for number, spec in enumerate(self.specs)
        )

    def _ids(self, field: str) -> _Masks:
        by_value: dict[str, int] = collections.defaultdict(int)
        for number, spec in enumerate(self.specs):
            by_value[getattr(spec, field) or pattern.ANY] |= 1 << number
        return _Masks(
            lambda value: by_value.get(value, 0) | by_value.get(pattern.ANY, 0)
        )

    def _part(self, field: str) -> _Masks:
        """The masks of one part of an address."""
        always = 0
        exact: dict[str, int] = collections.defaultdict(int)
        tested: dict[pattern.AddressPattern, int] = {}
        for number, found in enumerate(self._patterns):
            if found is None:
                continue
            wanted = found.wanted(field)
            if wanted is None:
                always |= 1 << number
            elif isinstance(found, pattern.RegexPattern):
                # One test for all entries that say the same of this field.
                same = pattern.RegexPattern(**{field: wanted})
                tested[same] = tested.get(same, 0) | 1 << number
            else:
                exact[wanted] |= 1 << number
        show = _FORMATS[field].format

        def entries_for(value: int) -> int:
            if field == "domain" and value > pattern.MAX_DOMAIN:
                return 0
            text = show(value)
            mask = always | exact.get(text, 0)
            for address_pattern, entries in tested.items():
                if address_pattern.accepts(field, text):
                    mask |= entries
            return mask

        return _Masks(entries_for)

    def _fields(
        self, number: int, function: values.Function
    ) -> ty.Iterator[FieldMatch]:
        """All that an entry asks of a function."""
        spec = self.specs[number]
        for field in ("vendor_id", "product_id"):
            wanted = getattr(spec, field)
            if wanted is not None:
                value = getattr(function, field)
                yield FieldMatch(field, wanted, value, value == wanted)
        found = self._patterns[number]
        if found is None:
            yield FieldMatch(
                "devname",
                str(spec.devname),
                ", ".join(function.netdevs) or None,
                False,
                "this host has no PCI function with that interface",
            )
        else:
            yield from self._address_fields(number, found, function)
        if self._remote_mask >> number & 1:
            serial = function.card_serial_number
            yield FieldMatch(
                "remote_managed",
                str(spec.tags["remote_managed"]),
                serial,
                bool(serial),
                None if serial else "the card tells no serial number",
            )

    def _address_fields(
        self,
        number: int,
        found: pattern.AddressPattern,
        function: values.Function,
    ) -> ty.Iterator[FieldMatch]:
        """What an entry asks of a function's place."""
        at = function.address
        if at.domain > pattern.MAX_DOMAIN:
            yield FieldMatch(
                "domain",
                f"up to {pattern.MAX_DOMAIN:x}",
                f"{at.domain:04x}",
                False,
                "Nova skips functions in larger domains",
            )
            return
        physfn = function.physfn
        covers = bool(self._pf_mask >> number & 1)
        if covers and physfn and pattern.matches(found, physfn):
            yield FieldMatch(
                "address", str(found), str(at), True, f"a VF of {physfn}"
            )
            return
        devname = self.specs[number].devname
        if devname is not None:
            yield FieldMatch(
                "devname",
                devname,
                ", ".join(function.netdevs) or None,
                pattern.matches(found, at),
                f"the interface of {found}",
            )
            return
        for field, text in pattern.texts(at).items():
            wanted = found.wanted(field)
            if wanted is not None:
                yield FieldMatch(
                    field, wanted, text, found.accepts(field, text)
                )


def _asks_for_nothing(function: values.Function) -> FieldMatch:
    return FieldMatch(
        "address",
        str(pattern.GlobPattern()),
        str(function.address),
        True,
        "the entry names no device, and so takes every one",
    )


def _mask(bits: ty.Iterable[bool]) -> int:
    return int("".join("01"[bit] for bit in bits)[::-1] or "0", 2)


def _bits(mask: int) -> ty.Iterator[int]:
    """The numbers of the bits that are set, in rising order."""
    digits = f"{mask:b}"[::-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)


def _pattern(
    spec: spec.DeviceSpec,
    interfaces: ty.Mapping[str, pci_address.PciAddress],
) -> pattern.AddressPattern | None:
    """Where the entry's functions sit; None if nowhere on this host."""
    if spec.devname is None:
        return spec.address or pattern.GlobPattern()
    at = interfaces.get(spec.devname)
    return None if at is None else pattern.GlobPattern.of(at)


def remote_managed(spec: spec.DeviceSpec) -> bool:
    """Whether an entry takes only devices with a serial number."""
    return bool(values.boolean(spec.tags.get("remote_managed")))
