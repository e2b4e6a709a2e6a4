# SPDX-License-Identifier: Apache-2.0
"""What has come about between a decision and the locks for it."""

from __future__ import annotations

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import lock
from nova_vfio_variant.host.decide import plan, planning, refusal
from nova_vfio_variant.host.observe import (
    function_state,
    groups,
    host_scan,
    scanner,
)
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address as pci_address


def is_spared(change: plan.Change, seen: host_scan.HostScan) -> bool:
    """Whether a look at a function and its group will do.

    A whole look costs more the more functions and processes a host has, and
    there are as many changes as functions. It can be spared where nothing is
    unbound: what has no driver has no device file that could be open, and no
    disk or interface.

    Its group still counts. A guest can't have it with a host's driver in it;
    and up to Linux 5.18 the kernel stops where a host's driver binds in a
    group that a guest has (vfio_iommu_group_notifier in drivers/vfio/vfio.c).

    :param seen: the host that it was decided on
    :returns: False also where that can't be told
    """
    if change.what is not plan.What.DRIVER or any(
        step.action is plan.Action.UNBIND for step in change.steps
    ):
        return False
    subject = pci_address.PciAddress.parse(change.subject)
    before = seen.get(subject)
    if before is None:
        return False
    names = {change.subject}
    if before.iommu_group is not None:
        names = set(
            seen.tree.listdir(
                f"{paths.DEVICES}/{change.subject}/iommu_group/devices"
            )
        )
    now = scanner.scan(seen.tree, names)
    return (
        not now.problems
        and now.get(subject) == before
        and function_state.state(seen.tree, before) == change.before
        and all(
            function.driver in (None, *groups.MANAGED_DMA, change.after.driver)
            for function in now.functions
            if function.address != subject
        )
    )


def decided(
    change: plan.Change,
    seen: host_scan.HostScan,
    decision: planning.Decision,
    now: host_scan.HostScan,
) -> plan.Change | None:
    """A change as it is decided with its locks held.

    :param seen: the host that it was decided on before, and locked by
    :param decision: on the host as it is now
    :param now: the host as it is now
    :returns: None where nothing is to be done about it any more
    :raises HostRefused: something speaks against what the locks are for
    :raises HostStepFailed: other locks would be needed by now
    """
    held = lock.of_change(change, seen)
    against = [
        reason
        for reason in decision.refusals
        if lock.of_name(str(reason.subject), now) in held
    ]
    if against:
        raise refusal.error(against)
    for fresh in decision.plan.ready:
        if fresh.key == change.key:
            if not lock.of_change(fresh, now) <= held:
                raise exception.HostStepFailed(
                    f"{change.subject}: its IOMMU group changed meanwhile",
                    "run the command again",
                )
            return fresh
    return None
