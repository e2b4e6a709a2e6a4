# SPDX-License-Identifier: Apache-2.0
"""How a flavor asks for devices that aren't Nova's: by resource class. Pure."""

from __future__ import annotations

import itertools
import shlex
import typing as ty

from nova_vfio_variant.pci import flavor
from nova_vfio_variant.placement import vgpu_cards

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import vgpu_choosing


def commands(
    wanted: flavor.Flavor, wishes: ty.Iterable[vgpu_choosing.Wish]
) -> tuple[str, ...]:
    """What takes a flavor's aliases away, and asks for their classes.

    A group for each device, as Nova makes them of aliases.

    :param wishes: of its aliases
    """
    taken = {group.suffix for group in wanted.asked.groups}
    numbers = (
        str(number)
        for number in itertools.count(1)
        if str(number) not in taken
    )
    settings: list[str] = []
    groups = sum(1 for suffix in taken if suffix)
    for wish in wishes:
        for _ in range(wish.request.count):
            settings += _group(wish, next(numbers))
            groups += 1
    if groups > 1 and wanted.asked.policy is None:
        settings.append("group_policy=none")
    name = shlex.quote(wanted.name or "FLAVOR")
    return (
        f"openstack flavor unset {name} --property {flavor.ALIAS}",
        f"openstack flavor set {name} "
        + " ".join(f"--property {shlex.quote(one)}" for one in settings),
    )


def _group(wish: vgpu_choosing.Wish, number: str) -> ty.Iterator[str]:
    spec = wish.request.specs[0]
    sizes = [known.framebuffer_mib or 0 for known in wish.types.values()]
    if any(sizes):
        # Cards that are divided on demand are published by their memory.
        yield f"resources{number}:{vgpu_cards.FRAMEBUFFER}={max(sizes)}"
        yield f"resources{number}:{vgpu_cards.VF}=1"
    else:
        yield f"resources{number}:{spec.asked_class}=1"
    for trait in spec.asked_traits:
        yield f"trait{number}:{trait}=required"
