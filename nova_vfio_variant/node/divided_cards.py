# SPDX-License-Identifier: Apache-2.0
"""The cards of a node whose VFs take vGPUs, as commands show them."""

from __future__ import annotations

import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import obstacles
from nova_vfio_variant.host.observe import use, vgpu_card, vgpu_mode
from nova_vfio_variant.node import vgpu_catalogue
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts
    from nova_vfio_variant.host.observe import host_scan
    from nova_vfio_variant.host.observe import records as host_records
    from nova_vfio_variant.node import context as node_context

_LOG = logging.getLogger(__name__)

Address = pci_address.PciAddress


def cards(
    context: node_context.Context, *, ask: bool = False
) -> dict[Address, vgpu_card.Card]:
    """Each card whose VFs take vGPUs, or did. Writes nothing.

    A VF that somebody has, that is cordoned, on which guests failed, that is quarantined or that
    a process has open is closed.

    :param ask: run a vendor's tool for what isn't remembered, and for whether
        a card's vGPUs may be of several sizes
    :raises HostError: the host can't be seen
    """
    facts = context.verdicts.facts
    known: dict[Address, vgpu_catalogue.Remembered] = {}
    if context.has_state:
        try:
            with context.open_store(read_only=True) as store:
                known = vgpu_catalogue.remembered(store, facts.scan)
        except exception.StoreError as error:
            _LOG.info("what cards are known to have: %s", error)
    modes = vgpu_mode.of_cards(facts.scan)
    of_vfs = vgpu_card.cards(facts)
    found = {}
    for card in sorted({*of_vfs, *filter(facts.scan.get, known)}):
        vfs = of_vfs.get(card, {})
        of_card = known.get(card, vgpu_catalogue.NOTHING)
        records = context.verdicts.records
        cordoned = frozenset(_cordoned(facts, records, vfs))
        heterogeneous, told = None, of_card.told
        if ask and vfs:
            heterogeneous, told = _asked(
                facts.scan, card, next(iter(vfs)), told
            )
        found[card] = vgpu_card.Card(
            card,
            vfs,
            of_card.types,
            told,
            heterogeneous,
            cordoned.union(_closed(facts, records, vfs)),
            modes.get(card) is vgpu_mode.Mode.MIG,
            records.vgpu_held,
            cordoned,
        )
    return found


def _asked(
    scan: host_scan.HostScan, card: Address, vf: Address, told: vgpu_card.Told
) -> tuple[bool | None, vgpu_card.Told]:
    """Whether sizes may be mixed, and what is told of types if nothing was."""
    from nova_vfio_variant.host import vgpu

    way = vgpu_catalogue.framework(scan.get(vf))
    if way is None:
        return None, told
    if not told.names:
        told = way.told(scan.tree, str(card))
    return vgpu.mode(way, scan.tree, str(card)), told


def _cordoned(
    facts: host_facts.HostFacts,
    records: host_records.Records,
    vfs: ty.Iterable[Address],
) -> ty.Iterator[Address]:
    for address in vfs:
        function = facts.scan.get(address)
        if (
            function is not None
            and address not in records.owners
            and any(obstacles.of_cordon(function, records.cordoned))
        ):
            yield address


def _closed(
    facts: host_facts.HostFacts,
    records: host_records.Records,
    vfs: ty.Iterable[Address],
) -> ty.Iterator[Address]:
    for address in vfs:
        if (
            address in records.owners
            or address in records.quarantined
            or address in records.unwell
            or any(
                found.kind is use.Kind.OPEN
                for found in facts.in_use.get(address, ())
            )
        ):
            yield address
