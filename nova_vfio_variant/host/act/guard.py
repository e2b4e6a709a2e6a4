# SPDX-License-Identifier: Apache-2.0
"""A look of its own for who does steps that others decided on.

What was seen and decided before is their word. Right before the write, in the
process that writes, the function and what belongs to it are looked at again.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import plan, plausible
from nova_vfio_variant.host.observe import facts, scanner
from nova_vfio_variant.host.observe.use import device_files
from nova_vfio_variant.host.tree import host_tree, paths

#: What takes nothing from anybody, so that nobody looks into processes first.
_HARMLESS: ty.Final = frozenset(
    {
        plan.Action.LOAD_MODULE,
        plan.Action.SET_AUTOPROBE,
        plan.Action.SET_OVERRIDE,
    }
)


def check(tree: host_tree.HostTree, step: plan.Step) -> None:
    """See that a step, which makes sense by itself, may be done.

    :raises HostStepFailed: it may not
    """
    names = None
    if step.action is not plan.Action.LOAD_MODULE:
        names = _around(tree, step.subject)
    opened = None
    if step.action in _HARMLESS:
        opened = device_files.OpenFiles()
    now = facts.gather(scanner.scan(tree, names), opened)
    for reason in plausible.of_step(step, now):
        raise exception.HostStepFailed(
            f"{step}: {reason.message} [{reason.code.id}]", reason.hint
        )


def _around(tree: host_tree.HostTree, name: str) -> set[str]:
    """A function, its PF and VFs, its bus, and the groups of all of these."""
    place = f"{paths.DEVICES}/{name}"
    bus = name.rpartition(":")[0]
    family = {
        other
        for other in tree.listdir(paths.DEVICES)
        if other.startswith(f"{bus}:")
    }
    family.add(name)
    for link in tree.listdir(place):
        if link == "physfn" or link.startswith("virtfn"):
            target = tree.readlink(f"{place}/{link}") or ""
            family.add(target.rpartition("/")[2])
    mates = [
        tree.listdir(f"{paths.DEVICES}/{member}/iommu_group/devices")
        for member in family
    ]
    return {
        member
        for member in family.union(*mates)
        if tree.exists(f"{paths.DEVICES}/{member}")
    }
