# SPDX-License-Identifier: Apache-2.0
"""Whether the function at an address is the one that the journal means. Pure.

A card that was put in the place of another has the address, and nothing else,
of what stands on record: it is told, and never written to.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, plan, planning, refusal
from nova_vfio_variant.host.observe import facts
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function

Priors = ty.Mapping[str, plan.Prior]


def another(
    name: str, known: function.Identity | None, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """Why a function is left alone: it is surely not the one on record.

    :param name: its address, as text
    :param known: which function is on record; None where that isn't known
    """
    address = pci_address.PciAddress.parse(name)
    there = now.scan.get(address)
    if there is None or known is None or not known.is_another(there.identity):
        return ()
    moved = [
        str(seen.address)
        for seen in now.scan.functions
        if seen.address != address and known.may_have_moved_to(seen.identity)
    ]
    return (
        refusal.because(
            codes.ANOTHER_DEVICE_JOURNALLED,
            name,
            f"the journal is about {known.shown} there, and there is "
            f"{there.identity.shown} now",
            f"what was changed may be at {' or '.join(moved)} now; a reboot "
            "ends what the journal has on record"
            if moved
            else "put that card back there; a reboot ends what the journal "
            "has on record",
        ),
    )


def of_prior(
    name: str, priors: Priors, now: facts.HostFacts
) -> tuple[finding.Finding, ...]:
    """As :func:`another`, for a function that was touched since the boot.

    A VF that went with others, and came back, is one of the same PF's; with
    another number of VFs another of them may have its address (SR-IOV, First
    VF Offset and VF Stride).
    """
    prior = priors.get(name)
    if prior is None:
        return ()
    pf = None if prior.pf is None else priors.get(prior.pf)
    if prior.pf is None or pf is None:
        return another(name, prior.identity, now)
    known = prior.identity
    if known is not None:
        known = dataclasses.replace(known, vf_index=None)
    return another(name, known, now) or tuple(
        dataclasses.replace(
            reason,
            subject=name,
            message=f"of its PF {prior.pf}: {reason.message}",
        )
        for reason in another(prior.pf, pf.identity, now)
    )


def checked(
    found: planning.Decision, priors: Priors, now: facts.HostFacts
) -> planning.Decision:
    """A decision without the changes of what is another function by now."""
    against = {
        change.subject: [
            reason
            for name in change.functions
            for reason in of_prior(name, priors, now)
        ]
        for change in found.plan.changes
    }
    refusals = dict.fromkeys(
        reason for some in against.values() for reason in some
    )
    return dataclasses.replace(
        found,
        plan=dataclasses.replace(
            found.plan,
            changes=tuple(
                planned
                for planned in found.plan.changes
                if not against[planned.subject]
            ),
        ),
        refusals=(*refusals, *found.refusals),
    )
