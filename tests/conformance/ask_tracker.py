# SPDX-License-Identifier: Apache-2.0
"""Questions about tracking and claiming on whole hosts."""

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant.check import deviations
from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.pci.pools import Pools
from tests.conformance import texts
from tests.conformance.both import Both, state_of
from tests.conformance.hosts import Host, choose, hosts, know_parents
from tests.conformance.nova import Answer, Nova
from tests.conformance.question import Met, Question, same

INSTANCES = (
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
    "33333333-3333-3333-3333-333333333333",
)
_LAST_SPECS = (
    "{}", "{}", "{}", "{}", '{"live_migratable": "yes"}', "{}", "[]",
    '{"remote_managed": "yes"}', '[{"remote_managed": "on"}, {}]',
    '{"remote_managed": null}',
)  # fmt: skip
Cells = list[int] | None
_CELLS: tuple[Cells, ...] = (
    None, None, None, [0], [1], [0, 1], [2], [3], [0, 2], [0, 1, 2], [],
)  # fmt: skip
_IN_USE = {"claimed", "allocated"}
_BLOCKED = {"unclaimable", "unavailable"}
_HAPPENINGS = (
    "claim", "claim", "claim", "allocate", "free", "sync", "respec",
)  # fmt: skip
POLICIES = (
    None, None, None, "required", "legacy", "preferred", "preferred", "socket",
)  # fmt: skip
#: Two sockets of two nodes, one socket, and firmware that does not say.
_SOCKETS: tuple[tuple[int | None, ...], ...] = (
    (0, 0, 1, 1),
    (0, 0, 0, 0),
    (0, 1, 0, 1),
    (0, 0, None, 1),
)


@st.composite
def asks(
    draw: st.DrawFn, values: list[str], cells: Sequence[Cells] = _CELLS
) -> dict[str, Any]:
    """What an instance asks for, and where it runs."""
    return {
        "instance": choose(draw, INSTANCES),
        "extra_spec": draw(texts.extra_specs(values)),
        "policy": choose(draw, POLICIES),
        "numa": choose(draw, cells),
    }


@st.composite
def _some_specs(draw: st.DrawFn, host: Host) -> list[str]:
    """``device_spec`` values of which one takes what is left, mostly."""
    last = choose(draw, _LAST_SPECS)
    return [*draw(texts.device_specs(host)), last]


@st.composite
def nodes(
    draw: st.DrawFn, *, specs: bool = True, aliases: bool = True
) -> dict[str, Any]:
    """A host, what is configured for it, and its sockets.

    :param specs: draw these; else there are none
    :param aliases: likewise
    """
    # Else the order of pools would differ, see PARENT_IFNAME.
    host = know_parents(draw(hosts()))
    return {
        "host": host,
        "specs": draw(_some_specs(host)) if specs else [],
        "aliases": draw(texts.wanted(host)) if aliases else [],
        "sockets": choose(draw, _SOCKETS),
    }


@st.composite
def _claims(draw: st.DrawFn) -> dict[str, Any]:
    """Instances come to a host one after another."""
    case = draw(nodes())
    case["steps"] = [
        {"do": do, **draw(asks(case["aliases"]))}
        for do in draw(
            st.lists(
                st.sampled_from(("claim", "claim", "fits")),
                min_size=1,
                max_size=4,
            )
        )
    ]
    return case


@st.composite
def _lives(draw: st.DrawFn) -> dict[str, Any]:
    """Instances come and go, and host and configuration change."""
    case = draw(nodes())
    host = case["host"]
    steps = []
    for do in draw(
        st.lists(st.sampled_from(_HAPPENINGS), min_size=2, max_size=8)
    ):
        step: dict[str, Any] = {"do": do}
        if do == "claim":
            step |= draw(asks(case["aliases"]))
        elif do == "sync":
            step["host"] = draw(changed(host))
        elif do == "respec":
            step["specs"] = draw(_some_specs(host))
        else:
            step["instance"] = choose(draw, INSTANCES)
        steps.append(step)
    case["steps"] = steps
    return case


@st.composite
def changed(draw: st.DrawFn, host: Host) -> Host:
    """Return the host without some of its functions."""
    gone = draw(st.sets(st.sampled_from(range(len(host))), max_size=4))
    left = [one for place, one in enumerate(host) if place not in gone]
    there = {one["address"] for one in left}
    # A VF does not outlive its PF.
    return [one for one in left if one.get("parent_addr") in {None, *there}]


def _compare_claims(nova: Nova, case: dict[str, Any]) -> Iterable[Met]:
    """Claims on a host that nobody used before."""
    both = Both(nova, case)
    for step in case["steps"]:
        both.step(step)
        if step["do"] == "claim" and both.answers[-1] is None:
            # Nova's pools may have lost a PF or VFs; see FAILED_CLAIM.
            break
    return judge(both, case)


def _compare_lives(nova: Nova, case: dict[str, Any]) -> Iterable[Met]:
    """Claims among frees, each time from a tracker that begins anew."""
    both = Both(nova, case)
    for step in case["steps"]:
        if step["do"] == "claim":
            both.restart()
        both.step(step)
    return judge(both, case)


def judge(both: Both, case: dict[str, Any]) -> Iterable[Met]:
    """Compare the answers to each step, the devices after it, and pools.

    :returns: the difference that was met, if any, and else what was asked:
        ``granted`` where a claim was, ``fits`` where something would fit,
        ``pools`` where those were compared
    """
    told = both.tell()
    assert told.error is None, (told, case)
    heard: set[Met] = set()
    for number, step in enumerate(both.steps):
        theirs = Answer.read(told.value["steps"][number])
        ours = both.answers[number]
        assert not theirs.uncaught, (theirs, step, case)
        theirs_state = state_of(told.value["states"][number])
        if step["do"] == "claim":
            if theirs.value == [] and ours is None:
                same([], theirs_state, case)
                return [deviations.CLAIM_OF_NOTHING]
            same(theirs.value, ours, (step, case))
            refusal = "PciDeviceRequestFailed" if ours is None else None
            same(theirs.error, refusal, (step, case))
            heard.update(["granted"] if ours else [])
        else:
            same(theirs.error, None, (step, case))
            if step["do"] == "fits":
                same(theirs.value, ours, (step, case))
                heard.update(["fits"] if ours else [])
        ours_state = both.states[number]
        if step["do"] == "restart":
            # A service syncs before it does anything else.
            continue
        if theirs_state != ours_state:
            wanted = both.wanted[number]
            return [_why(step, theirs_state, ours_state, wanted, case)]
    return heard | _same_pools(both, told.value["pools"], case)


def _same_pools(
    both: Both, told: list[dict[str, Any]], case: dict[str, Any]
) -> set[Met]:
    """Compare the pools that are left after the last step."""
    bereft: set[str] = set()
    failed = False
    for number, step in enumerate(both.steps):
        if step["do"] == "restart":
            bereft, failed = set(), False
        elif step["do"] == "free":
            bereft |= _families_of_removed(both, number)
        elif step["do"] == "claim" and both.answers[number] is None:
            failed = True
    if failed:
        # See FAILED_CLAIM.
        return set()
    theirs = _pools(told)
    ours = _pools(
        {**one.properties, "devices": list(one.devices)}
        for one in Pools.of(both.ours.devices).pools
    )
    missing = [one for one in ours if one not in theirs]
    same(theirs, [one for one in ours if one not in missing], case)
    if missing:
        assert {one["address"] for one in missing} <= bereft, (ours, case)
        return {deviations.FAMILY_IN_NO_POOL}
    return {"pools"}


def _families_of_removed(both: Both, number: int) -> set[str]:
    """The PFs of whom one or a VF was removed by a step."""
    before, after = both.states[max(number - 1, 0)], both.states[number]
    left = {one["address"] for one in after}
    return {
        one["parent_addr"] or one["address"]
        for one in before
        if one["address"] not in left
    }


def _pools(told: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Pools as one can compare them, apart from the order of equals."""
    found = [
        {
            **{key: repr(value) for key, value in pool.items()},
            "address": str(pool.get("address")),
            "devices": ",".join(sorted(map(str, pool["devices"]))),
        }
        for pool in told
        if pool["devices"]
    ]
    for one in found:
        one.pop("count", None)
    return sorted(found, key=lambda one: one["devices"])


def _why(
    step: dict[str, Any],
    theirs: list[dict[str, Any]],
    ours: list[dict[str, Any]],
    wanted: set[str],
    case: dict[str, Any],
) -> Deviation:
    """Return the row that says why the devices differ after a step.

    :raises AssertionError: none does
    """
    place = (step, case)
    missing = {m["address"] for m in ours} - {t["address"] for t in theirs}
    if missing:
        same(step["do"], "free", place)
        assert missing <= wanted, (missing, place)
        return deviations.CAME_BACK
    same(len(theirs), len(ours), place)
    families: dict[str, set[str]] = {}
    for mine in ours:
        head = mine["parent_addr"] or mine["address"]
        families.setdefault(head, set()).add(mine["status"])
    rows = set()
    for told, mine in zip(theirs, ours, strict=True):
        same({**told, "status": None}, {**mine, "status": None}, place)
        if told == mine:
            continue
        in_use = families[mine["parent_addr"] or mine["address"]] & _IN_USE
        if told["status"] == "available":
            assert mine["status"] in _BLOCKED, (mine, place)
            assert in_use, (mine, place)
            rows.add(deviations.NEWCOMER_BLOCKED)
        else:
            same((step["do"], mine["dev_type"]), ("free", "type-PF"), place)
            assert told["status"] in _BLOCKED, (told, place)
            same(mine["status"], "available", place)
            assert not in_use, (mine, place)
            rows.add(deviations.PF_STAYS_BLOCKED)
    (row,) = rows
    return row


QUESTIONS = (
    Question(
        "claims on a fresh host",
        10,
        _claims(),
        _compare_claims,
        {"granted": 0.1, "fits": 0.03, "pools": 0.1},
    ),
    Question(
        "claims, frees and syncs",
        8,
        _lives(),
        _compare_lives,
        {"granted": 0.1, "pools": 0.1},
    ),
)
