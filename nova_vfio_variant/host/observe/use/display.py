# SPDX-License-Identifier: Apache-2.0
"""Whether a function draws the host's screen."""

from __future__ import annotations

import re

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import Kind, Use
from nova_vfio_variant.host.tree import host_tree, paths

_CARD = re.compile(r"card\d+")


def look(tree: host_tree.HostTree, address: str) -> tuple[Use, ...]:
    """The uses of one function as a display."""
    place = f"{paths.DEVICES}/{address}"
    uses = []
    try:
        if use.text(tree, f"{place}/boot_vga") == "1":
            uses.append(_display("the firmware booted with it (boot_vga)"))
    except OSError as error:
        uses.append(
            use.unknown(
                "whether the firmware booted with it can't be read", error
            )
        )
    try:
        for card in use.names(tree, f"{place}/drm"):
            if _CARD.fullmatch(card):
                uses += _of_card(tree, f"{place}/drm/{card}", card)
    except OSError as error:
        uses.append(use.unknown("its connectors can't be read", error))
    try:
        screens = use.names(tree, f"{place}/graphics")
    except OSError as error:
        uses.append(use.unknown("its frame buffers can't be read", error))
    else:
        if screens and _console_is_drawn(tree):
            uses.append(_display(f"the console is drawn on {screens[0]}"))
    return tuple(uses)


def _of_card(tree: host_tree.HostTree, place: str, card: str) -> list[Use]:
    """The connectors of a card that may have a screen.

    :raises OSError: they can't be listed
    """
    uses = []
    for entry in use.names(tree, place):
        if not entry.startswith(f"{card}-"):
            continue
        status = tree.read_text(f"{place}/{entry}/status")
        if status is None:
            uses.append(use.unknown(f"connector {entry} can't be read"))
        elif status != "disconnected":
            uses.append(_display(f"connector {entry} is {status}"))
    return uses


def _display(what: str) -> Use:
    return Use(Kind.DISPLAY, what)


def _console_is_drawn(tree: host_tree.HostTree) -> bool:
    """Whether a frame buffer has the console; unknown counts as yes."""
    consoles = tree.listdir("sys/class/vtconsole")
    if not consoles:
        return True
    for name in consoles:
        place = f"sys/class/vtconsole/{name}"
        kind = tree.read_text(f"{place}/name")
        bound = tree.read_text(f"{place}/bind")
        if kind is None or bound is None:
            return True
        if "frame buffer" in kind and bound == "1":
            return True
    return False
