# SPDX-License-Identifier: Apache-2.0
"""Why a driver refused a vGPU type, by what its card was and is. Pure.

The errno says little: EIO, ENODEV, EINVAL and ENOSPC stand for one thing or
another by the driver's version.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.host.decide import plan, vgpu_capacity
from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_card
from nova_vfio_variant.pci import address as pci_address


def why(
    step: plan.Step,
    said: str,
    before: vgpu_card.Card,
    after: vgpu_card.Card | None,
) -> str:
    """The reason as far as it can be seen, with what the driver said.

    :param step: what failed
    :param said: the errno's text
    :param before: the card right before
    :param after: the card right after; None where the VF has no folder
    """
    return "; ".join((said, *_seen(step, before, after)))


def _seen(
    step: plan.Step, before: vgpu_card.Card, after: vgpu_card.Card | None
) -> ty.Iterator[str]:
    address = pci_address.PciAddress.parse(step.subject)
    if after is None or address not in after.vfs:
        yield "its vendor's folder is gone"
        return
    was = before.vfs.get(address)
    if was is not None and was.current != after.vfs[address].current:
        yield f"it has vGPU type {after.vfs[address].current or '?'} meanwhile"
    others = [
        f"{vf} has {seen.current or '?'} in place of {old.current or '?'}"
        for vf, seen in after.vfs.items()
        if vf != address
        and (old := before.vfs.get(vf)) is not None
        and old.current != seen.current
    ]
    if others:
        yield f"of its card {', '.join(others)} meanwhile"
    if step.value == vendor_vgpu.NONE:
        return
    known = dataclasses.replace(after, remembered=before.known)
    if step.value in (after.vfs[address].creatable or ()):
        yield "it is offered still, so that the card has room for it"
        return
    reason = vgpu_capacity.of_type(known, step.value).why
    offered = was is not None and step.value in (was.creatable or ())
    yield (
        f"{'it is offered no more' if offered else 'it was not offered'}: "
        f"{reason or 'a sibling is'}"
    )
