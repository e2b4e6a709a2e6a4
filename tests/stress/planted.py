# SPDX-License-Identifier: Apache-2.0
"""The machine of claims with a bug planted in our code.

``python -m tests.stress.planted another-request`` must fail: a machine that
doesn't notice the bug is worth nothing. It exists in this process alone.

Random runs come upon some of them soon. Of the others it is only seen that the
machine would notice: its rules are followed in an order that shows the bug.
"""

import importlib
import sys
import typing as ty

from tests.conformance import planted

Bug = planted.Bug


def _bug(module: str, right: str, wrong: str) -> Bug:
    # Which look notices it first hangs on the order of events: only that it
    # is a look, and not a command that falls over, is asked.
    return Bug(
        f"nova_vfio_variant.{module}", right, wrong, "AssertionError: ["
    )


BUGS: ty.Final = {
    "late-release": _bug(
        "node.claims",
        "record is None or record.assignment != assignment",
        "record is None",
    ),
    "allocation-stays": _bug(
        "node.giving_back",
        "    published.release(instance_uuid)\n",
        "",
    ),
    "cordon-ignored": _bug(
        "node.records",
        "cordoned=cordons.standing(of_cordons, scan.get)",
        "cordoned={}",
    ),
    "cordon-untold": _bug(
        "node.cordoning",
        "published.publish(devices, also=self._parents(given, function))",
        "pass",
    ),
    "quarantine-ignored": _bug(
        "node.records",
        """quarantined=store.quarantined(
            scan.tree.read_text(function_state.BOOT_ID)
        )""",
        "quarantined={}",
    ),
    "name-of-a-place": _bug(
        "tracker.names",
        "return self.identity.may_be(seen)",
        "return True",
    ),
    "restored-while-open": _bug(
        "node.backup",
        "            self._expect_closed(before)\n",
        "",
    ),
    "spent-given-again": _bug(
        "node.giving_back",
        "records.remember_spent(store, records.spent(store) | once)",
        "pass",
    ),
    "open-given-back": _bug(
        "node.giving_back",
        "    if not force:\n        _expect_let_go(",
        "    if False:\n        _expect_let_go(",
    ),
    "another-request": _bug(
        "node.claims",
        "    if not is_same:\n",
        "    if False:\n",
    ),
    "living-freed": _bug(
        "node.liveness",
        'return Answer(State.YES, "it is on the list of those that live")',
        "return Answer(State.NO)",
    ),
}

#: A rule of the machine, and what it is given.
Step = tuple[str, dict[str, ty.Any]]
_CLAIM: ty.Final[Step] = ("claim_nics", {"who": 0, "count": 1})
_BACK: ty.Final[Step] = ("give_back", {"who": 0})
_OPEN: ty.Final[Step] = ("guest_begins", {"who": 0})
_PASS_BY: ty.Final[Step] = ("reconcile", {"dies_at": None})
_VF: ty.Final = "0000:21:10.0"
_CORDON: ty.Final[Step] = (
    "cordon",
    {"at": _VF, "lifts": False, "dies_at": None},
)
#: What shows bugs of which it isn't asked that random runs come upon them.
ORDERS: ty.Final[dict[str, tuple[Step, ...]]] = {
    "late-release": (_CLAIM, _BACK, _CLAIM, ("give_back_late", {"who": 0})),
    "open-given-back": (_CLAIM, _OPEN, _BACK),
    "restored-while-open": (
        *(_CLAIM, _OPEN, *[_PASS_BY] * 5),
        *(("write_backup", {}), ("restore", {"dies_at": None})),
    ),
    "living-freed": (_CLAIM, _PASS_BY),
    "another-request": (
        _CLAIM,
        ("claim", {"who": 0, "wanted": "nic:2", "dies_at": None}),
    ),
    "cordon-ignored": (_CLAIM, _CORDON),
    "cordon-untold": (_CLAIM, _CORDON),
    "name-of-a-place": (
        _CLAIM,
        ("register", {"at": _VF, "name": "left", "dies_at": None}),
        ("exchange", {"at": _VF, "ids": "8086:1533"}),
    ),
}
#: Those that random runs have to find.
FOUND: ty.Final = tuple(sorted(BUGS.keys() - ORDERS.keys()))
#: Those of them that are found soonest.
QUICK: ty.Final = ("allocation-stays", "spent-given-again")
#: Random runs, their steps, and the first seed.
_RUNS, _STEPS, _SEED = 400, 30, 1


def runs(names: ty.Iterable[str]) -> ty.Iterator[tuple[str, Bug, planted.Ran]]:
    """What the machine says of some bugs."""
    for name in names:
        yield name, BUGS[name], planted.ran("tests.stress.planted", name)


def main(name: str) -> int:
    """Plant a bug and run the machine; 1 if it is noticed."""
    planted.plant(BUGS[name])
    # The machine, with all that it imports, comes after the bug.
    soak: ty.Any = importlib.import_module("tests.stress.soak")
    found = (
        soak.follow(ORDERS[name])
        if name in ORDERS
        else soak.soak(_RUNS, _STEPS, _SEED, is_first=True)
    )
    print(found or f"{name} is not noticed", file=sys.stderr)
    return int(found is not None)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
