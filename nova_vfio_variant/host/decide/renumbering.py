# SPDX-License-Identifier: Apache-2.0
"""Which function of one look at a host is which one of another. Pure."""

from __future__ import annotations

import collections
import dataclasses
import enum
import typing as ty

from nova_vfio_variant.host.observe import marks as host_marks
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function

Functions = ty.Iterable[function.PciFunction]
AllMarks = ty.Mapping[pci_address.PciAddress, host_marks.Marks]
_Key = ty.Callable[[function.PciFunction, host_marks.Marks], ty.Hashable]


class Basis(enum.StrEnum):
    """Why two functions are taken for one; the surest first."""

    SERIAL = "serial number"
    MAC = "MAC address"
    PORT = "same port"
    ADDRESS = "same address"
    ONLY = "guess: the only one of its kind"
    ORDER = "guess: in order, of several alike"


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """One function, before and after."""

    old: function.PciFunction
    new: function.PciFunction
    basis: Basis


@dataclasses.dataclass(frozen=True, slots=True)
class Renumbering:
    """What became of the functions of a host.

    :param pairs: those that are there in both looks, by the old address
    :param gone: those of the old look alone
    :param came: those of the new look alone
    """

    pairs: tuple[Pair, ...]
    gone: tuple[function.PciFunction, ...]
    came: tuple[function.PciFunction, ...]


def renumbering(
    old: Functions, new: Functions, old_marks: AllMarks, new_marks: AllMarks
) -> Renumbering:
    """Find each function of one look in another one.

    A VF is the one of its PF with the same number, wherever the PF is now.

    :param old_marks: of all but VFs
    :param new_marks: likewise
    """
    found = _Search(tuple(old), tuple(new), old_marks, new_marks)
    for basis, key in _KEYS:
        found.by_key(basis, key)
    found.by_address()
    found.by_kind()
    found.vfs()
    return found.result()


def _serial(
    seen: function.PciFunction, marks: host_marks.Marks
) -> ty.Hashable:
    # The functions of a card have one number in common.
    return marks.serial and (marks.serial, seen.address.function)


_KEYS: ty.Final[tuple[tuple[Basis, _Key], ...]] = (
    (Basis.SERIAL, _serial),
    (Basis.MAC, lambda _, marks: marks.mac),
    (Basis.PORT, lambda _, marks: marks.port),
)


class _Search:
    """What is paired so far, and what is left."""

    def __init__(
        self,
        old: tuple[function.PciFunction, ...],
        new: tuple[function.PciFunction, ...],
        old_marks: AllMarks,
        new_marks: AllMarks,
    ) -> None:
        self._old = {seen.address: seen for seen in old}
        self._new = {seen.address: seen for seen in new}
        self._old_marks, self._new_marks = old_marks, new_marks
        self._pairs: list[Pair] = []

    def by_key(self, basis: Basis, key: _Key) -> None:
        """Pair what alone has something on either side."""
        olds = _alone(self._old.values(), self._old_marks, key)
        news = _alone(self._new.values(), self._new_marks, key)
        for value in olds.keys() & news.keys():
            self._pair(olds[value], news[value], basis)

    def by_address(self) -> None:
        """Pair what stands where such a one stood."""
        for address in sorted(self._old.keys() & self._new.keys()):
            old, new = self._old[address], self._new[address]
            if old.physfn is None and new.physfn is None:
                self._pair(old, new, Basis.ADDRESS)

    def by_kind(self) -> None:
        """Guess: pair those of a kind of which there are as many as before."""
        olds, news = _kinds(self._old.values()), _kinds(self._new.values())
        for kind in sorted(olds.keys() & news.keys()):
            old, new = olds[kind], news[kind]
            if len(old) == len(new):
                basis = Basis.ONLY if len(old) == 1 else Basis.ORDER
                for before, after in zip(old, new, strict=True):
                    self._pair(before, after, basis)

    def vfs(self) -> None:
        """Pair the VFs of PFs that are paired."""
        for pair in tuple(self._pairs):
            olds = _vfs(self._old.values(), pair.old.address)
            news = _vfs(self._new.values(), pair.new.address)
            for number in olds.keys() & news.keys():
                self._pair(olds[number], news[number], pair.basis)

    def result(self) -> Renumbering:
        """All of it, in rising order of address."""
        return Renumbering(
            tuple(sorted(self._pairs, key=lambda pair: pair.old.address)),
            tuple(self._old[at] for at in sorted(self._old)),
            tuple(self._new[at] for at in sorted(self._new)),
        )

    def _pair(
        self,
        old: function.PciFunction,
        new: function.PciFunction,
        basis: Basis,
    ) -> None:
        if not old.identity.may_have_moved_to(new.identity):
            return
        before = self._old_marks.get(old.address, host_marks.Marks()).serial
        after = self._new_marks.get(new.address, host_marks.Marks()).serial
        if None not in {before, after} and before != after:
            return  # Another card of the same kind.
        del self._old[old.address], self._new[new.address]
        self._pairs.append(Pair(old, new, basis))


def _alone(
    functions: Functions, marks: AllMarks, key: _Key
) -> dict[ty.Hashable, function.PciFunction]:
    """The functions by what no other one has."""
    found: dict[ty.Hashable, list[function.PciFunction]] = (
        collections.defaultdict(list)
    )
    for seen in functions:
        if seen.physfn is None:
            value = key(seen, marks.get(seen.address, host_marks.Marks()))
            if value is not None:
                found[value].append(seen)
    return {
        value: those[0] for value, those in found.items() if len(those) == 1
    }


def _kinds(
    functions: Functions,
) -> dict[tuple[str, ...], list[function.PciFunction]]:
    """The functions but VFs by their ids, each kind in order of address."""
    found: dict[tuple[str, ...], list[function.PciFunction]] = (
        collections.defaultdict(list)
    )
    for seen in sorted(functions, key=lambda seen: seen.address):
        if seen.physfn is None:
            kind = (seen.vendor_id, seen.product_id, seen.subsystem or "")
            found[kind].append(seen)
    return found


def _vfs(
    functions: Functions, pf: pci_address.PciAddress
) -> dict[int, function.PciFunction]:
    """The VFs of a PF, by their number; by their order where it isn't known.

    No kernel leaves a number out.
    """
    those = sorted(
        (seen for seen in functions if seen.physfn == pf),
        key=lambda seen: seen.address,
    )
    return {
        place if seen.vf_index is None else seen.vf_index: seen
        for place, seen in enumerate(those)
    }
