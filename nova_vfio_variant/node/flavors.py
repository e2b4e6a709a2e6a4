# SPDX-License-Identifier: Apache-2.0
"""What flavors would get on this host. Nothing is written."""

from __future__ import annotations

import dataclasses
import functools
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.declaration import nova_here
from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.observe import numa
from nova_vfio_variant.node import (
    claim_choice,
    flavor_fit,
    flavor_groups,
    flavor_instead,
    mdev_claims,
    placement_side,
    vgpu_claims,
)
from nova_vfio_variant.node.flavor_answer import (
    NONE,
    UNKNOWN,
    FlavorAnswer,
    Gets,
)
from nova_vfio_variant.pci import flavor, flavor_codes
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.node import inventory, vgpu_choosing
    from nova_vfio_variant.pci import alias, extra_specs, request_groups

#: The step of Nova's that asks for its own trait.
OWNER: ty.Final = nova_here.OWNER_NOVA
#: Where each is to be had, but not all of them by one guest.
TOGETHER: ty.Final = "all at once"


class Flavors:
    """Tells what flavors would get on a node.

    :param on: what one call sees of the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on

    def answers(
        self, given: ty.Iterable[extra_specs.Given]
    ) -> list[FlavorAnswer]:
        """What each of some flavors would get.

        :raises ConfigError: the configuration has errors
        :raises HostError: the host can't be seen
        :raises StoreError: the store can't be read
        """
        declared = self._context.declared
        side = placement_side.PlacementSide(self._context)
        with placement_side.beside_writers(self._context) as store:
            devices, _ = placement_side.planned(self._context, store)
            node = _Node(
                declared,
                devices,
                side.publication(store, devices),
                flavor_fit.Fit(
                    claim_choice.ClaimChoice(self._context, store),
                    devices,
                    declared.judging(declared.records),
                    numa.sockets(self._context.tree),
                ),
                is_ours=self._context.conf.vfio.placement == "service"
                and declared.in_placement
                and nova_here.is_absent(declared),
            )
            return [_answer(node, one) for one in given]


class _Node:
    """What all flavors are compared with.

    :param published: what the devices are in Placement
    :param is_ours: flavors ask a Placement where the devices' providers
        aren't Nova's
    """

    def __init__(
        self,
        given: facts.CheckInput,
        devices: flavor_fit.FittingDevices,
        published: inventory.Publication,
        fit: flavor_fit.Fit,
        *,
        is_ours: bool,
    ) -> None:
        self.given = given
        self.devices = {device.address: device for device in devices}
        self.published = published
        self.fit = fit
        self.is_ours = is_ours

    @functools.cached_property
    def view(self) -> inventory.View:
        """What is used; Placement is asked once, and only if need be."""
        return self.published.view()

    @property
    def judge(self) -> host_verdicts.Verdicts:
        """What gives the verdict on each device."""
        return self.fit.judge

    def rooms(self) -> list[flavor_groups.Room]:
        """What the providers have left."""
        novas = () if nova_here.is_absent(self.given) else (OWNER,)
        return [
            flavor_groups.Room.of(rp, self.view.usages.get(rp.name, {}), novas)
            for rp in self.view.desired
        ]

    def behind(self, name: str) -> flavor_fit.FittingDevices:
        """The devices behind a provider."""
        return tuple(
            self.devices[at]
            for rp in self.view.desired
            if rp.name == name
            for at in rp.addresses
            if at in self.devices
        )


def _answer(node: _Node, given: extra_specs.Given) -> FlavorAnswer:
    wanted, problems = flavor.read(given, node.given.aliases)
    answer = FlavorAnswer(wanted.name, findings=problems)
    if answer.is_wrong:
        return answer
    try:
        mediated = {
            request: kind
            for request in wanted.requests
            if (kind := mdev_claims.by_alias(node.given, request)) is not None
        }
    except exception.ConfigError as error:
        setting = given.settings[flavor.ALIAS]
        wrong = setting.on(
            flavor_codes.UNKNOWN_ALIAS, error.message, hint=error.hint
        )
        return dataclasses.replace(answer, findings=(*problems, wrong))
    functions = [one for one in wanted.requests if one not in mediated]
    wishes = vgpu_claims.wishes(node.given, functions, ())[0]
    gets = _by_alias(node, wishes, wanted.numa_nodes)
    guests: list[int | None] = []
    instead: tuple[str, ...] = ()
    of_mdevs = tuple(
        _mediated(node, request, kind) for request, kind in mediated.items()
    )
    if of_mdevs:
        # The parents of a card share it, and say so of none.
        guests.append(None)
    if gets:
        served = all(one.refused is None for one in gets)
        guests.append(
            node.fit.at_once(wishes, wanted.numa_nodes) if served else 0
        )
    if gets and node.is_ours:
        instead = flavor_instead.commands(wanted, wishes)
        not_novas = given.settings[flavor.ALIAS].on(
            flavor_codes.NOT_NOVAS,
            "Nova asks for providers of its own, and these devices' are"
            " nova-vfio's",
            hint="Ask for the resource class: the commands follow.",
        )
        problems = (*problems, not_novas)
    of_groups, number = _by_group(node, wanted.asked)
    if of_groups:
        guests.append(number)
    known = [number for number in guests if number is not None]
    return FlavorAnswer(
        wanted.name,
        (*gets, *of_mdevs, *of_groups),
        min(known) if known and len(known) == len(guests) else None,
        problems,
        instead,
    )


def _mediated(
    node: _Node, request: alias.PciRequest, kind: mdev_claims.ByAlias
) -> Gets:
    """What an alias for mediated devices would get: they are yet to be made."""
    asks = f"{request.alias_name}:{request.count}"
    left = [
        offered.available or 0
        for parent in node.judge.facts.mdevs.with_type(kind.type_id)
        if parent.name in kind.parents
        and (offered := parent.type_of(kind.type_id)) is not None
    ]
    if max(left, default=0) >= kind.count:
        return Gets(asks, str(assignability.State.PREPARABLE))
    if sum(left) >= kind.count:
        # Parents may share what each says that it has.
        told = " and ".join(map(str, filter(None, left)))
        refused = flavor_fit.Refused(
            "parents",
            f"parents have {told} of type {kind.type_id} left, and whether"
            f" that is {kind.count} together their driver alone knows",
            "'nova-vfio mdev types' shows what each parent takes",
        )
        return Gets(asks, UNKNOWN, refused=refused)
    refused = flavor_fit.Refused(
        "parents",
        f"no {kind.count} more of type {kind.type_id} are to be had",
        "'nova-vfio mdev types' shows what each parent takes",
    )
    return Gets(asks, NONE, refused=refused)


def _by_alias(
    node: _Node, wishes: vgpu_claims.Wishes, numa_nodes: int
) -> tuple[Gets, ...]:
    """What each alias would get, beside the others."""
    try:
        taken = node.fit.taken(wishes, numa_nodes)
    except exception.NotEnoughDevices as error:
        alone = [_alone(node, wish, numa_nodes) for wish in wishes]
        if any(one.refused for one in alone):
            return tuple(alone)
        refused = flavor_fit.Refused(TOGETHER, error.message, error.hint)
        return tuple(
            dataclasses.replace(one, state=NONE, devices=(), refused=refused)
            for one in alone
        )
    return tuple(
        _gets(node, wish, taken[place], numa_nodes)
        for place, wish in enumerate(wishes)
    )


def _alone(node: _Node, wish: vgpu_choosing.Wish, numa_nodes: int) -> Gets:
    try:
        devices = node.fit.taken([wish], numa_nodes)[0]
    except exception.NotEnoughDevices as error:
        return Gets(
            _asks(wish),
            NONE,
            at_once=_at_once(node, wish, numa_nodes),
            refused=node.fit.refused(wish, numa_nodes, error),
        )
    return _gets(node, wish, devices, numa_nodes)


def _gets(
    node: _Node,
    wish: vgpu_choosing.Wish,
    devices: flavor_fit.FittingDevices,
    numa_nodes: int,
) -> Gets:
    refused = None
    if node.is_ours:
        refused = flavor_fit.Refused(
            OWNER,
            "with pci_in_placement Nova asks for providers with"
            f" {OWNER}, which these devices' are not",
        )
    return Gets(
        _asks(wish),
        str(node.fit.state(wish, devices)) if refused is None else NONE,
        devices if refused is None else (),
        tuple(sorted(node.published.providers_of(devices))),
        _nodes(devices),
        _at_once(node, wish, numa_nodes) if refused is None else 0,
        refused,
    )


def _asks(wish: vgpu_choosing.Wish) -> str:
    return f"{wish.request.alias_name}:{wish.request.count}"


def _at_once(node: _Node, wish: vgpu_choosing.Wish, numa_nodes: int) -> int:
    one = dataclasses.replace(
        wish, request=dataclasses.replace(wish.request, count=1)
    )
    return node.fit.at_once([one], numa_nodes)


def _nodes(devices: ty.Iterable[tracked.Device]) -> tuple[int, ...]:
    found = {device.numa_node for device in devices}
    return tuple(sorted(node for node in found if node is not None))


def _by_group(
    node: _Node, asked: request_groups.AskedGroups
) -> tuple[tuple[Gets, ...], int | None]:
    """What each group would get, and how many guests could have them all."""
    if not asked.groups:
        return (), None
    rooms = node.rooms()
    groups = flavor_groups.of_devices(asked.groups, rooms)
    if not groups:
        return (), None
    isolate = asked.policy == "isolate"
    if node.view.unreachable is not None:
        why = f"what is used is unknown: {node.view.unreachable}"
        refused = flavor_fit.Refused("placement", why)
        return tuple(
            Gets(group.words, UNKNOWN, refused=refused) for group in groups
        ), None
    found, guests = [], 0
    chosen = flavor_groups.share(groups, rooms, isolate=isolate)
    for place, group in enumerate(groups):
        fitting, step = flavor_groups.left_after(group, node.rooms())
        if chosen is not None:
            found.append(_of_room(node, group, chosen[place]))
        elif step is not None:
            found.append(_without(group, step))
        else:
            found.append(_of_room(node, group, fitting[0]))
    if chosen is None and not any(one.refused for one in found):
        refused = flavor_fit.Refused(
            flavor_groups.Step.POLICY if isolate else TOGETHER,
            "each group alone is to be had, and not all of them",
        )
        found = [
            dataclasses.replace(one, state=NONE, refused=refused)
            for one in found
        ]
    while chosen is not None:
        guests += 1
        chosen = flavor_groups.share(groups, rooms, isolate=isolate)
    return tuple(found), guests


def _of_room(
    node: _Node, group: request_groups.Group, room: flavor_groups.Room
) -> Gets:
    """What stands behind a provider."""
    free = [
        device
        for device in node.behind(room.name)
        if device.status == tracked.Status.AVAILABLE
    ]
    states = {node.judge.at(device.address).state for device in free}
    state = assignability.State.READY
    if free and state not in states:
        # A card that is divided on demand has no type yet.
        state = assignability.State.PREPARABLE
    return Gets(
        group.words,
        str(state),
        providers=(room.name,),
        numa_nodes=_nodes(node.behind(room.name)),
    )


def _without(group: request_groups.Group, step: flavor_groups.Step) -> Gets:
    what = ", ".join(group.resources)
    if step is flavor_groups.Step.TRAITS:
        what = ", ".join(
            [*sorted(group.required), *(f"!{t}" for t in group.forbidden)]
        )
    why = {
        flavor_groups.Step.CLASS: f"no provider of this host has {what}",
        flavor_groups.Step.TRAITS: f"no provider with its class has {what}",
    }.get(step, f"no provider has so much of {what} left")
    return Gets(
        group.words,
        NONE,
        refused=flavor_fit.Refused(
            step, why, "'nova-vfio inventory show' has all that there is"
        ),
    )
