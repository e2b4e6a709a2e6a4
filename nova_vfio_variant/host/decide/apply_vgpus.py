# SPDX-License-Identifier: Apache-2.0
"""Which vGPU types VFs are to have, so that a host is as declared. Pure.

Words become types of the card that they are said of, and counts are laid on
its VFs. What VFs that are yet to be made will offer nobody knows: their types
are expected, and decided anew then.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import (
    codes,
    host_spec,
    plan,
    vgpu_changes,
    vgpu_layout,
    vgpu_obstacles,
    vgpu_types,
)
from nova_vfio_variant.host.decide import wishes as host_wishes
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import (
    function_state,
    vendor_vgpu,
    vgpu_card,
)
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed

Address = pci_address.PciAddress
Future = ty.Mapping[Address, tuple[observed.PciFunction, ...] | None]

_REASON: ty.Final = "it is declared"


class VgpuChanges:
    """The changes of vGPU types on one host, and what is against others.

    :param only: the functions to look at; all if empty
    :param future: the VFs that would be, of PFs whose number of VFs changes
        first; None where they can't be told
    """

    def __init__(
        self,
        facts: host_facts.HostFacts,
        only: frozenset[Address],
        future: Future,
    ) -> None:
        self._facts = facts
        self._only = only
        self._future = future
        #: Why some don't change.
        self.refusals: list[finding.Finding] = []
        #: What is wrong with entries on this host.
        self.findings: list[finding.Finding] = []
        #: How words were taken that are no type's whole name.
        self.notes: list[str] = []
        #: What is declared for VFs that are there.
        self.types: dict[Address, str] = {}

    def changes(
        self,
        wishes: host_wishes.Wishes,
        functions: ty.Sequence[observed.PciFunction],
    ) -> tuple[plan.Change, ...]:
        """The changes that are wished."""
        modes: dict[Address, bool] = {}
        expected: dict[Address, str] = {}
        coming: list[plan.Change] = []
        for function in functions:
            wish = wishes.get(function.address)
            if wish is None or not self._is_meant(function):
                continue
            if wish.vgpu_type is not None:
                self._of_vf(function, wish, expected)
            if wish.vgpu_types is not None:
                self._of_card(function, wish, expected)
            if wish.heterogeneous is None:
                continue
            if function.address not in self._future:
                modes[function.address] = wish.heterogeneous
            elif wish.heterogeneous:
                coming.append(mode_expected(function.address))
        self._check_coming(wishes, expected)
        if self._only:
            self.types = {
                vf: type_id
                for vf, type_id in self.types.items()
                if not self._only.isdisjoint({vf, self._pf(vf)})
            }
        if self.findings or self.refusals:
            return ()
        found = vgpu_changes.decision(self.types, self._facts, _REASON, modes)
        self.refusals += found.refusals
        return (
            *found.plan.changes,
            *coming,
            *(
                _expected(vf, word)
                for pf, vfs in sorted(self._future.items())
                for vf, word in _in_order(self._facts, pf, vfs or (), expected)
            ),
        )

    def _is_meant(self, function: observed.PciFunction) -> bool:
        return (
            not self._only
            or function.address in self._only
            or any(self._pf(vf) == function.address for vf in self._only)
        )

    def _pf(self, address: Address) -> Address | None:
        function = self._facts.scan.get(address)
        return None if function is None else function.physfn

    def _of_vf(
        self,
        function: observed.PciFunction,
        wish: host_wishes.Wish,
        expected: dict[Address, str],
    ) -> None:
        """Note the type of a VF that is named."""
        word = wish.vgpu_type
        assert word is not None
        spec = wish.by["vgpu_type"]
        if function.physfn is not None and function.physfn in self._future:
            pf = self._facts.scan.get(function.physfn)
            card = None if pf is None else self._card(pf, None)
            if card is not None and card.known:
                word = self._resolved(word, card, spec, "vgpu_type") or word
            if word not in (host_spec.NO_TYPE, vendor_vgpu.NONE):
                expected[function.address] = word
            return
        if (
            function.physfn is None
            or function.address not in self._facts.vgpus
        ):
            self.refusals.append(
                vgpu_obstacles.no_folder(self._facts.scan, function)
            )
            return
        card = vgpu_changes.card_of(self._facts, function.physfn)
        type_id = self._resolved(word, card, spec, "vgpu_type")
        if type_id is not None:
            self.types[function.address] = type_id

    def _of_card(
        self,
        pf: observed.PciFunction,
        wish: host_wishes.Wish,
        expected: dict[Address, str],
    ) -> None:
        """Lay the counts of a card's types on its VFs."""
        assert wish.vgpu_types is not None
        card = self._card(pf, wish.heterogeneous)
        is_coming = pf.address in self._future
        if not card.vfs and not is_coming:
            self.refusals.append(
                vgpu_obstacles.no_folder(self._facts.scan, pf)
            )
            return
        if is_coming and not card.known:
            found = _of_unknown(card, wish.vgpu_types)
            if isinstance(found, finding.Finding):
                self.refusals.append(found)
            else:
                expected |= found
            return
        counts = self._counts(card, wish.by["vgpu_types"])
        if counts is None:
            return
        if not card.vfs:
            return  # Where they will be can't be told.
        laid = vgpu_layout.lay(
            counts,
            card,
            self._facts.records.vgpu_laid,
            heterogeneous=wish.heterogeneous,
        )
        if isinstance(laid, tuple):
            self.refusals += laid
        elif is_coming:
            expected |= {
                vf: type_id
                for vf, type_id in laid.items()
                if type_id != vendor_vgpu.NONE
            }
        else:
            self.types |= laid

    def _counts(
        self, card: vgpu_card.Card, spec: host_spec.HostSpec
    ) -> dict[str, int] | None:
        """How many of each type, by its id; None, and a finding, if wrong."""
        counts: dict[str, int] = {}
        words: dict[str, str] = {}
        for word, count in (spec.vgpu_types or {}).items():
            type_id = self._resolved(word, card, spec, "vgpu_types")
            if type_id is None:
                return None
            other = words.setdefault(type_id, word)
            if other != word:
                self.findings.append(
                    spec.on(
                        codes.HOST_SPEC_VALUE,
                        f"{other!r} and {word!r} are one type of"
                        f" {card.address}",
                        "vgpu_types",
                        "write it once, with how many there are to be",
                    )
                )
                return None
            counts[type_id] = count
        return counts

    def _check_coming(
        self, wishes: host_wishes.Wishes, expected: ty.Mapping[Address, str]
    ) -> None:
        """Note which cards can't hold what their VFs are to be once made."""
        for address, vfs in self._future.items():
            pf = self._facts.scan.get(address)
            wanted = {
                vf.address: expected[vf.address]
                for vf in vfs or ()
                if vf.address in expected
            }
            if pf is None or not wanted:
                continue
            mode = wishes[address].heterogeneous
            card = self._card(pf, mode)
            if {known.id for known in card.known} >= {*wanted.values()}:
                laid = vgpu_layout.lay(
                    collections.Counter(wanted.values()),
                    card,
                    wanted,
                    heterogeneous=mode,
                )
                if isinstance(laid, tuple):
                    self.refusals += laid

    def _card(
        self, pf: observed.PciFunction, declared: bool | None
    ) -> vgpu_card.Card:
        """A card as it is, or as it will be once its VFs are made."""
        if pf.address not in self._future:
            mode = None
            if declared is None:
                mode = vgpu_changes.mode_of(self._facts, pf.address)
            return vgpu_changes.card_of(self._facts, pf.address, mode)
        return dataclasses.replace(
            vgpu_changes.card_of(self._facts, pf.address, heterogeneous=False),
            vfs={
                vf.address: vendor_vgpu.VendorVgpu(vendor_vgpu.NONE)
                for vf in self._future[pf.address] or ()
            },
            closed=frozenset(),
        )

    def _resolved(
        self,
        word: str,
        card: vgpu_card.Card,
        spec: host_spec.HostSpec,
        key: str,
    ) -> str | None:
        """The id that a word means; None, and a finding, if it means none."""
        if word == host_spec.NO_TYPE:
            return vendor_vgpu.NONE
        found = vgpu_types.resolve(
            word, card.known, card.address, self._facts.records.vgpu_types
        )
        if isinstance(found, finding.Finding):
            told = spec.on(
                found.code,
                f"{card.address}: {found.message}",
                key,
                found.hint,
            )
            if told not in self.findings:
                self.findings.append(told)
            return None
        if found.note is not None and found.note not in self.notes:
            self.notes.append(found.note)
        return found.vgpu_type.id


def _expected(vf: Address, word: str) -> plan.Change:
    """The change of a VF that is yet to be made.

    :param word: a type's id or, as nobody knows its card yet, what was said
    """
    now = function_state.State(vgpu_type=vendor_vgpu.NONE)
    return plan.Change(
        str(vf),
        plan.What.VGPU,
        now,
        dataclasses.replace(now, vgpu_type=word),
        (
            plan.Step(
                str(vf),
                plan.Action.SET_VGPU_TYPE,
                word,
                vendor_vgpu.NONE,
                _REASON,
            ),
        ),
        expected=True,
    )


def mode_expected(pf: Address) -> plan.Change:
    """The change of a card's mode whose VFs are yet to be made.

    It is off then.
    """
    now = function_state.State(heterogeneous=False)
    return plan.Change(
        str(pf),
        plan.What.VGPU,
        now,
        function_state.State(heterogeneous=True),
        (
            plan.Step(
                str(pf), plan.Action.SET_HETEROGENEOUS, "1", "0", _REASON
            ),
        ),
        expected=True,
    )


def _in_order(
    facts: host_facts.HostFacts,
    pf: Address,
    vfs: ty.Sequence[observed.PciFunction],
    expected: ty.Mapping[Address, str],
) -> ty.Iterator[tuple[Address, str]]:
    """What is expected of a card's VFs, the largest first."""
    known = vgpu_changes.card_of(facts, pf).known
    sizes = {of.id: of.framebuffer_mib or 0 for of in known}
    named = [vf.address for vf in vfs if vf.address in expected]
    for vf in sorted(named, key=lambda vf: (-sizes.get(expected[vf], 0), vf)):
        yield vf, expected[vf]


def _of_unknown(
    card: vgpu_card.Card, counts: ty.Mapping[str, int]
) -> dict[Address, str] | finding.Finding:
    """Words on the VFs of a card of which no type is known yet."""
    if sum(counts.values()) > len(card.vfs) > 0:
        return vgpu_layout.too_few_vfs(card, counts)
    words = itertools.chain.from_iterable(
        [word] * count for word, count in counts.items()
    )
    return dict(zip(card.vfs, words, strict=False))
