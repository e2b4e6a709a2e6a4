# SPDX-License-Identifier: Apache-2.0
"""The vGPU types that a node's cards are known to have.

What VFs list shrinks with each vGPU. So whoever writes to the store remembers
the lists that are longer than what is known, and what a vendor's tool tells;
who reads writes nothing, and knows as much where it plans.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import typing as ty

from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_card
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host import vgpu
    from nova_vfio_variant.host.observe import host_scan
    from nova_vfio_variant.pci import function as observed
    from nova_vfio_variant.tracker import store as tracker_store
    from nova_vfio_variant.tracker import vgpus as tracked

_LOG = logging.getLogger(__name__)

Address = pci_address.PciAddress
#: The base class of displays.
#: Under which name the store has what a vendor's tool told of each card.
_TOLD: ty.Final = "vgpu_told"


@dataclasses.dataclass(frozen=True, slots=True)
class Remembered:
    """What the store knows of a card that is still there.

    :param types: that it is known to have
    :param told: what a vendor's tool told of it
    """

    types: tuple[vendor_vgpu.VgpuType, ...] = ()
    told: vgpu_card.Told = vgpu_card.NOTHING_TOLD


#: Of a card that nothing is known of.
NOTHING: ty.Final = Remembered()
#: What a vendor's tool told in this command, which asks of a card but once.
Asked = dict[Address, vgpu_card.Told]


def remember(
    store: tracker_store.Store,
    scan: host_scan.HostScan,
    asked: Asked | None = None,
) -> dict[Address, Remembered]:
    """Remember what the host's cards list beyond what is known of them.

    Called by whoever writes, with the lock of the state path held. What was
    known of a card that isn't at its address any more is forgotten where
    another one is.

    :param asked: by whoever may make VFs: cards without any are asked about,
        and all once
    :returns: what is known now
    :raises StoreError: the store can't be read or written
    """
    standing = _standing(store, scan, forget=True)
    now = _now(scan, standing, asked)
    for card, of_it in now.items():
        pf = scan.get(card)
        if pf is not None:
            _write(store, pf, standing.get(card, NOTHING), of_it)
    return standing | now


def known(
    store: tracker_store.Store, scan: host_scan.HostScan, asked: Asked
) -> dict[Address, Remembered]:
    """What :func:`remember` would know. Nothing is written.

    :param asked: as there
    :raises StoreError: the store can't be read
    """
    standing = _standing(store, scan, forget=False)
    return standing | _now(scan, standing, asked)


def remembered(
    store: tracker_store.Store, scan: host_scan.HostScan
) -> dict[Address, Remembered]:
    """What the store knows of each card that is still the same.

    :raises StoreError: it can't be read
    """
    return _standing(store, scan, forget=False)


def _cards(
    scan: host_scan.HostScan,
) -> dict[Address, list[observed.PciFunction]]:
    found: dict[Address, list[observed.PciFunction]] = collections.defaultdict(
        list
    )
    for function in scan.functions:
        if function.has_vgpu_folder and function.physfn is not None:
            found[function.physfn].append(function)
    return found


def framework(
    function: observed.PciFunction | None,
) -> vgpu.VgpuFramework | None:
    """What makes the vGPUs of a function; None of any other."""
    # Imported here: it looks for plug-ins, and few hosts have vGPUs.
    from nova_vfio_variant.host import vgpu

    found = None if function is None else vgpu.of(function)
    return None if found is None else found[1]


def _now(
    scan: host_scan.HostScan,
    standing: ty.Mapping[Address, Remembered],
    asked: Asked | None,
) -> dict[Address, Remembered]:
    """What is known of cards, with what their VFs list and a tool tells."""
    with_vfs = _cards(scan)
    found = {
        card: _of_card(scan, card, vfs, standing.get(card, NOTHING), asked)
        for card, vfs in with_vfs.items()
    }
    if asked is not None:
        found |= {
            pf.address: _of_card(
                scan, pf.address, (), standing.get(pf.address, NOTHING), asked
            )
            for pf in scan.functions
            if pf.sriov_totalvfs
            and pf.is_display
            and pf.address not in with_vfs
        }
    return {card: of_it for card, of_it in found.items() if of_it.types}


def _of_card(
    scan: host_scan.HostScan,
    card: Address,
    vfs: ty.Sequence[observed.PciFunction],
    before: Remembered,
    asked: Asked | None,
) -> Remembered:
    """What is known of a card, with what is new of it."""
    types = {of.id: of for of in before.types}
    for vf in vfs:
        way = framework(vf)
        offer = () if way is None else way.offer(scan.tree, vf).types
        for seen in offer or ():
            size = types[seen.id].framebuffer_mib if seen.id in types else None
            types[seen.id] = dataclasses.replace(
                seen, framebuffer_mib=seen.framebuffer_mib or size
            )
    told = before.told
    if not told.names or len(types) > len(before.types):
        told = _ask(scan, card, vfs, {} if asked is None else asked)
        told = told if told.names else before.told
    for type_id, name in told.names.items():
        types.setdefault(type_id, vendor_vgpu.VgpuType(type_id, name))
    return Remembered(
        tuple(
            dataclasses.replace(
                of, framebuffer_mib=told.sizes.get(of.id, of.framebuffer_mib)
            )
            for of in types.values()
        ),
        told,
    )


def _ask(
    scan: host_scan.HostScan,
    card: Address,
    vfs: ty.Sequence[observed.PciFunction],
    asked: Asked,
) -> vgpu_card.Told:
    """What a vendor's tool tells of a card, by the way of its VFs if any."""
    from nova_vfio_variant.host import vgpu

    if card not in asked:
        way = framework(vfs[0]) if vfs else None
        ask = vgpu.told if way is None else way.told
        asked[card] = ask(scan.tree, str(card))
    return asked[card]


def _write(
    store: tracker_store.Store,
    pf: observed.PciFunction,
    before: Remembered,
    now: Remembered,
) -> None:
    """Write what is new of a card; nothing if nothing is."""
    from nova_vfio_variant.tracker import vgpus as tracked

    if now.told != before.told:
        _tell(store, str(pf.address), now.told)
    new = [of for of in now.types if of not in before.types]
    if new:
        _LOG.info("%s: %d types of vGPU are remembered", pf.address, len(new))
        store.vgpus.remember_types(
            tracked.KnownType(
                pf.address, of.id, of.name, of.framebuffer_mib, pf.identity
            )
            for of in new
        )


def _standing(
    store: tracker_store.Store, scan: host_scan.HostScan, *, forget: bool
) -> dict[Address, Remembered]:
    """What is known of cards that are still the same.

    :param forget: forget what is known of those that others stand for
    """
    by_card: dict[Address, list[tracked.KnownType]] = collections.defaultdict(
        list
    )
    for known in store.vgpus.types():
        by_card[known.card].append(known)
    told = _told(store) if by_card else {}
    found = {}
    for card, types in by_card.items():
        seen = scan.get(card)
        if seen is not None and any(
            known.identity.is_another(seen.identity) for known in types
        ):
            if forget:
                store.vgpus.forget_types(card)
                _tell(store, str(card), None)
            continue
        found[card] = Remembered(
            tuple(
                vendor_vgpu.VgpuType(
                    known.type_id, known.name, known.framebuffer_mib
                )
                for known in types
            ),
            told.get(str(card), vgpu_card.NOTHING_TOLD),
        )
    return found


def _told(store: tracker_store.Store) -> dict[str, vgpu_card.Told]:
    """What was told of each card, by its address as text.

    What makes no sense is asked for again, and costs nobody anything.
    """
    try:
        return {
            card: vgpu_card.Told(**values)
            for card, values in json.loads(store.meta(_TOLD) or "{}").items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def _tell(
    store: tracker_store.Store, card: str, told: vgpu_card.Told | None
) -> None:
    """Record what was told of a card; None forgets it."""
    known = _told(store)
    known.pop(card, None)
    if told is not None:
        known[card] = told
    store.set_meta(
        _TOLD,
        json.dumps(
            {name: dataclasses.asdict(of) for name, of in known.items()},
            sort_keys=True,
        ),
    )
