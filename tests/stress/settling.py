# SPDX-License-Identifier: Apache-2.0
"""Bringing a node to rest, and what must hold then."""

import typing as ty

from nova_vfio_variant.tracker import device as tracked
from tests.stress import place

if ty.TYPE_CHECKING:
    from tests.stress import world

#: What is said of a card and its VFs that are both to be published.
_BOTH: ty.Final = "Placement can publish one or the other"


def settle(on: "world.World") -> list[str]:
    """Finish what was being given back, and report; what is wrong then."""
    if on.is_settled:
        return []
    found = _released_again(on)
    ended = on.tried(on.node.reporting.report)
    if ended != "done":
        if not _is_divided(on, ended):
            return [*found, f"a report: {ended}"]
        on.reported = on.commands
        return found
    diff = on.node.placement.diff()
    on.is_dirty, on.reported = False, on.commands
    on.learn(on.node.devices.claims(), ended=True)
    found += on.wrong()
    if diff.changes:
        found.append(f"a report left {diff.changes}")
    on.is_settled = True
    return found


def end(on: "world.World") -> list[str]:
    """The same; a card that is claimed as it is no more declared goes back.

    Nothing but that may keep a report from its end.
    """
    found = settle(on)
    if found or on.is_settled:
        return found
    for one in on.instances:
        on.end_guest(one)
        on.move(one, "release")
    found = settle(on)
    if not found and not on.is_settled:
        found.append("nothing is claimed, and nobody can report")
    return found


def _released_again(on: "world.World") -> list[str]:
    """Go on with what somebody was killed in the middle of giving back.

    A report leaves that to whoever gave it back, and to reconcile: until then
    the store has it, and Placement may not.
    """
    if not on.store_is_there:
        return []
    releasing = {
        claim.instance_uuid
        for claim in on.node.devices.claims()
        if claim.state is tracked.ClaimState.RELEASING
    }
    found = []
    for one in on.instances:
        if one.uuid in releasing:
            on.end_guest(one)
            ended = on.move(one, "release")
            if ended != "done":
                found.append(f"{one.uuid} can't be released again: {ended}")
    return found


def _is_divided(on: "world.World", ended: str) -> bool:
    """Whether a report failed for a card alone of which is claimed what is no
    more declared.

    It is kept while somebody has it, and Placement has no form for it. That
    it is claimed is looked up: what instances remember may be in doubt.

    :param ended: what the report said: the error, and each finding
    """
    _, *findings = ended.split("; ")
    if not findings or not all(_BOTH in one for one in findings):
        return False
    is_whole = "8086:10c9" in place.SPECS[on.configured]
    parts = place.NIC_VFS if is_whole else (place.NIC,)
    return any(
        str(name) in parts
        for claim in on.node.devices.claims()
        for name in claim.addresses
    )
