# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio vgpu types``: what cards can be divided into."""

from __future__ import annotations

import argparse

from nova_vfio_variant.cli import base, cordon
from nova_vfio_variant.host.decide import vgpu_capacity, vgpu_obstacles
from nova_vfio_variant.host.observe import vgpu_card, vgpu_mode
from nova_vfio_variant.node import divided_cards
from nova_vfio_variant.pci import function as observed

COLUMNS = (
    "card",
    "id",
    "name",
    "framebuffer_mib",
    "existing",
    "available",
    "at_most",
    "why",
    "max_instances",
    "mode",
    "heterogeneous",
)


class Types(base.Lister):
    """List the vGPU types of cards, and how many can be made now.

    'available' can be made for sure, and 'at_most' is what can't be excluded:
    they differ where nobody tells a type's framebuffer, or where sizes may be
    mixed. 'why' says why none can be made. What the VFs list shrinks with each
    vGPU; the types that were seen before are remembered by 'device sync' and
    other commands that write. In a table a framebuffer with ~ is guessed from
    the name.
    """

    empty = "no card has VFs that take vGPUs"
    brief = COLUMNS[:8]
    example = "vgpu types 0000:41:00.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the card."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "card",
            nargs="?",
            type=base.address,
            metavar="PF",
            help="only this card; all that take vGPUs if it isn't given",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """List them, by card and number."""
        only = None
        if parsed_args.card is not None:
            only = self.context.function(parsed_args.card)
        cards = divided_cards.cards(self.context, ask=True)
        modes = vgpu_mode.of_cards(self.context.scan)
        self.tell_of_verdicts()
        cordon.tell_of(self)
        rows: list[base.Row] = []
        for card in cards.values():
            if only is not None and vgpu_mode.card_of(only) != card.address:
                continue
            self._tell_of_lists(card)
            mode = str(modes.get(card.address, vgpu_mode.Mode.PLAIN))
            rows += [
                _row(card, found, mode, parsed_args)
                for found in vgpu_capacity.of_card(card)
            ]
        if only is not None and vgpu_mode.card_of(only) not in cards:
            self.empty = self._why_none(only)
            if base.is_for_machines(parsed_args):
                self.note(self.empty)
        return COLUMNS, rows

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

    def _why_none(self, function: observed.PciFunction) -> str:
        """Why a function that was named has no types."""
        card = self.context.function(vgpu_mode.card_of(function))
        why = vgpu_obstacles.why_none(self.context.scan, function)
        return f"{card.address} takes no vGPUs: {why}"


def _row(
    card: vgpu_card.Card,
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
        int(found.vgpu_type.id),
        found.vgpu_type.name or None,
        size,
        found.existing,
        found.now,
        found.at_most,
        None if found.why is None else str(found.why),
        card.told.max_instances.get(found.vgpu_type.id),
        mode,
        card.heterogeneous,
    )
