# SPDX-License-Identifier: Apache-2.0
"""What of a host speaks against making or removing a mediated device. Pure.

Whose a device is the tracker knows, and not the host: see
:mod:`~nova_vfio_variant.node.mdevs`.
"""

from __future__ import annotations

import difflib
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import (
    codes,
    mdev_codes,
    obstacles,
    refusal,
)
from nova_vfio_variant.host.observe import mdev
from nova_vfio_variant.host.observe import use as uses
from nova_vfio_variant.pci import mdev_names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import facts as host_facts


def to_create(
    facts: host_facts.HostFacts, uuid: str, parent: str, type_id: str
) -> tuple[finding.Finding, ...]:
    """Why a device can't be made."""
    mdevs = facts.mdevs
    there = mdevs.devices.get(uuid)
    if there is not None:
        return (taken(there),)
    if mdevs.unread is not None:
        return (_not_known(uuid, f"{mdevs.unread}"),)
    if not mdevs.has_bus:
        return (no_parent(facts, uuid, "this host"),)
    offering = mdevs.parents.get(parent)
    if offering is None:
        return (no_parent(facts, uuid, parent),)
    offered = offering.type_of(type_id)
    if offered is None:
        return (no_type((offering,), uuid, type_id),)
    try:
        mdev_names.parse_kind(mdev_names.kind(parent, type_id))
    except ValueError as error:
        # Nor could it be recorded, so that it would be known as ours.
        return (
            refusal.because(
                mdev_codes.NO_MDEV_TYPE,
                uuid,
                str(error),
                mdev_codes.NO_MDEV_TYPE.mend,
            ),
        )
    if offered.available is None:
        return (
            _not_known(
                uuid,
                f"available_instances of {type_id} below {parent} is no number",
                "name another --parent; the driver of this one is broken",
            ),
        )
    if offered.available == 0:
        return (full(facts, uuid, (offering,), type_id),)
    return _function_is_given(facts, uuid, offering)


def to_claim(
    facts: host_facts.HostFacts, uuid: str, parent: mdev.Parent
) -> tuple[finding.Finding, ...]:
    """Why nobody new gets a device of a parent."""
    function = parent.address and facts.scan.get(parent.address)
    if not function:
        return ()
    return tuple(
        refusal.because(
            reason.code,
            uuid,
            f"{parent.name}: {reason.message}",
            reason.hint or reason.code.mend,
        )
        for reason in obstacles.of_cordon(function, facts.records.cordoned)
    )


def to_remove(
    facts: host_facts.HostFacts, uuid: str, kind: str
) -> tuple[finding.Finding, ...]:
    """Why a device can't be removed.

    :param kind: what it is known as: ``PARENT/TYPE``
    """
    there = facts.mdevs.devices.get(uuid)
    if there is None:
        return (gone(uuid),)
    seen = mdev_names.kind(there.parent, there.type_id or "")
    if seen != kind:
        return (
            refusal.because(
                mdev_codes.MDEV_NOT_OURS,
                uuid,
                f"it is {seen} by now, and was {kind}",
                mdev_codes.MDEV_NOT_OURS.mend,
            ),
        )
    return in_use(facts, uuid)


def in_use(
    facts: host_facts.HostFacts, uuid: str
) -> tuple[finding.Finding, ...]:
    """Who has a device open, or may have."""
    if uses.PROCESSES in facts.unseen and facts.scan.tree.root is not None:
        return (
            _not_known(
                uuid,
                "/proc/1: not shown, which may have it open",
                "run the command where the host's processes are seen",
            ),
        )
    return tuple(
        refusal.because(
            codes.NOT_KNOWN
            if used.kind is uses.Kind.UNKNOWN
            else mdev_codes.MDEV_OPEN,
            uuid,
            used.what,
            mdev_codes.MDEV_OPEN.mend,
        )
        for used in facts.mdev_uses.get(uuid, ())
    )


def taken(there: mdev.Mdev) -> finding.Finding:
    """A UUID that another device has."""
    what = f"type {there.type_id}" if there.type_id else "an unknown type"
    goes = ", and is being removed" if there.goes else ""
    return refusal.because(
        mdev_codes.MDEV_UUID_TAKEN,
        there.uuid,
        f"a device of {what} below {there.parent} has it{goes}",
        mdev_codes.MDEV_UUID_TAKEN.mend,
    )


def gone(uuid: str) -> finding.Finding:
    """A device that isn't there."""
    return refusal.because(
        mdev_codes.NO_MDEV,
        uuid,
        "there is no such mediated device",
        mdev_codes.NO_MDEV.mend,
    )


def no_parent(
    facts: host_facts.HostFacts, subject: str, parent: str
) -> finding.Finding:
    """A parent that isn't one."""
    known = tuple(facts.mdevs.parents)
    if not facts.mdevs.has_bus:
        hint = (
            "this host's kernel has no mediated devices (/sys/bus/mdev):"
            " load the driver that makes them"
        )
    elif known:
        near = difflib.get_close_matches(parent, known, 3, 0.5) or known[:5]
        hint = f"those that offer some: {', '.join(near)}"
    else:
        hint = "no device of this host offers any: is its driver loaded?"
    return refusal.because(
        mdev_codes.NO_MDEV_PARENT,
        subject,
        (parent or "''") + " offers no mediated devices",
        hint,
    )


def no_type(
    parents: ty.Collection[mdev.Parent], subject: str, type_id: str
) -> finding.Finding:
    """A type that none of these offers."""
    known = sorted(
        {offered.id for parent in parents for offered in parent.types}
        | {
            offered.name
            for parent in parents
            for offered in parent.types
            if offered.name
        }
    )
    near = difflib.get_close_matches(type_id, known, 3, 0.5) or known[:5]
    said = (
        f"{next(iter(parents)).name} offers no type {type_id!r}"
        if len(parents) == 1
        else f"nobody offers a type {type_id!r}"
    )
    return refusal.because(
        mdev_codes.NO_MDEV_TYPE,
        subject,
        said,
        f"those on offer: {', '.join(near)}"
        if near
        else mdev_codes.NO_MDEV_TYPE.mend,
    )


def full(
    facts: host_facts.HostFacts,
    subject: str,
    parents: ty.Collection[mdev.Parent],
    type_id: str,
) -> finding.Finding:
    """Parents that take no other of a type, and what is idle below them."""
    below = [
        device
        for parent in parents
        for device in facts.mdevs.of_parent(parent.name)
    ]
    idle = [
        f"{device.uuid} ({device.type_id or '?'} of {device.parent})"
        for device in below
        if not facts.mdev_uses.get(device.uuid)
    ]
    said = f"no room for another {type_id}"
    if len(parents) == 1:
        said = f"{next(iter(parents)).name} has {said}"
    if idle:
        shown = ", ".join(idle[:3])
        more = f" and {len(idle) - 3} more" if len(idle) > 3 else ""
        said += f"; idle there: {shown}{more}"
    return refusal.because(
        mdev_codes.MDEV_FULL, subject, said, mdev_codes.MDEV_FULL.mend
    )


def _function_is_given(
    facts: host_facts.HostFacts, uuid: str, parent: mdev.Parent
) -> tuple[finding.Finding, ...]:
    """Why a parent that is a PCI function makes none just now."""
    if parent.address is None:
        return ()
    function = facts.scan.get(parent.address)
    if function is None:
        return (_not_known(uuid, f"{parent.address} is not to be seen"),)
    against = (
        *refusal.is_another(facts, function),
        *refusal.is_somebodys(facts, function),
    )
    return tuple(
        refusal.because(
            reason.code,
            uuid,
            f"{parent.name}: {reason.message}",
            reason.hint or reason.code.mend,
        )
        for reason in against
    )


def _not_known(
    uuid: str, what: str, hint: str = "run the command as root"
) -> finding.Finding:
    return refusal.because(codes.NOT_KNOWN, uuid, what, hint)
