# SPDX-License-Identifier: Apache-2.0
"""From what stands there now to the end of a change, or to its beginning."""

from __future__ import annotations

import dataclasses

from nova_vfio_variant.host import vf_provider, vgpu
from nova_vfio_variant.host.decide import (
    mdev_steps,
    plan,
    planning,
    vgpu_steps,
)
from nova_vfio_variant.host.observe import function_state, mdev, scanner
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import address as pci_address


def state_of(
    tree: host_tree.HostTree, change: plan.Change
) -> function_state.State | None:
    """What a change's function is now; None if it isn't there.

    A card is asked for its mode where the change is about that.

    :raises HostError: it is there and can't be read
    """
    if change.what is plan.What.MDEV:
        return function_state.State(mdev=mdev.now(tree, change.subject))
    now = function_state.state_now(tree, change.subject)
    if now is None or change.after.heterogeneous is None:
        return now
    assert change.framework is not None
    return dataclasses.replace(
        now,
        heterogeneous=vgpu.mode(
            vgpu.named(change.framework), tree, change.subject
        ),
    )


def back(
    tree: host_tree.HostTree, change: plan.Change, now: function_state.State
) -> tuple[plan.Step, ...]:
    """The steps from what stands there now to what stood there before."""
    # The VFs that come back are given their drivers one by one.
    quietly = bool(change.lost)
    return _towards(
        tree, change, now, change.before, "taken back", quietly=quietly
    )


def forward(
    tree: host_tree.HostTree, change: plan.Change, now: function_state.State
) -> tuple[plan.Step, ...]:
    """The steps from what stands there now to what was to stand there."""
    quietly = any(
        step.action is plan.Action.SET_AUTOPROBE for step in change.steps
    )
    return _towards(
        tree, change, now, change.after, "finished", quietly=quietly
    )


def _towards(
    tree: host_tree.HostTree,
    change: plan.Change,
    now: function_state.State,
    to: function_state.State,
    reason: str,
    *,
    quietly: bool,
) -> tuple[plan.Step, ...]:
    if change.what is plan.What.DRIVER:
        if to.driver == function_state.KERNELS_CHOICE and (
            now.override == to.override
            and now.driver not in (None, change.before.driver)
        ):
            return ()
        return planning.driver_steps(change.subject, now, to, reason)
    if change.what is plan.What.VGPU:
        return vgpu_steps.steps(change, now, to, reason)
    if change.what is plan.What.RESET:
        return ()
    if change.what is plan.What.MDEV:
        return mdev_steps.steps(change, now, to, reason)
    pf = scanner.scan(tree).get(pci_address.PciAddress.parse(change.subject))
    if pf is None:
        return ()
    steps: tuple[plan.Step, ...] = ()
    if change.provider and vf_provider.named(change.provider).disturbs_pf:
        # It may have been stopped with the PF off its driver.
        there = dataclasses.replace(
            now, driver=to.driver, override=to.override
        )
        steps = planning.driver_steps(change.subject, now, there, reason)
    # By the driver that it is on now it may be another's.
    return steps + planning.vfs_steps(
        pf, now, to, reason, quietly=quietly, provider=change.provider
    )
