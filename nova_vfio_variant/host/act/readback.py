# SPDX-License-Identifier: Apache-2.0
"""Whether a step can have an effect, and whether it had the one meant."""

from __future__ import annotations

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.tree import host_tree


def in_vain(tree: host_tree.HostTree, step: plan.Step) -> str | None:
    """Why a step can't have an effect; None if it may."""
    if step.action is not plan.Action.PROBE or not step.value:
        return None
    if tree.exists(f"sys/bus/pci/drivers/{step.value}"):
        return None
    return f"no driver {step.value} is there"


def check(step: plan.Step, seen: str) -> None:
    """Whether what was read back is what was meant.

    :raises HostStepFailed: it isn't
    """
    if step.action is plan.Action.PROBE and not step.value:
        return
    if step.action is plan.Action.LOAD_MODULE:
        if seen:
            return
        raise exception.HostStepFailed(
            "the module is loaded and no driver of its name is there"
        )
    if seen != step.value:
        raise exception.HostStepFailed(
            f"the kernel took it without an error, and {seen or 'nothing'}"
            f" stands there in place of {step.value or 'nothing'}"
        )


def why(error: Exception) -> str:
    """What an error says, without its number."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, exception.VfioVariantError):
        return error.message
    return str(error)
