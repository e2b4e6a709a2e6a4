# SPDX-License-Identifier: Apache-2.0
"""Whether what is named is there: by entries, and on the command line. Pure."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, host_spec, planning, refusal
from nova_vfio_variant.host.decide import wishes as host_wishes
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed
from nova_vfio_variant.pci import pattern

Functions = ty.Sequence[observed.PciFunction]


def absent(
    spec: host_spec.HostSpec, functions: Functions, *, unknown: bool
) -> ty.Iterator[finding.Finding]:
    """What an entry names that isn't there, itself or as companion.

    :param functions: all that are there, or are to be
    :param unknown: VFs are to be whose addresses can't be told
    """
    if not any(map(spec.selects, functions)) and not (
        unknown and not spec.is_of_pf
    ):
        yield spec.on(
            codes.HOST_SPEC_ABSENT,
            f"no function of this host is {spec}",
            "address",
            refusal.SHOWN_BY,
        )
    there = {function.address for function in functions}
    for address in spec.companions:
        if address not in there and not unknown:
            yield spec.on(
                codes.HOST_SPEC_ABSENT,
                f"no function of this host has the companion's address "
                f"{address}",
                "companions",
            )


def unread(
    spec: host_spec.HostSpec, facts: host_facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why nothing can be done for what an entry names and can't be read."""
    if spec.address is None:
        return ()
    return tuple(
        reason
        for address in sorted(facts.scan.unread)
        if pattern.matches(spec.address, address)
        for reason in refusal.unreadable(facts, str(address))
    )


def no_pf(
    spec: host_spec.HostSpec,
    functions: Functions,
    facts: host_facts.HostFacts,
) -> ty.Iterator[finding.Finding]:
    """Why an entry asks in vain for VFs: nothing that it names has any."""
    named = [function for function in functions if spec.selects(function)]
    if (
        spec.is_of_pf
        and named
        and not any(function.sriov_totalvfs for function in named)
    ):
        if spec.num_vfs is None and named[0].physfn is not None:
            yield refusal.because(
                codes.HOST_SPEC_ABSENT,
                str(named[0].address),
                "it is a VF, and the entry speaks of a card",
                f"name the card's PF, {named[0].physfn}; or write vgpu_type",
            )
            return
        yield from planning.vfs_refusals(facts, named[0], spec.num_vfs or 0)


def in_vain(
    only: ty.Collection[pci_address.PciAddress],
    specs: ty.Sequence[host_spec.HostSpec],
    functions: Functions,
    facts: host_facts.HostFacts,
) -> ty.Iterator[finding.Finding]:
    """Why nothing can be done for an address that is meant alone.

    :param only: the addresses
    :param functions: all that are there, or are to be by what is meant
    """
    there = {seen.address: seen for seen in functions}
    for address in sorted(only):
        function = there.get(address)
        if function is None:
            yield from _not_there(address, specs, facts)
        elif not any(spec.selects(function) for spec in specs):
            yield refusal.nothing_meant(
                address,
                "no entry of host_spec names it",
                "name it in one, or leave the address out",
            )


def _not_there(
    address: pci_address.PciAddress,
    specs: ty.Sequence[host_spec.HostSpec],
    facts: host_facts.HostFacts,
) -> ty.Iterator[finding.Finding]:
    wishes, _ = host_wishes.gather(specs, facts.scan.functions)
    for pf in facts.scan.functions:
        count = wishes[pf.address].num_vfs if pf.address in wishes else None
        vfs = planning.predicted(facts, pf, count) if count else None
        if any(vf.address == address for vf in vfs or ()):
            yield refusal.nothing_meant(
                address,
                f"it is a VF that {pf.address} is yet to have",
                f"name {pf.address} too",
            )
            return
    yield from refusal.no_such_function(facts, address)
