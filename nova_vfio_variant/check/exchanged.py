# SPDX-License-Identifier: Apache-2.0
"""Tracked devices at whose address another function stands."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.tracker import family, sync


def findings(
    exchanges: ty.Iterable[sync.Exchange],
    functions: ty.Sequence[host_function.PciFunction],
    known: ty.Collection[pci_address.PciAddress],
) -> tuple[finding.Finding, ...]:
    """One finding for each exchanged device: what it was, is, and where.

    :param functions: of the host
    :param known: addresses of the tracked devices; what stands at one of
        them as it always did is not what moved away from another
    """
    exchanges = tuple(exchanges)
    gone = {exchange.device.address for exchange in exchanges}
    others, stayed = _Known(), _Known()
    for seen in functions:
        moved = seen.address not in known or seen.address in gone
        (others if moved else stayed).add(seen)
    return tuple(_finding(exchange, others, stayed) for exchange in exchanges)


def _finding(
    exchange: sync.Exchange, others: _Known, stayed: _Known
) -> finding.Finding:
    device, was = exchange.device, exchange.device.known
    owner = device.instance_uuid
    found, alike = others.like(was), stayed.like(was)
    if found:
        where = f"such a function is at {found} now"
    elif alike:
        where = f"tracked devices like it: {alike}"
    else:
        where = "no other function of this host is like it"
    ways = []
    if device.status in family.IN_USE:
        ways.append(f"'nova-vfio claim delete --instance {owner}'")
    if exchange.desired is not None:
        ways.append(f"'nova-vfio device sync --accept {device.address}'")
    return finding.Finding(
        host_codes.ANOTHER_DEVICE,
        f"it was tracked as {was.shown}; what is there now is {exchange.now.shown}"
        + (f"; instance {owner} has it" if owner else "")
        + f"; {where}",
        subject=str(device.address),
        hint=f"Put the card back, or give it up with {' and '.join(ways)}.",
    )


class _Known:
    """Functions by what they are: thousands of VFs differ in little.

    Each comparison is made once for all that are alike.
    """

    def __init__(self) -> None:
        self._alike: dict[
            host_function.Identity, list[host_function.PciFunction]
        ] = {}
        self._found: dict[host_function.Identity, str] = {}

    def add(self, function: host_function.PciFunction) -> None:
        """Take one more."""
        self._alike.setdefault(_anywhere(function.identity), []).append(
            function
        )

    def like(self, was: host_function.Identity) -> str:
        """Those that it may be, at another address; empty for none."""
        was = _anywhere(was)
        if was not in self._found:
            self._found[was] = facts.named(self._like(was))
        return self._found[was]

    def _like(
        self, was: host_function.Identity
    ) -> list[host_function.PciFunction]:
        found = [
            function
            for identity, functions in self._alike.items()
            if was.may_have_moved_to(identity)
            for function in functions
        ]
        if was.serial_number is None:
            return found
        return [
            seen for seen in found if seen.serial_number == was.serial_number
        ] or found


def _anywhere(identity: host_function.Identity) -> host_function.Identity:
    """The same on whichever PF: that moves with it."""
    if identity.physfn is None:
        return identity
    return dataclasses.replace(identity, physfn="")


def another_device(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Devices whose address means another function than when tracked.

    What nobody has and nothing names any more the next sync forgets.
    """
    if given.scan is None or not given.recorded:
        return
    found = [
        exchange
        for exchange in sync.exchanges(
            given.recorded, given.scan.get, sync.marked(given.desired).get
        )
        if exchange.device.address not in given.unread
        and (
            exchange.device.status in family.IN_USE
            or exchange.desired is not None
        )
    ]
    known = {device.address for device in given.recorded}
    yield from findings(found, given.functions, known)


def vanished(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Devices that somebody has, and that this host doesn't have any more."""
    if given.verdicts is None:
        return
    for device in given.recorded:
        if device.status in family.IN_USE:
            answer = given.verdicts.at(device.address)
            yield from (
                obstacle
                for obstacle in answer.blocking
                if obstacle.code is host_codes.VANISHED
            )


RULES: tuple[facts.Rule, ...] = (another_device, vanished)
