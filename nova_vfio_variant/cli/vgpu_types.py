# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio vgpu types``: what cards can be divided into."""

from __future__ import annotations

import argparse

from nova_vfio_variant.cli import base, called, cordon
from nova_vfio_variant.host.decide import vgpu_capacity, vgpu_obstacles
from nova_vfio_variant.host.observe import vgpu_card, vgpu_mode
from nova_vfio_variant.node import divided_cards, mdev_types
from nova_vfio_variant.pci import address as pci_address

COLUMNS = (
    "card",
    "mode",
    "id",
    "name",
    "framebuffer_mib",
    "existing",
    "available",
    "at_most",
    "why",
    "max_instances",
    "heterogeneous",
    "framework",
)


class Types(base.Lister):
    """List the vGPU types of cards, and how many can be made now.

    Those of mediated devices, too, whose 'card' is the parent that they are
    made of; 'mdev types' says more of them.

    'available' can be made for sure, and 'at_most' is what can't be excluded:
    they differ where nobody tells a type's framebuffer, or where sizes may be
    mixed. 'why' says why none can be made. What the VFs list shrinks with each
    vGPU; the types that were seen before are remembered by 'device sync' and
    other commands that write. In a table a framebuffer with ~ is guessed from
    the name.
    """

    empty = "no card takes vGPUs"
    brief = COLUMNS[:9]
    example = "vgpu types 0000:41:00.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the card."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "card",
            nargs="?",
            type=called.device,
            metavar="PF",
            help="only this card; all that take vGPUs if it isn't given",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """List them, by card and number."""
        only = None
        if parsed_args.card is not None:
            only = vgpu_mode.card_of(self.context.function(parsed_args.card))
        cards = divided_cards.cards(self.context, ask=True)
        modes = vgpu_mode.of_cards(self.context.scan)
        self.tell_of_verdicts()
        cordon.tell_of(self)
        rows: list[base.Row] = []
        for card in cards.values():
            if only not in (None, card.address):
                continue
            self._tell_of_lists(card)
            mode = str(modes.get(card.address, vgpu_mode.Mode.PLAIN))
            framework = self._framework(card)
            rows += [
                _row(card, framework, found, mode, parsed_args)
                for found in vgpu_capacity.of_card(card)
            ]
        unread = self.context.verdicts.facts.mdevs.unread
        if unread is not None:
            self.note(f"warning: {unread}")
        rows += [
            _mdev_row(offered)
            for offered in mdev_types.offered(self.context)
            if only is None or only == self._card(offered.parent.address)
        ]
        if only is not None and not rows and only not in cards:
            self.empty = self._why_none(only)
            if base.is_for_machines(parsed_args):
                self.note(self.empty)
        return COLUMNS, rows

    def _framework(self, card: vgpu_card.Card) -> str | None:
        """What makes a card's vGPUs; None while it has no VFs."""
        from nova_vfio_variant.host import vgpu

        function = self.context.scan.get(next(iter(card.vfs), card.address))
        found = None if function is None else vgpu.of(function)
        return None if found is None else found[0]

    def _card(
        self, address: pci_address.PciAddress | None
    ) -> pci_address.PciAddress | None:
        """The card that a parent is a part of; None if it is of none."""
        function = address and self.context.scan.get(address)
        return vgpu_mode.card_of(function) if function else address

    def _tell_of_lists(self, card: vgpu_card.Card) -> None:
        """Say which VFs don't say what they could be given, or garble it."""
        for address, vf in card.vfs.items():
            if vf.current is None:
                self.note(f"warning: {address}: its type can't be read")
            if vf.types is None:
                self.note(f"warning: {address}: its list can't be read")
            if vf.garbled is not None:
                number, line = vf.garbled
                self.note(
                    f"warning: {address}: creatable_vgpu_types:{number}:"
                    f" {line!r} is no type"
                )

    def _why_none(self, card: pci_address.PciAddress) -> str:
        """Why a card that was named has no types."""
        function = self.context.function(card)
        why = vgpu_obstacles.why_none(self.context.scan, function)
        return f"{card} takes no vGPUs: {why}"


def _row(
    card: vgpu_card.Card,
    framework: str | None,
    found: vgpu_capacity.Capacity,
    mode: str,
    parsed_args: argparse.Namespace,
) -> base.Row:
    size: int | str | None = found.vgpu_type.framebuffer_mib
    if size is None and parsed_args.formatter == "table":
        guess = vgpu_capacity.guessed_mib(found.vgpu_type.name)
        size = None if guess is None else f"~{guess}"
    return (
        str(card.address),
        mode,
        int(found.vgpu_type.id),
        found.vgpu_type.name or None,
        size,
        found.existing,
        found.now,
        found.at_most,
        None if found.why is None else str(found.why),
        card.told.max_instances.get(found.vgpu_type.id),
        card.heterogeneous,
        framework,
    )


def _mdev_row(offered: mdev_types.Offered) -> base.Row:
    kind = offered.mdev_type
    return (
        offered.parent.name,
        str(vgpu_mode.Mode.MDEV),
        kind.id,
        kind.name,
        kind.framebuffer_mib,
        offered.existing,
        offered.available,
        offered.available,
        offered.why,
        kind.max_instances,
        None,
        "mdev",
    )
