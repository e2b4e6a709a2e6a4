# SPDX-License-Identifier: Apache-2.0
"""Resetting one function, as a change of its own."""

from __future__ import annotations

from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import converge
from nova_vfio_variant.host.decide import (
    identity,
    plan,
    planning,
    resetting,
)
from nova_vfio_variant.host.observe import facts, records
from nova_vfio_variant.pci import address as pci_address


def reset(
    actor: host_actor.Actor,
    address: pci_address.PciAddress,
    quarantined: records.Quarantines = records.NOTHING.quarantined,
) -> None:
    """Reset a function, and see that it answers again.

    Recover first.

    :raises HostRefused: something is against it
    :raises HostStepFailed: it failed, or the function doesn't answer
    :raises HostStepHung: it hung
    """

    def decide(now: facts.HostFacts) -> planning.Decision:
        return identity.checked(
            resetting.decision(now.knowing(quarantined=quarantined), address),
            actor.journal.priors,
            now,
        )

    converge.wholly(actor, plan.Command.RESET, decide)
