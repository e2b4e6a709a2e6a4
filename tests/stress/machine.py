# SPDX-License-Identifier: Apache-2.0
"""Claims in any order of events, and what must hold after each of them.

A rule is a method: what it draws is what may vary. Whatever is told by
:meth:`.world.World.wrong` after it fails the run, and so does what is told by
``settling``, when nothing is under way.
"""

import contextlib
import functools
import pathlib
import shutil
import tempfile
import typing as ty

from hypothesis import stateful
from hypothesis import strategies as st

from tests.functional import kept_files
from tests.stress import place, placement_model, settling, world

_WHO: ty.Final = st.integers(0, 3)
#: What is done most.
_MOVES: ty.Final = ("prepare", "started", *["release"] * 3)
_WHERE: ty.Final = st.sampled_from(
    (place.NIC, *place.NIC_VFS[:2], place.SPARE)
)
#: Mostly it isn't killed.
_DIES: ty.Final = st.one_of(*[st.none()] * 5, st.integers(0, 12))
#: Where a recording of a run stands: no disk is waited for.
_FOLDER: ty.Final = "/dev/shm" if pathlib.Path("/dev/shm").is_dir() else None


@functools.cache
def _template() -> kept_files.Contents:
    with tempfile.TemporaryDirectory(
        prefix="claims-machine-", dir=_FOLDER
    ) as folder:
        place.build(pathlib.Path(folder, "host"))
        return kept_files.contents(f"{folder}/host")


class ClaimsMachine(stateful.RuleBasedStateMachine):
    """A node, beside the model of Placement."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.folder = pathlib.Path(
            tempfile.mkdtemp(prefix="claims-machine-", dir=_FOLDER)
        )
        self.stack.callback(shutil.rmtree, self.folder)
        self.world = world.World(self.folder, _template(), self.placement())
        self.stack.callback(self.world.close)

    def placement(self) -> placement_model.Model | None:
        """The model of Placement; None for the real one."""
        return placement_model.Model()

    def teardown(self) -> None:
        """Settle, and leave nothing."""
        with self.stack:
            found = settling.end(self.world)
            assert not found, found

    # The life of claims

    @stateful.rule(
        who=_WHO, wanted=st.sampled_from(place.WANTED), dies_at=_DIES
    )
    def claim(self, who: int, wanted: str, dies_at: int | None) -> None:
        """Claim something: new, other than before, or the same again."""
        self.world.claim(self.world.instances[who], wanted, dies_at)

    @stateful.rule(who=_WHO, count=st.integers(1, 2))
    def claim_nics(self, who: int, count: int) -> None:
        """Claim what most claim, and nobody is killed."""
        free = [one for one in self.world.instances if not one.addresses]
        if free:
            self.world.claim(free[who % len(free)], f"nic:{count}")

    @stateful.precondition(lambda self: self.world.has_claims)
    @stateful.rule(who=_WHO)
    def give_back(self, who: int) -> None:
        """Release what one has, and nobody is killed."""
        self.world.move(self._owner(who), "release")

    @stateful.precondition(lambda self: self.world.has_claimed_twice)
    @stateful.rule(who=_WHO)
    def give_back_late(self, who: int) -> None:
        """Release what one had before, which is somebody's claim no more."""
        again = [one for one in self.world.instances if one.assignments[1:]]
        one = again[who % len(again)]
        self.world.move(one, "release", one.assignments[0])

    def _owner(self, who: int) -> world.Instance:
        """One of those that have anything."""
        owners = [one for one in self.world.instances if one.addresses]
        return owners[who % len(owners)]

    @stateful.precondition(lambda self: self.world.has_claims)
    @stateful.rule(who=_WHO, dies_at=_DIES)
    def claim_again(self, who: int, dies_at: int | None) -> None:
        """Claim what one has."""
        one = self._owner(who)
        if one.alias != "?":
            self.world.claim(one, one.alias, dies_at)

    @stateful.precondition(lambda self: self.world.has_ever_claimed)
    @stateful.rule(
        who=_WHO,
        name=st.sampled_from(_MOVES),
        which=st.sampled_from([None, -1, 0]),
        dies_at=_DIES,
    )
    def move(
        self, who: int, name: str, which: int | None, dies_at: int | None
    ) -> None:
        """Move a claim: of any assignment, the last one, or the first."""
        one = self.world.instances[who]
        given = None if which is None else [*one.assignments, "none"][which]
        if which == -1 and one.assignments:
            given = one.assignments[-1]
        self.world.move(one, name, given, dies_at)

    # Guests

    @stateful.precondition(lambda self: self.world.has_claims)
    @stateful.rule(who=_WHO)
    def guest_begins(self, who: int) -> None:
        """A guest opens what its instance has."""
        self.world.start_guest(self._owner(who))

    @stateful.precondition(lambda self: self.world.open_in())
    @stateful.rule(who=_WHO)
    def guest_ends(self, who: int) -> None:
        """It closes it."""
        self.world.end_guest(self.world.instances[who])

    @stateful.rule(who=_WHO, lives=st.booleans())
    def instance_lives(self, who: int, lives: bool) -> None:
        """Whoever knows says that an instance lives, or no more."""
        self.world.instances[who].lives = lives

    # Operators

    @stateful.rule(at=_WHERE, lifts=st.booleans(), dies_at=_DIES)
    def cordon(self, at: str, lifts: bool, dies_at: int | None) -> None:
        """A device, or a card, is cordoned, or that is lifted."""
        by = self.world.operators
        (by.uncordon if lifts else by.cordon)(at, dies_at)

    @stateful.rule(at=_WHERE, name=st.sampled_from(place.NAMES), dies_at=_DIES)
    def register(self, at: str, name: str, dies_at: int | None) -> None:
        """A device gets a name."""
        self.world.operators.register(at, name, dies_at)

    @stateful.precondition(lambda self: self.world.operators.names)
    @stateful.rule(name=st.sampled_from(place.NAMES), dies_at=_DIES)
    def unregister(self, name: str, dies_at: int | None) -> None:
        """It loses it."""
        self.world.operators.unregister(name, dies_at)

    @stateful.rule(at=st.sampled_from(place.NIC_VFS), heals=st.booleans())
    def hang(self, at: str, heals: bool) -> None:
        """Something hangs on a function, or no more."""
        by = self.world.operators
        (by.heal if heals else by.hang)(at)

    @stateful.precondition(lambda self: self.world.operators.spent)
    @stateful.rule(dies_at=_DIES)
    def scrub(self, dies_at: int | None) -> None:
        """A device for one time is to be given again."""
        self.world.operators.scrub(place.SPARE, dies_at)

    @stateful.precondition(
        lambda self: (
            self.world.store_is_there
            and self.world.commands > self.world.operators.copied + world.SOME
        )
    )
    @stateful.rule()
    def write_backup(self) -> None:
        """A copy of the store is made."""
        self.world.operators.write_backup()

    @stateful.precondition(lambda self: self.world.operators.has_copy)
    @stateful.rule(dies_at=_DIES)
    def restore(self, dies_at: int | None) -> None:
        """The store is to be what the copy is."""
        self.world.operators.restore(dies_at)

    # The host, and what is declared of it

    @stateful.rule(count=st.sampled_from([0, 4]))
    def divide(self, count: int) -> None:
        """Somebody takes a card's VFs away, or makes them."""
        self.world.divide(count)

    @stateful.rule(at=st.sampled_from((*place.NIC_VFS, place.SPARE)))
    def unplug(self, at: str) -> None:
        """A function is gone."""
        self.world.changed()
        with contextlib.suppress(OSError):
            self.world.host.vanish(at)

    @stateful.rule(
        at=st.sampled_from(place.NIC_VFS),
        ids=st.sampled_from(["8086:1533", "10de:1234"]),
    )
    def exchange(self, at: str, ids: str) -> None:
        """Another card is where a function was."""
        self.world.changed()
        with contextlib.suppress(OSError):
            self.world.host.exchange(at, ids)

    @stateful.rule(ids=st.sampled_from(["8086:10ca", "8086:1533"]))
    def plug_in(self, ids: str) -> None:
        """A card comes to an empty place."""
        self.world.changed()
        with contextlib.suppress(OSError):
            self.world.host.add(place.SPARE, ids, driver="vfio-pci")

    @stateful.rule(name=st.sampled_from(sorted(place.SPECS)))
    def declare(self, name: str) -> None:
        """Others are declared."""
        self.world.configure(name)

    # Whoever comes by

    @stateful.rule(dies_at=_DIES)
    def reconcile(self, dies_at: int | None) -> None:
        """What nobody has any more is freed."""
        self.world.reconcile(dies_at)

    @stateful.precondition(
        lambda self: self.world.commands > self.world.reported + world.SOME
    )
    @stateful.rule()
    def settle(self) -> None:
        """Somebody reports, when nothing is under way."""
        self.expect_settled()

    def expect_settled(self) -> None:
        """Nothing may be wrong then."""
        found = settling.settle(self.world)
        assert not found, found

    @stateful.invariant()
    def holds(self) -> None:
        """Nothing is wrong after each event."""
        found = self.world.wrong()
        assert not found, found
        if self.world.is_report_due:
            # Else nobody would see what is lost after the first kill.
            self.expect_settled()
