# SPDX-License-Identifier: Apache-2.0
"""The writes that change a VF's vGPU type, or a card's mode. Pure."""

from __future__ import annotations

from nova_vfio_variant.host import vgpu
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import function_state, vendor_vgpu


def type_steps(
    subject: str,
    now: function_state.State,
    to: function_state.State,
    way: tuple[str, vgpu.VgpuFramework],
    reason: str,
) -> tuple[plan.Step, ...]:
    """The writes that take a VF from one type to another: by none."""
    steps = []
    prior = now.vgpu_type or vendor_vgpu.NONE
    wanted = to.vgpu_type or vendor_vgpu.NONE
    for value in (vendor_vgpu.NONE, wanted):
        if value != prior:
            steps.append(
                plan.Step(
                    subject,
                    plan.Action.SET_VGPU_TYPE,
                    value,
                    prior,
                    reason,
                    way[1].deadline(),
                    way[0],
                )
            )
            prior = value
    return () if now.vgpu_type == to.vgpu_type else tuple(steps)


def mode_steps(
    subject: str,
    now: function_state.State,
    to: function_state.State,
    way: tuple[str, vgpu.VgpuFramework],
    reason: str,
) -> tuple[plan.Step, ...]:
    """The write that takes a card from one mode to the other."""
    if now.heterogeneous == to.heterogeneous:
        return ()
    return (
        plan.Step(
            subject,
            plan.Action.SET_HETEROGENEOUS,
            str(int(bool(to.heterogeneous))),
            str(int(bool(now.heterogeneous))),
            reason,
            way[1].deadline(),
            way[0],
        ),
    )


def steps(
    change: plan.Change,
    now: function_state.State,
    to: function_state.State,
    reason: str,
) -> tuple[plan.Step, ...]:
    """The writes that take what a change is about from one state to another.

    :raises HostError: its framework isn't installed
    """
    if change.framework is None:
        return ()
    way = change.framework, vgpu.named(change.framework)
    if to.vgpu_type is None:
        return mode_steps(change.subject, now, to, way, reason)
    return type_steps(change.subject, now, to, way, reason)
