# SPDX-License-Identifier: Apache-2.0
"""What it means that all commands agree about a host.

``host show`` tells of each function what it is: ready, preparable, blocked or
unknown, with the obstacles. All else that a command says of a function has to
follow from that:

* ``host list``, ``host show``, ``device list``, ``device show`` and
  ``explain`` say the same of the same function.
* ``claim create`` gives what is ready or preparable and nothing else, what is
  preparable only if what is ready doesn't suffice, and refuses only what is
  more than all that is ready or preparable; a refusal has a reason.
* ``config check`` tells each lasting obstacle, and each use by the host that
  libvirt would not mind (``managed: yes``), at the entry that takes the
  function, or for the whole host (the IOMMU is off, there is no vfio-pci);
  and tells none that no function of the entry has. Of ``managed: no`` it
  tells what isn't bound. A PF that has VFs is told by the rules about PFs
  that match alone or with their VFs.
* ``config suggest`` suggests a VF only if nothing but a claim or a guest is
  in its way, or that it waits for a vGPU type that a claim sets, and has a
  remark for each other VF. What is ready, alone in its group and unlike no
  sibling is suggested.
* ``host plan`` refuses what has a use, a claim, a quarantine, VFs, a vGPU
  type, a group or a PF in its way, and nothing else.
* ``inventory show`` reserves one unit for each device that nobody has and
  that a lasting obstacle blocks; the total counts them all, but for free
  devices that are others than those tracked.
* ``claim delete`` refuses while a process has a device of the claim open, or
  its IOMMU group where nobody else has a claim on a member.
"""

import collections
import dataclasses
import typing as ty

from nova_vfio_variant.check import codes as check_codes
from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.placement import codes as placement_codes
from tests import random_hosts

#: How ``config check`` tells an obstacle, at the entry that takes a function.
TOLD: ty.Final = {
    host_codes.NOT_IN_A_GROUP: check_codes.NO_IOMMU_GROUP,
    host_codes.GROUP_COMPANIONS: check_codes.GROUP_IN_USE,
    host_codes.NO_VFIO_DEV: host_codes.NO_VFIO_DEV,
    host_codes.VENDOR_REBIND: host_codes.VENDOR_REBIND,
    host_codes.VF_TOKEN: host_codes.VF_TOKEN,
    host_codes.NO_VGPU_TYPE: check_codes.VGPU_TYPE_UNSET,
    host_codes.IS_QUARANTINED: host_codes.IS_QUARANTINED,
    host_codes.IS_UNWELL: host_codes.IS_UNWELL,
    host_codes.IS_BRIDGE: host_codes.IS_BRIDGE,
    host_codes.PF_HAS_VFS: host_codes.PF_HAS_VFS,
    host_codes.HAS_VGPU_TYPE: host_codes.HAS_VGPU_TYPE,
    host_codes.MDEV_BELOW: host_codes.MDEV_BELOW,
    host_codes.VDPA_BELOW: host_codes.VDPA_BELOW,
}
#: How it tells them of the host as a whole.
TOLD_ONCE: ty.Final = {
    host_codes.NOT_IN_A_GROUP: check_codes.IOMMU_OFF,
    host_codes.VFIO_MISSING: check_codes.NO_VFIO_MODULE,
}
_PF_RULES = {check_codes.PF_ALONE.id, placement_codes.PF_AND_VF_MATCHED.id}
_USES = {
    host_codes.DISPLAY_IN_USE.id,
    host_codes.NETWORK_IN_USE.id,
    host_codes.STORAGE_IN_USE.id,
    host_codes.IS_OPEN.id,
}
_LASTING = {code.id for code in assignability.LASTING}
_MOMENTARY = {code.id for code in assignability.MOMENTARY}
#: What keeps a function from a VFIO driver, on whichever it is now.
_OF_PLACE = {
    host_codes.IS_BRIDGE.id,
    host_codes.NOT_IN_A_GROUP.id,
    host_codes.GROUP_COMPANIONS.id,
    host_codes.VF_TOKEN.id,
}
#: What keeps it on the driver that it is on.
_OF_DRIVER = {
    *_USES,
    host_codes.MDEV_BELOW.id,
    host_codes.VDPA_BELOW.id,
    host_codes.IS_CLAIMED.id,
    host_codes.IS_QUARANTINED.id,
    host_codes.ANOTHER_DEVICE.id,
    host_codes.HAS_VGPU_TYPE.id,
    host_codes.VGPU_DRIVER.id,
    host_codes.PF_HAS_VFS.id,
    host_codes.NOT_KNOWN.id,
}
ASSIGNABLE: ty.Final = ("ready", "preparable")


@dataclasses.dataclass(frozen=True)
class Shown:
    """What is said of one function.

    :param state: what the verdict comes to
    :param obstacles: ids of the codes of what keeps it from being ready
    """

    state: str
    obstacles: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Tracked:
    """A tracked device, as ``device list`` shows it.

    :param is_offered: it is still the device that was tracked
    """

    resource_class: str
    dev_type: str
    owner: str | None
    is_port: bool
    is_offered: bool


@dataclasses.dataclass(frozen=True)
class Claimed:
    """What became of a claim.

    :param given: addresses; None if it was refused
    :param said: in a refusal
    """

    alias: tuple[str, str]
    count: int
    given: tuple[str, ...] | None
    said: str = ""


@dataclasses.dataclass
class Answers:
    """What the commands said of one host. All addresses are text.

    :param shown: by ``host show``
    :param states: by other commands: the command -> address -> state
    :param undeclared: by ``host show`` where nothing is declared
    :param taken: address -> resource class of the entry that takes it
    :param managed: resource class of an entry -> what its hostdevs say
    :param findings: ids of codes: of the host as a whole (None), or at an
        entry (its resource class)
    :param exchanged: addresses of devices that are told to be others
    :param suggested: addresses in the suggested configuration
    :param remarked: addresses that it says aren't suggested
    :param to_plan: obstacles of a function that is to go to vfio-pci
    :param unplanned: addresses of those that wait for others which can't
        leave their drivers, where a plan refuses nothing
    :param plans: address -> ids of what a plan for it alone refuses
    :param tracked: by ``device list``
    :param claims: that were made and taken back
    :param inventory: resource class -> total and reserved
    :param released: instance -> whether its claim could be deleted
    """

    shown: dict[str, Shown] = dataclasses.field(default_factory=dict)
    states: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    undeclared: dict[str, Shown] = dataclasses.field(default_factory=dict)
    taken: dict[str, str] = dataclasses.field(default_factory=dict)
    managed: dict[str, bool] = dataclasses.field(default_factory=dict)
    findings: dict[str | None, set[str]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(set)
    )
    exchanged: set[str] = dataclasses.field(default_factory=set)
    suggested: set[str] = dataclasses.field(default_factory=set)
    remarked: set[str] = dataclasses.field(default_factory=set)
    to_plan: dict[str, frozenset[str]] = dataclasses.field(
        default_factory=dict
    )
    unplanned: set[str] = dataclasses.field(default_factory=set)
    plans: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    tracked: dict[str, Tracked] = dataclasses.field(default_factory=dict)
    claims: list[Claimed] = dataclasses.field(default_factory=list)
    inventory: dict[str, tuple[int, int]] | None = None
    released: dict[str, bool] = dataclasses.field(default_factory=dict)


def disagreements(host: random_hosts.Host, said: Answers) -> list[str]:
    """Where two commands contradict each other, one sentence each."""
    return [
        *_of_states(said),
        *_of_check(host, said),
        *_of_suggest(host, said),
        *_of_plans(host, said),
        *_of_claims(said),
        *_of_inventory(said),
        *_of_releases(host, said),
    ]


def _of_states(said: Answers) -> ty.Iterator[str]:
    for command, states in said.states.items():
        for at, state in states.items():
            if at in said.shown and said.shown[at].state != state:
                yield (
                    f"{command}: {at} is {state}; host show:"
                    f" {said.shown[at].state}"
                )


def _of_check(host: random_hosts.Host, said: Answers) -> ty.Iterator[str]:
    has_groups = any(function.group is not None for function in host.functions)
    once = {code.id: told.id for code, told in TOLD_ONCE.items()}
    at_entry = {code.id: told.id for code, told in TOLD.items()}
    del (once if has_groups else at_entry)[host_codes.NOT_IN_A_GROUP.id]
    at_entry.update(dict.fromkeys(_USES, check_codes.CARRIES_HOST.id))
    at_entry[host_codes.NOT_BOUND.id] = check_codes.NOT_PREPARED.id
    wanted: dict[str | None, set[str]] = collections.defaultdict(set)
    for at, entry in said.taken.items():
        for code in _to_tell(host, said, at):
            if code in once:
                wanted[None].add(once[code])
            elif code in at_entry:
                wanted[entry].add(at_entry[code])
    known = {*at_entry.values(), *once.values()}
    if not has_groups and said.taken:
        # So it is, also where something else is in the way first.
        wanted[None].add(check_codes.IOMMU_OFF.id)
    for place in {*wanted, None, *said.managed}:
        told = said.findings[place] & known
        for code in wanted[place] - told:
            yield f"config check: {code} is not told of {place or 'the host'}"
        for code in told - wanted[place]:
            yield (
                f"config check: {code} is told of {place or 'the host'}, and"
                " host show has no such obstacle"
            )
    yield from _of_subjects(host, said)


def _to_tell(
    host: random_hosts.Host, said: Answers, at: str
) -> ty.Iterator[str]:
    """The obstacles of a function that its entry has to tell."""
    is_managed = said.managed[said.taken[at]]
    for code in said.shown[at].obstacles:
        if code in _USES and (host.at(at).vfio or not is_managed):
            continue
        if code == host_codes.NOT_BOUND.id and is_managed:
            continue
        if code == host_codes.PF_HAS_VFS.id and _is_head(host, at):
            continue
        yield code


def _is_head(host: random_hosts.Host, at: str) -> bool:
    """Whether a function has VFs."""
    return any(function.physfn == at for function in host.functions)


def _of_subjects(host: random_hosts.Host, said: Answers) -> ty.Iterator[str]:
    """What is told of a function by itself."""
    for at, entry in said.taken.items():
        obstacles = said.shown[at].obstacles
        if (
            host_codes.PF_HAS_VFS.id in obstacles
            and _is_head(host, at)
            and not _PF_RULES & (said.findings[entry] | said.findings[at])
        ):
            yield f"config check: nothing of the VFs of {at}"
        is_another = host_codes.ANOTHER_DEVICE.id in obstacles
        if is_another and at not in said.exchanged:
            yield f"config check: nothing of another device at {at}"
    for at in said.exchanged - said.taken.keys():
        if host_codes.ANOTHER_DEVICE.id not in said.shown[at].obstacles:
            yield f"config check: {at} is another device; host show: no"


def _of_suggest(host: random_hosts.Host, said: Answers) -> ty.Iterator[str]:
    for function in host.functions:
        at = function.address
        if function.physfn is None or at not in said.undeclared:
            continue
        shown = said.undeclared[at]
        lasting = shown.obstacles - _MOMENTARY
        lasting -= {host_codes.NOT_BOUND.id, host_codes.MATES_TO_PREPARE.id}
        # We publish these hosts, so that claims set types.
        lasting -= {host_codes.NO_VGPU_TYPE.id}
        if at in said.suggested and lasting:
            yield f"config suggest: {at}, in spite of {sorted(lasting)}"
        if (at in said.suggested) == (at in said.remarked):
            yield f"config suggest: {at} is suggested and remarked, or neither"
        mates = [
            other
            for other in host.functions
            if other.group == function.group and other.address != at
        ]
        alike = {
            (other.driver, other.vfio)
            for other in host.functions
            if other.physfn == function.physfn
        }
        if (
            shown.state in ASSIGNABLE
            and not mates
            and len(alike) == 1
            and at not in said.suggested
        ):
            yield f"config suggest: {at} is {shown.state} and not suggested"


def _of_plans(host: random_hosts.Host, said: Answers) -> ty.Iterator[str]:
    for at in said.unplanned:
        yield f"host plan: {at} goes, and what is in its group can't"
    for at, refused in said.plans.items():
        one = host.at(at)
        stays = one.driver == "vfio-pci" and one.lost != "driver"
        against = _OF_PLACE if stays else _OF_PLACE | _OF_DRIVER
        obstacles = said.to_plan[at]
        if host_codes.NOT_KNOWN.id in obstacles - against:
            continue
        if not host.has_vfio and not stays:
            if not refused:
                yield f"host plan: {at} goes to a driver that isn't there"
            continue
        expected = obstacles & against
        if not host.live:
            # What a folder can't show keeps it from being changed.
            refused = refused - {host_codes.NOT_KNOWN.id}
            expected -= {host_codes.NOT_KNOWN.id}
        if not stays:
            expected |= _at_stake(host, one)
        if bool(expected) != bool(refused):
            yield (
                f"host plan: {at} is refused for {sorted(refused)}; host show"
                f" has {sorted(expected)}"
            )


def _at_stake(
    host: random_hosts.Host, function: random_hosts.Function
) -> set[str]:
    """What goes when a function loses its driver, whatever was overruled."""
    found = set()
    if function.vgpu not in (None, "0"):
        found.add(host_codes.HAS_VGPU_TYPE.id)
    if _is_head(host, function.address):
        found.add(host_codes.VFS_IN_USE.id)
    return found


def _of_claims(said: Answers) -> ty.Iterator[str]:
    for claim in said.claims:
        fit = {
            state: {
                at
                for at, device in said.tracked.items()
                if (device.resource_class, device.dev_type) == claim.alias
                and said.shown[at].state == state
            }
            for state in ASSIGNABLE
        }
        every = fit["ready"] | fit["preparable"]
        what = f"claim create: {claim.count} of {claim.alias}"
        if claim.given is None:
            if len(every) >= claim.count:
                yield f"{what} are refused ({claim.said}); host show: {fit}"
            elif (
                _has_others(said, claim.alias, every) and ";" not in claim.said
            ):
                yield f"{what} are refused without a reason: {claim.said}"
            continue
        if len(every) < claim.count or len(claim.given) != claim.count:
            yield f"{what} are given: {claim.given}; host show: {fit}"
        for at in claim.given:
            if at not in every:
                yield f"{what}: {at} is given; host show: {said.shown[at]}"
            elif at not in fit["ready"] and len(fit["ready"]) >= claim.count:
                yield f"{what}: {at} before what is ready: {fit['ready']}"


def _has_others(
    said: Answers, alias: tuple[str, str], every: ty.Collection[str]
) -> bool:
    """Whether devices of an alias are there that can't be given."""
    return any(
        (one.resource_class, one.dev_type) == alias and at not in every
        for at, one in said.tracked.items()
    )


def _of_inventory(said: Answers) -> ty.Iterator[str]:
    if said.inventory is None:
        return
    wanted: dict[str, list[int]] = {}
    for at, device in said.tracked.items():
        if device.is_port or not (device.is_offered or device.owner):
            continue
        units = wanted.setdefault(device.resource_class, [0, 0])
        units[0] += 1
        shown = said.shown[at]
        if (
            device.owner is None
            and shown.state == "blocked"
            and shown.obstacles & _LASTING
        ):
            units[1] += 1
    for name in sorted({*wanted, *said.inventory}):
        shall = tuple(wanted.get(name, ()))
        has = said.inventory.get(name, ())
        if shall != has:
            yield (
                f"inventory show: {name} has total and reserved {has}; host"
                f" show and device list: {shall}"
            )


def _of_releases(host: random_hosts.Host, said: Answers) -> ty.Iterator[str]:
    owners = {
        at: one.owner
        for at, one in said.tracked.items()
        if one.owner is not None
    }
    for instance, is_freed in said.released.items():
        held = sorted(
            at
            for at, owner in owners.items()
            if owner == instance and is_held(host, at, owners)
        )
        if is_freed and held:
            yield f"claim delete: {instance} gives back {held}, which is open"
        if not (is_freed or held):
            yield f"claim delete: {instance} keeps what nobody has open"
        if is_freed:
            owners = {
                at: owner for at, owner in owners.items() if owner != instance
            }


def is_held(
    host: random_hosts.Host, at: str, owners: ty.Mapping[str, str]
) -> bool:
    """Whether a process has a device of a claim open, as a guest has it.

    What can't be read counts as open.
    """
    one = host.at(at)
    if one.lost is not None:
        return True
    if not host.live:
        return False
    opened = {process.opens for process in host.processes}
    number = host.functions.index(one)
    if one.child == "mdev" and random_hosts.CHILDREN + number in opened:
        return True
    if not (one.vfio or one.driver in random_hosts.VFIO):
        return False
    if at in opened:
        return True
    others = [
        owners.get(other.address, owners[at])
        for other in host.functions
        if other.group == one.group
    ]
    return one.group in opened and set(others) == {owners[at]}
