# SPDX-License-Identifier: Apache-2.0
"""What is no longer as we left it, and so is left to whoever made it. Pure."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, plan, refusal
from nova_vfio_variant.host.observe import facts, function_state
from nova_vfio_variant.pci import address as pci_address


def strange_driver(
    name: str, prior: plan.Prior, state: function_state.State
) -> finding.Finding:
    """That somebody else changed a function's driver."""
    left = prior.left
    mend = "clear its driver_override"
    if left is not None and left.driver != function_state.KERNELS_CHOICE:
        mend = f"put it back on {left.driver or 'no driver'}"
    return refusal.because(
        codes.NOT_OURS,
        name,
        f"somebody else changed it: {state.shown}",
        f"{mend}, or restore the others by their addresses",
    )


def strange_type(
    name: str, prior: plan.Prior, state: function_state.State
) -> finding.Finding:
    """That somebody else changed a VF's vGPU type."""
    left = prior.left
    ours = "none" if left is None else left.vgpu_type
    return refusal.because(
        codes.NOT_OURS,
        name,
        f"somebody else changed it: it has vGPU type {state.vgpu_type or '?'}",
        f"give it the type that we left, {ours or 'none'}, or restore the "
        "others by their addresses",
    )


def strange_vf_drivers(
    pf: str, priors: ty.Mapping[str, plan.Prior], now: facts.HostFacts
) -> ty.Iterator[finding.Finding]:
    """The VFs that would go with others though somebody changed them."""
    for name, prior in priors.items():
        state = now.states.get(pci_address.PciAddress.parse(name))
        if prior.pf != pf or state is None or not prior.is_strange(state):
            continue
        found = strange_driver(name, prior, state)
        yield dataclasses.replace(
            found,
            subject=pf,
            message=f"VF {name} would go with the others, and {found.message}",
        )


def strange_vfs(
    name: str, prior: plan.Prior, state: function_state.State
) -> finding.Finding:
    """That somebody else changed what a PF has of VFs."""
    ours = " or ".join(
        sorted({str(count) for count, _ in prior.vfs_left} - {str(None)})
    )
    return refusal.because(
        codes.NOT_OURS,
        name,
        f"somebody else changed it: it has {state.numvfs} VFs, and its "
        f"sriov_drivers_autoprobe is {int(bool(state.autoprobe))}",
        f"host apply left it {ours} VFs: put that back, with its "
        "sriov_drivers_autoprobe, or restore the others by their addresses",
    )
