# SPDX-License-Identifier: Apache-2.0
"""From the vGPU types that VFs are to have to the changes in between. Pure.

What is in the way is freed first, then a card's mode is set, then the types,
those with the largest framebuffer first. All of it is looked at before
anything is freed; what a card offers once others are freed only its driver
knows, so that such changes are expected, and decided anew then.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host import vgpu
from nova_vfio_variant.host.decide import (
    codes,
    obstacles,
    plan,
    planning,
    refusal,
    vgpu_layout,
    vgpu_obstacles,
    vgpu_steps,
    vgpu_types,
)
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import (
    vendor_vgpu,
    vgpu_card,
    vgpu_mode,
)
from nova_vfio_variant.pci import address as pci_address

Address = pci_address.PciAddress
#: The id of a VF's type, ``0`` for none, by its address.
Types = ty.Mapping[Address, str]
#: Whether a card's vGPUs may be of several sizes, by its PF's address.
Modes = ty.Mapping[Address, bool]


def decision(
    types: Types,
    facts: host_facts.HostFacts,
    reason: str,
    modes: Modes | None = None,
    *,
    declared: bool = False,
    notes: tuple[str, ...] = (),
) -> planning.Decision:
    """The changes that give VFs their types, or what is against them.

    Of a card of which one VF is refused no VF is changed.

    :param reason: why, in one sentence
    :param modes: of the cards for which it is declared
    :param declared: it is to be remembered that VFs are to have them
    :param notes: how words were taken
    """
    modes = modes or {}
    cards: dict[Address, dict[Address, str]] = {card: {} for card in modes}
    refusals: list[finding.Finding] = []
    for address, type_id in sorted(types.items()):
        function = facts.scan.get(address)
        if function is None:
            refusals += refusal.no_such_function(facts, address)
        elif function.physfn is None or address not in facts.vgpus:
            refusals.append(vgpu_obstacles.no_folder(facts.scan, function))
        else:
            cards.setdefault(function.physfn, {})[address] = type_id
    made: list[_Card] = []
    for address, wanted in sorted(cards.items()):
        card = _Card(facts, address, wanted, modes.get(address), reason)
        against = tuple(card.against())
        refusals += against
        if not against:
            made.append(card)
    changes = (
        *(change for card in made for change in card.frees()),
        *(change for card in made for change in card.mode()),
        *(change for card in made for change in card.sets()),
    )
    return planning.Decision(
        plan.Plan(changes),
        tuple(dict.fromkeys(refusals)),
        notes=notes,
        vgpus=types if declared else {},
    )


def card_of(
    facts: host_facts.HostFacts,
    address: Address,
    heterogeneous: bool | None = None,
) -> vgpu_card.Card:
    """A card as it is seen, with what is recorded of it.

    :param address: of its PF
    :param heterogeneous: its mode, where that was asked for
    """
    records = facts.records
    vfs = vgpu_card.cards(facts).get(address, {})
    return vgpu_card.Card(
        address,
        vfs,
        records.vgpu_types.get(address, ()),
        records.vgpu_told.get(address, vgpu_card.NOTHING_TOLD),
        heterogeneous,
        frozenset(
            vf
            for vf in vfs
            if (function := facts.scan.get(vf)) is None
            or refusal.to_divide(facts, function)
        ),
        bool(vgpu_mode.gpu_instances(facts.scan.tree, str(address))),
        records.vgpu_held,
    )


def mode_of(facts: host_facts.HostFacts, card: Address) -> bool | None:
    """Whether a card's vGPUs may be of several sizes now; None if unknown.

    A program of the vendor's is asked.
    """
    for address in vgpu_card.cards(facts).get(card, {}):
        function = facts.scan.get(address)
        way = None if function is None else vgpu.of(function)
        if way is not None:
            return vgpu.mode(way[1], facts.scan.tree, str(card))
    return None


class _Card:
    """One card, and what its VFs are to have."""

    def __init__(
        self,
        facts: host_facts.HostFacts,
        address: Address,
        wanted: Types,
        mode: bool | None,
        reason: str,
    ) -> None:
        self._facts = facts
        self._reason = reason
        self._mode_now = None if mode is None else mode_of(facts, address)
        self._mode = mode
        self._card = card_of(facts, address, self._mode_now)
        changes_mode = mode is not None and mode != self._mode_now
        self._moves = {
            vf: type_id
            for vf, type_id in wanted.items()
            if self._card.vfs[vf].current != type_id
            # A card that has any vGPU keeps its mode.
            or (changes_mode and type_id != vendor_vgpu.NONE)
        }
        self._goes = {
            vf
            for vf in self._moves
            if self._card.vfs[vf].current != vendor_vgpu.NONE
        }
        retyped = [
            vf for vf in self._goes if self._moves[vf] != vendor_vgpu.NONE
        ]
        #: The one VF that may go from type to type, and back, as a whole.
        self._alone = (
            retyped[0]
            if len(self._goes) == len(retyped) == 1
            and not changes_mode
            and self._is_largest(retyped[0])
            else None
        )
        self._waits = bool(self._goes) or changes_mode

    def _is_largest(self, vf: Address) -> bool:
        """Whether no other VF is to have a larger type: those come first."""
        sizes = {
            known.id: known.framebuffer_mib or 0 for known in self._card.known
        }
        return sizes.get(self._moves[vf], 0) == max(
            sizes.get(type_id, 0) for type_id in self._moves.values()
        )

    def against(self) -> ty.Iterator[finding.Finding]:
        """Why not all of it can be done."""
        used: list[finding.Finding] = []
        for vf in self._moves:
            function = self._facts.scan.get(vf)
            assert function is not None
            used += refusal.to_divide(self._facts, function)
            if self._card.vfs[vf].current is None:
                used.append(
                    obstacles.not_known(
                        vf, "its current_vgpu_type could not be read"
                    )
                )
        yield from used
        yield from self._against_mode()
        if used or all(
            type_id == vendor_vgpu.NONE for type_id in self._moves.values()
        ):
            return
        known = {found.id: found for found in self._card.known}
        unknown = {
            type_id for type_id in self._moves.values() if type_id not in known
        } - {vendor_vgpu.NONE}
        if unknown:
            for type_id in sorted(unknown):
                no_type = vgpu_types.resolve(
                    type_id,
                    self._card.known,
                    self._card.address,
                    self._facts.records.vgpu_types,
                )
                if isinstance(no_type, finding.Finding):
                    yield no_type
            return
        missing = () if self._waits else tuple(self._not_on_offer())
        yield from missing or self._against_all()

    def _against_mode(self) -> ty.Iterator[finding.Finding]:
        card = self._card
        if self._mode is None or self._mode == self._mode_now:
            return
        pf = self._facts.scan.get(card.address)
        if pf is None:
            yield from refusal.no_such_function(self._facts, card.address)
        elif not card.vfs:
            yield vgpu_obstacles.no_folder(self._facts.scan, pf)
        elif self._mode_now is None:
            yield refusal.because(
                codes.NOT_KNOWN,
                str(card.address),
                "nobody tells whether it is heterogeneous now",
                "install the vendor's tool as root: it comes with the driver",
            )
        else:
            yield from (
                reason
                for vf, reason in refusal.to_mix(self._facts, pf)
                if vf not in self._goes
            )

    def _against_all(self) -> ty.Iterator[finding.Finding]:
        """Why the card can't hold them beside those that stay."""
        lost = self._card.lost
        after = {
            vf: type_id
            for vf, seen in self._card.vfs.items()
            if (type_id := self._moves.get(vf, lost.get(vf, seen.current)))
            not in (None, vendor_vgpu.NONE)
        }
        sizes = {
            known.framebuffer_mib
            for known in self._card.known
            if known.id in after.values()
        }
        if None in sizes and self._frees_for_others(after):
            yield refusal.because(
                codes.NOT_KNOWN,
                str(self._card.address),
                "nobody tells the framebuffer of its types, so that nobody"
                " knows whether these fit, and others would be freed first",
                "install the vendor's nvidia-smi as root; or free what is in"
                f" the way yourself: {vgpu_obstacles.frees(self._goes)}",
            )
            return
        sizes -= {None}
        mixed = self._mode
        if mixed is None and len(sizes) > 1:
            mixed = mode_of(self._facts, self._card.address)
        if mixed is None and not self._waits and not lost:
            # Nobody tells, and nothing is lost by asking the driver.
            mixed = True
        laid = vgpu_layout.lay(
            collections.Counter(after.values()),
            dataclasses.replace(
                self._card, closed=self._card.closed - lost.keys()
            ),
            after,
            heterogeneous=mixed,
        )
        if isinstance(laid, tuple):
            yield from laid

    def _frees_for_others(self, after: Types) -> bool:
        """Whether types go so that others, or more, come in their place."""
        if not self._goes or self._alone is not None:
            return False
        before = collections.Counter(
            seen.current for seen in self._card.vfs.values()
        )
        return not collections.Counter(after.values()) <= before

    def _not_on_offer(self) -> ty.Iterator[finding.Finding]:
        """Why a VF can't be given its type as the card is."""
        for vf, type_id in self._moves.items():
            if type_id not in (self._card.vfs[vf].creatable or ()):
                yield vgpu_obstacles.not_on_offer(self._card, vf, type_id)

    def frees(self) -> ty.Iterator[plan.Change]:
        """What makes room."""
        for vf in sorted(self._goes):
            if vf != self._alone:
                yield self._change(vf, vendor_vgpu.NONE, expected=False)

    def mode(self) -> ty.Iterator[plan.Change]:
        """What sets the card's mode, once its vGPUs are gone."""
        pf = self._facts.scan.get(self._card.address)
        if self._mode is None or self._mode == self._mode_now or pf is None:
            return
        vf = self._facts.scan.get(next(iter(self._card.vfs)))
        way = None if vf is None else vgpu.of(vf)
        assert way is not None
        now = dataclasses.replace(
            self._facts.states[pf.address], heterogeneous=self._mode_now
        )
        to = dataclasses.replace(now, heterogeneous=self._mode)
        yield plan.Change(
            str(pf.address),
            plan.What.VGPU,
            now,
            to,
            vgpu_steps.mode_steps(str(pf.address), now, to, way, self._reason),
            expected=bool(self._goes),
            identity=pf.identity,
        )

    def sets(self) -> ty.Iterator[plan.Change]:
        """What gives VFs their types."""
        sizes = {
            known.id: known.framebuffer_mib or 0 for known in self._card.known
        }
        order = sorted(
            (-sizes.get(type_id, 0), vf)
            for vf, type_id in self._moves.items()
            if type_id != vendor_vgpu.NONE
        )
        for _, vf in order:
            yield self._change(
                vf,
                self._moves[vf],
                expected=self._waits and vf != self._alone,
            )

    def _change(
        self, vf: Address, type_id: str, *, expected: bool
    ) -> plan.Change:
        function = self._facts.scan.get(vf)
        way = None if function is None else vgpu.of(function)
        assert function is not None
        assert way is not None
        now = self._facts.states[vf]
        if type_id != vendor_vgpu.NONE and vf in self._goes - {self._alone}:
            # It is freed by then.
            now = dataclasses.replace(now, vgpu_type=vendor_vgpu.NONE)
        to = dataclasses.replace(now, vgpu_type=type_id)
        return plan.Change(
            str(vf),
            plan.What.VGPU,
            now,
            to,
            vgpu_steps.type_steps(str(vf), now, to, way, self._reason),
            str(self._card.address),
            expected=expected,
            identity=function.identity,
        )
