# SPDX-License-Identifier: Apache-2.0
"""Those who cordon, name and scrub devices, and keep copies of the store.

What they did they remember by themselves: which card stood there then, as the
host's files have it, and what was said of it.
"""

import collections
import dataclasses
import typing as ty

from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.node import (
    backup,
    context,
    cordoning,
    naming,
    scrubbing,
    single,
)
from nova_vfio_variant.pci import address as pci_address
from tests.stress import model, seen

if ty.TYPE_CHECKING:
    from tests.stress import world

#: What tells a card from another: who made it, what it is, and whose VF.
Card = tuple[str, str, str | None]
#: Stands for all that may be remembered.
_ALL: ty.Final = "*"
Address = pci_address.PciAddress


@dataclasses.dataclass(frozen=True)
class Said:
    """Something that was said of a card.

    :param at: where it stood
    :param card: None where none did
    """

    at: str
    card: Card | None


class Operators:
    """They, and all that they remember.

    :param on: where they work
    """

    def __init__(self, on: "world.World") -> None:
        self._world = on
        self.cordons: dict[str, Said] = {}
        self.names: dict[str, Said] = {}
        self.hung: set[str] = set()
        self.spent: set[str] = set()
        #: Up to which command there is a copy of the store.
        self.copied = 0
        #: Of which cordons and names nobody knows what became of them.
        self.unsure: set[str] = set()

    def against(self, name: str) -> str | None:
        """Why nobody new may have a function, as far as they know."""
        cards = self._cards()
        card = cards.get(name)
        for at in (name, card and card[2]):
            said = self.cordons.get(at or "")
            if (
                said is not None
                and not self._is_unsure(said.at)
                and cards.get(said.at, said.card) == said.card
            ):
                return f"{said.at} is cordoned"
        if name in self.hung:
            return "it hangs"
        return "it had its time" if name in self.spent else None

    def _is_unsure(self, key: str) -> bool:
        return not self.unsure.isdisjoint((key, _ALL))

    def cordon(self, at: str, dies_at: int | None = None) -> None:
        """Let nobody new have a function, or all of a card."""
        card = self._cards().get(at)
        told: list[ty.Any] = []

        def command() -> None:
            told.append(self._cordoning.cordon(Address.parse(at), "a reason"))

        ended = self._world.tried(command, dies_at)
        if ended == "killed":
            self.unsure.add(at)
        elif ended == "done":
            self.unsure.discard(at)
            self.cordons[at] = Said(at, card)
            self._world.said += self._offered(told, at)

    def uncordon(self, at: str, dies_at: int | None = None) -> None:
        """Lift that."""
        told: list[bool] = []

        def command() -> None:
            told.append(self._cordoning.uncordon(Address.parse(at))[0])

        ended = self._world.tried(command, dies_at)
        if ended == "killed":
            self.unsure.add(at)
        elif ended == "done":
            if not self._is_unsure(at) and told != [at in self.cordons]:
                self._world.said.append(f"a cordon of {at} is lost")
            self.unsure.discard(at)
            self.cordons.pop(at, None)

    def _offered(self, told: ty.Sequence[object], at: str) -> ty.Iterator[str]:
        """What Placement offers of a card that somebody just cordoned."""
        if told == [None] and not self._world.is_dirty:
            yield from (
                f"{at} is cordoned, and {line}"
                for line in seen.offered(self._world)
            )

    def register(self, at: str, name: str, dies_at: int | None = None) -> None:
        """Give a device a name."""
        card = self._cards().get(at)
        ended = self._world.tried(
            lambda: self._naming.register(Address.parse(at), name), dies_at
        )
        if ended == "killed":
            self.unsure.add(name)
        elif ended == "done":
            if name in self.names and not self._is_unsure(name):
                self._world.said.append(f"{name} is given twice")
            self.unsure.discard(name)
            self.names[name] = Said(at, card)

    def unregister(self, name: str, dies_at: int | None = None) -> None:
        """Take it away."""
        ended = self._world.tried(
            lambda: self._naming.unregister(name), dies_at
        )
        if ended == "killed":
            self.unsure.add(name)
        elif ended == "done":
            self.unsure.discard(name)
            self.names.pop(name, None)

    def hang(self, at: str) -> None:
        """Something hung on a function."""
        if self._world.store_is_there:
            self._quarantine(at, "it hung")
            self.hung.add(at)

    def heal(self, at: str) -> None:
        """It hangs no more."""
        if at in self.hung:
            self._quarantine(at, None)
            self.hung.discard(at)

    def _quarantine(self, at: str, reason: str | None) -> None:
        self._world.changed()
        now = self._world.node.context
        boot = function_state.boot_id(now.tree)
        assert boot is not None
        with now.open_store(read_only=False) as store:
            store.quarantine(Address.parse(at), reason, boot)

    def scrub(self, at: str, dies_at: int | None = None) -> None:
        """Let a device for one time be given again."""
        results: list[ty.Any] = []

        def command() -> None:
            now = self._world.node.context
            devices = single.SingleDevices(now)
            results.append(
                scrubbing.Scrubbing(now, devices).scrub(Address.parse(at))
            )

        ended = self._world.tried(command, dies_at)
        if ended == "killed":
            # It may have been given back before.
            self.spent.discard(at)
        if ended == "done":
            (result,) = results
            if not (result.refusals or result.failed or result.ended_by):
                self.spent.discard(at)

    def write_backup(self) -> None:
        """Keep a copy of the store."""
        self._world.tried(
            lambda: backup.Backups(self._world.node.context).write(
                self._world.folder / "copy"
            )
        )
        self.copied = self._world.commands

    @property
    def has_copy(self) -> bool:
        """Whether there is one."""
        return (self._world.folder / "copy").exists()

    def restore(self, dies_at: int | None = None) -> None:
        """Let the store be what it was."""
        opened = self._world.open_in() & {
            str(name)
            for claim in self._world.node.devices.claims()
            for name in (*claim.addresses, *claim.mdevs)
        }
        ended = self._world.tried(
            lambda: backup.Backups(self._world.node.context).restore(
                self._world.folder / "copy"
            ),
            dies_at,
        )
        if ended == "done" and opened:
            self._world.said.append(f"restored, and {opened} are open")
        if ended in {"done", "killed"}:
            self._world.soil()
            self.unsure.add(_ALL)
            for one in self._world.instances:
                one.known = model.Known.UNKNOWN

    # What is seen

    @property
    def _cordoning(self) -> cordoning.Cordoning:
        return self._world.node.cordoning

    @property
    def _naming(self) -> naming.Naming:
        return naming.Naming(self._world.node.context)

    def _cards(self) -> dict[str, Card]:
        return {
            one["address"]: (
                one["vendor_id"],
                one["product_id"],
                one["physfn"],
            )
            for one in self._world.functions()
        }

    def learn(self) -> None:
        """Take over what became of what nobody knew of."""
        with self._world.node.context.open_store(read_only=True) as store:
            cordons, names = store.cordons.all(), store.names.all()
        kept: tuple[tuple[dict[str, Said], dict[str, ty.Any]], ...] = (
            (self.cordons, {str(one.address): one for one in cordons}),
            (self.names, {one.name: one for one in names}),
        )
        for known, found in kept:
            for key in {*known, *found}:
                if not self._is_unsure(key):
                    continue
                known.pop(key, None)
                if key in found:
                    known[key] = _of_store(found[key])
        self.unsure.clear()

    def wrong(self, now: context.Context) -> ty.Iterator[str]:
        """What must not be: cordons and names that are lost, or move."""
        with now.open_store(read_only=True) as store:
            cordons = {str(one.address) for one in store.cordons.all()}
        for at in {*self.cordons} - cordons:
            if not self._is_unsure(at):
                yield f"the cordon of {at} is lost"
        cards = self._cards()
        standing = {
            name.name: str(at)
            for at, name in naming.Naming(now).standing().items()
        }
        for name, said in self.names.items():
            if self._is_unsure(name):
                continue
            is_there = cards.get(said.at, said.card) == said.card
            expected = said.at if is_there else None
            if standing.get(name) != expected:
                yield f"{name} of {said} is at {standing.get(name)} now"


def _of_store(row: ty.Any) -> Said:
    """What is on record, where nobody remembers it."""
    of = row.identity
    return Said(str(row.address), (of.vendor_id, of.product_id, of.physfn))


def overlapping(
    owners: ty.Iterable[tuple[str, str]],
    pf: str,
    vfs: ty.Collection[str],
) -> ty.Iterator[str]:
    """Where a card is given whole, and in parts.

    :param owners: instance and device
    """
    has = collections.defaultdict(set)
    for uuid, name in owners:
        has[name].add(uuid)
    parts = {name for name in vfs if has.get(name)}
    if has.get(pf) and parts:
        yield f"{pf} is given whole, and {sorted(parts)} of it"
