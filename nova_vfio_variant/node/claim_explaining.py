# SPDX-License-Identifier: Apache-2.0
"""Why a claim would get what it would get. Nothing is written."""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import (
    choosing,
    claim_choice,
    claims,
    ordering,
    placement_side,
    request_devices,
    tracked_devices,
    vgpu_claims,
)
from nova_vfio_variant.pci import pools
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.node import vgpu_choosing
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias
    from nova_vfio_variant.pci import request as pci_request
    from nova_vfio_variant.tracker import store as tracker_store

Step = request_devices.Step
_Devices = ty.Sequence[tracked.Device]


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A device that could serve a request.

    :param name: its address; of a parent of mediated devices, its name
    :param is_chosen: whether the request gets it
    :param why: what its place among the others hangs on
    """

    name: str
    is_chosen: bool
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Explained:
    """What becomes of one request of a claim.

    :param request: an alias, a type, or what devices are, and how many
    :param steps: how many candidates each step left
    :param candidates: the rest, in the order in which they are taken
    """

    request: str
    steps: tuple[Step, ...]
    candidates: tuple[Candidate, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of a claim.

    :param requests: each of it
    :param error: why nothing would be claimed; None where it would
    """

    requests: tuple[Explained, ...]
    error: exception.VfioVariantError | None


def explain(
    on: node_context.Context,
    instance_uuid: str,
    request: pci_request.Request,
) -> Explanation:
    """What a claim would get now, and why.

    :raises ConfigError: the configuration has errors, or the request can't be
    :raises StoreError: the store can't be read
    """
    asked = claim_choice.Asked.parsed(on.declared, request)
    with placement_side.beside_writers(on) as store:
        return _Explaining(on, store, asked, instance_uuid).explanation()


class _Explaining:
    """One claim, as it would be chosen for."""

    def __init__(
        self,
        on: node_context.Context,
        store: tracker_store.Store,
        asked: claim_choice.Asked,
        instance_uuid: str,
    ) -> None:
        self._asked, self._instance = asked, instance_uuid
        self._store = store
        self._record = store.claim_records.get(instance_uuid)
        self._before = tracked_devices.claims(on, store, instance_uuid)
        self._devices, _ = placement_side.planned(on, store)
        self._choice = claim_choice.ClaimChoice(on, store)
        self._judge = self._choice.judge(self._devices)
        self._answers = claim_choice.verdicts(
            self._judge, self._devices, on.declared.unread, instance_uuid
        )
        self._doubtful = vgpu_claims.VgpuClaims(on, store).doubtful(
            self._judge
        )

    def explanation(self) -> Explanation:
        """What becomes of it."""
        error: exception.VfioVariantError | None = None
        chosen = claim_choice.Chosen([], [], [])
        try:
            chosen = self._chosen()
        except (exception.ClaimError, exception.HostError) as refused:
            error = refused
        left = list(chosen.taken)

        def taken(wanted: alias.PciRequest) -> tuple[tracked.Device, ...]:
            for at, (request, _) in enumerate(left):
                if request == wanted:
                    return left.pop(at)[1]
            return ()

        others = [device for _, some in chosen.taken for device in some]
        found = [
            self._of_need(need, taken(need.request), others)
            for need in self._choice.needs(
                self._asked, self._devices, self._judge
            )
        ]
        found += [
            self._of_wish(wish, taken(wish.request), others)
            for wish in self._asked.wishes
        ]
        found += [
            self._of_mdevs(
                type_id,
                count,
                [
                    made.kind.rpartition("/")[0]
                    for made in chosen.mdevs
                    if made.kind.rpartition("/")[2] == type_id
                ],
            )
            for type_id, count in self._asked.mdevs.items()
        ]
        return Explanation(tuple(found), error)

    def _chosen(self) -> claim_choice.Chosen:
        """What it gets, or has already.

        :raises ClaimError: it would be refused
        :raises HostError: so it would, by the host
        """
        if not self._before:
            return self._choice.among(
                self._devices, self._asked, self._instance
            )
        claims.expect_same(self._record, self._before, self._asked)
        needs = self._choice.needs(self._asked, self._devices, self._judge)
        return _had(
            self._store,
            [
                device
                for device in self._devices
                if device.instance_uuid == self._instance
            ],
            [
                *(need.request for need in needs),
                *(wish.request for wish in self._asked.wishes),
            ],
            self._instance,
        )

    def _of_need(
        self,
        need: request_devices.Need,
        mine: _Devices,
        others: _Devices,
    ) -> Explained:
        fit = [one for one in self._devices if one.address in need.fits]
        return self._of_functions(
            need.request, need.steps, fit, self._answers, mine, others
        )

    def _of_wish(
        self,
        wish: vgpu_choosing.Wish,
        mine: _Devices,
        others: _Devices,
    ) -> Explained:
        """Of an alias, or of a type of vGPU."""
        answers = dict(self._answers)
        if wish.types:
            name = f"can have type {next(iter(wish.types.values())).name}"
            fit = [one for one in self._devices if wish.type_of(one)]
            for device in fit:
                known = wish.type_of(device)
                if device.address in answers and known is not None:
                    answers[device.address] = self._judge.at(
                        device.address, self._instance, vgpu_type=known.id
                    )
        else:
            name = "as the alias says"
            such = choosing.fitting(self._devices, wish.request)
            fit = [one for one in self._devices if one.address in such]
        count = len(self._devices)
        steps = (
            Step("device_spec", count),
            Step(name, len(fit), _one("another", count - len(fit))),
        )
        return self._of_functions(
            wish.request, steps, fit, answers, mine, others
        )

    def _of_functions(
        self,
        request: alias.PciRequest,
        steps: tuple[Step, ...],
        fit: _Devices,
        answers: choosing.Verdicts,
        mine: _Devices,
        others: _Devices,
    ) -> Explained:
        """Who is free and may be given, and in which order."""
        own = {device.address for device in mine}
        elsewhere = {device.address for device in others} - own
        free, reasons = _free(fit, answers, elsewhere)
        left = len(fit)
        made = list(steps)
        for name, removed in reasons.items():
            left -= removed.total()
            made.append(Step(name, left, removed))
        choice = self._choice.choice(self._asked)
        near = choosing.fitting(
            free, request, (choice.numa_cells, choice.sockets)
        )
        far = collections.Counter(
            f"on NUMA node {device.numa_node}"
            for device in free
            if device.address not in near
        )
        made.append(Step(f"NUMA policy {request.numa_policy}", len(near), far))
        rest = self._ordered(
            [
                device
                for device in free
                if device.address in near and device.address not in own
            ],
            mine,
        )
        return Explained(
            f"{request.subject}:{request.count}",
            tuple(made),
            tuple(
                Candidate(
                    str(device.address),
                    device.address in own,
                    self._why(device, answers.get(device.address)),
                )
                for device in (*mine, *rest)
            ),
        )

    def _ordered(self, rest: _Devices, mine: _Devices) -> _Devices:
        """Who would come after those that are chosen."""
        found = [
            device
            for pool in pools.Pools.of(
                choosing.doubtful_last(rest, self._doubtful), by_class=True
            ).pools
            for device in reversed(pool.devices.values())
        ]
        order = self._choice.order(self._asked, self._judge)
        if order is None:
            return found
        return order.having(mine).pick(
            found, len(found), self._devices, self._doubtful
        )

    def _why(
        self, device: tracked.Device, answer: assignability.Verdict | None
    ) -> str:
        card = ordering.card_of(device)
        used = sum(
            ordering.card_of(other) == card
            and other.status is not tracked.Status.AVAILABLE
            for other in self._devices
        )
        said = [] if answer is None else [str(answer.state)]
        node = "unknown" if device.numa_node is None else device.numa_node
        said += [f"card {card}, {used} in use", f"NUMA node {node}"]
        if self._asked.request is not None and self._asked.request.closest:
            said.append(request_devices.told_place(card, self._judge.facts))
        if device.address in self._doubtful:
            said.append("a guest failed on it")
        return "; ".join(said)

    def _of_mdevs(
        self, type_id: str, count: int, parents: ty.Sequence[str]
    ) -> Explained:
        """Of mediated devices, by the parents that they would be made of."""
        facts = self._judge.known
        choice = self._choice.choice(self._asked)
        offering = [parent.name for parent in facts.mdevs.with_type(type_id)]
        try:
            near = choice.near(facts, type_id)
        except exception.NotEnoughDevices:
            near = ()
        rest = [name for name in near if name not in parents]
        return Explained(
            f"{type_id}:{count}",
            (
                Step(f"offers {type_id}", len(offering)),
                Step(
                    f"NUMA policy {choice.policy}",
                    len(near),
                    _one(
                        "too far, or not the alias's",
                        len(offering) - len(near),
                    ),
                ),
            ),
            tuple(
                Candidate(name, chosen, f"strategy {choice.strategy}")
                for some, chosen in ((parents, True), (rest, False))
                for name in some
            ),
        )


def _had(
    store: tracker_store.Store,
    mine: _Devices,
    requests: ty.Iterable[alias.PciRequest],
    instance_uuid: str,
) -> claim_choice.Chosen:
    """What an instance has, by the requests of its claim."""
    return claim_choice.Chosen(
        [
            (
                request,
                tuple(
                    device
                    for device in mine
                    if device.alias_name == request.alias_name
                ),
            )
            for request in requests
        ],
        [],
        list(store.mdevs.of(instance_uuid)),
    )


def _free(
    fit: _Devices,
    answers: choosing.Verdicts,
    elsewhere: ty.Collection[pci_address.PciAddress],
) -> tuple[list[tracked.Device], dict[str, collections.Counter[str]]]:
    """Who may be given now, and by step why others may not.

    :param elsewhere: what other requests of the claim get
    """
    free: list[tracked.Device] = []
    reasons: dict[str, collections.Counter[str]] = {
        "free": collections.Counter(),
        "verdict": collections.Counter(),
    }
    for device in fit:
        answer = answers.get(device.address)
        reason = choosing.reason(device, answer)
        if device.address in elsewhere:
            reasons["free"]["taken for another request of it"] += 1
        elif device.instance_uuid is not None or answer is None:
            reasons["free"][reason or "can't be read"] += 1
        elif reason is not None:
            reasons["verdict"][reason] += 1
        else:
            free.append(device)
    return free, reasons


def _one(reason: str, count: int) -> dict[str, int]:
    return {reason: count} if count else {}
