# SPDX-License-Identifier: Apache-2.0
"""Tracked devices at whose address another function stands."""

import dataclasses
import typing as ty

from nova_vfio_variant import codes, finding
from nova_vfio_variant.check import facts
from nova_vfio_variant.host import function as host_function
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import family, sync


def findings(
    exchanges: ty.Iterable[sync.Exchange],
    functions: ty.Iterable[host_function.PciFunction],
    known: ty.Collection[pci_address.PciAddress],
) -> tuple[finding.Finding, ...]:
    """One finding for each exchanged device: what it was, is, and where.

    :param functions: of the host
    :param known: addresses of the tracked devices; what stands at one of
        them as it always did is not what moved away from another
    """
    exchanges = tuple(exchanges)
    gone = {one.device.address for one in exchanges}
    others = [
        seen
        for seen in functions
        if seen.address not in known or seen.address in gone
    ]
    return tuple(_finding(one, others) for one in exchanges)


def _finding(
    one: sync.Exchange, others: ty.Iterable[host_function.PciFunction]
) -> finding.Finding:
    device, was = one.device, one.device.known
    owner = device.instance_uuid
    found = [seen for seen in others if _fits(was, seen.identity)]
    if was.serial_number is not None:
        found = [
            seen for seen in found if seen.serial_number == was.serial_number
        ] or found
    places = facts.named(found)
    where = (
        f"such a function is at {places} now"
        if found
        else "no other function of this host is like it"
    )
    ways = []
    if device.status in family.IN_USE:
        ways.append(f"'nova-vfio claim delete {owner}'")
    if one.desired is not None:
        ways.append(f"'nova-vfio device sync --accept {device.address}'")
    return finding.Finding(
        codes.ANOTHER_DEVICE,
        f"it was tracked as {was.shown}; what is there now is {one.now.shown}"
        + (f"; instance {owner} has it" if owner else "")
        + f"; {where}",
        subject=str(device.address),
        hint=f"Put the card back, or give it up with {' and '.join(ways)}.",
    )


def _fits(was: host_function.Identity, now: host_function.Identity) -> bool:
    """Whether it may be the same function at another address."""
    if was.physfn is None or now.physfn is None:
        return not was.is_another(now)
    # The PF has moved with it.
    return not was.is_another(dataclasses.replace(now, physfn=was.physfn))


def another_device(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Devices whose address means another function than when tracked.

    What nobody has and nothing names any more the next sync forgets.
    """
    if given.scan is None or not given.recorded:
        return
    found = [
        one
        for one in sync.exchanges(
            given.recorded, given.scan.get, sync.marked(given.desired).get
        )
        if one.device.address not in given.unread
        and (one.device.status in family.IN_USE or one.desired is not None)
    ]
    known = {device.address for device in given.recorded}
    yield from findings(found, given.functions, known)


RULES: tuple[facts.Rule, ...] = (another_device,)
