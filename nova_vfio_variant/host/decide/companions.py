# SPDX-License-Identifier: Apache-2.0
"""Which companions an entry of ``host_spec`` has to name. Pure.

An entry may name functions of several groups, and a line that is pasted has
to serve all of them.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import (
    codes,
    group_obstacles,
    host_spec,
    planning,
    refusal,
)
from nova_vfio_variant.host.decide import wishes as host_wishes
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import groups
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed


@dataclasses.dataclass(frozen=True, slots=True)
class Blocked:
    """A function whose group isn't viable with what an entry names.

    :param function: it
    :param spec: the entry that asks for its driver
    :param others: the members that are in the way
    """

    function: observed.PciFunction
    spec: host_spec.HostSpec
    others: tuple[observed.PciFunction, ...]


def hinted(
    refusals: ty.Iterable[finding.Finding],
    blocked: ty.Mapping[str, Blocked],
    facts: host_facts.HostFacts,
) -> ty.Iterator[finding.Finding]:
    """Refusals whose mend is the whole list that an entry needs.

    :param refusals: of all functions
    :param blocked: what to say of those whose group isn't viable, by address
    """
    told = set()
    for reason in refusals:
        known = blocked.get(str(reason.subject))
        if reason.code is not codes.GROUP_COMPANIONS or known is None:
            yield reason
        elif reason.subject not in told:
            told.add(reason.subject)
            yield from _of_entry(known, blocked.values(), facts)


def _of_entry(
    mine: Blocked, blocked: ty.Iterable[Blocked], facts: host_facts.HostFacts
) -> ty.Iterator[finding.Finding]:
    spec = mine.spec
    named = {
        other.address: other
        for mate in blocked
        if mate.spec == spec
        for other in mate.others
    }
    for address in spec.companions:
        known: observed.PciFunction | None = facts.scan.get(address)
        if known is not None:
            named[address] = known
    verb = "in place of its companions write" if spec.companions else "add"
    for other in mine.others:
        yield group_obstacles.of_member(
            mine.function,
            other,
            named.values(),
            verb,
            by_options=spec.by_options,
        )


def going(
    facts: host_facts.HostFacts,
    wishes: host_wishes.Wishes,
    functions: ty.Iterable[observed.PciFunction],
) -> dict[pci_address.PciAddress, bool]:
    """Which functions are to be on a driver.

    :returns: whether it is one that is in no guest's way, by address
    """
    found = {}
    for function in functions:
        wish = wishes.get(function.address)
        if wish is None or wish.driver in (None, host_spec.HOST):
            continue
        driver, _ = planning.driver_of(facts, function, str(wish.driver))
        found[function.address] = driver is not None and (
            driver in groups.MANAGED_DMA or refusal.is_vfio(facts, driver)
        )
    return found


def allowed(
    wanted: ty.Collection[pci_address.PciAddress],
    drivers: ty.Mapping[pci_address.PciAddress, bool],
) -> set[pci_address.PciAddress]:
    """The members that will be in nobody's way.

    :param wanted: those that an entry has unbound
    :param drivers: as :func:`going` gives them: these get one
    """
    return {address for address in wanted if drivers.get(address, True)} | {
        address for address, is_harmless in drivers.items() if is_harmless
    }
