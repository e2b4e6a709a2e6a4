# SPDX-License-Identifier: Apache-2.0
"""A small node in which anything may happen, and what must hold all along.

What it knows of devices it reads by itself, from the host's files and from
what it was told: none of our own rules are asked.
"""

import contextlib
import dataclasses
import datetime as dt
import pathlib
import typing as ty
import uuid
from unittest import mock

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import executor
from nova_vfio_variant.node import (
    astray,
    chosen_placement,
    node,
    tracked_devices,
)
from nova_vfio_variant.placement import client as placement_client
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import device as tracked
from tests import independent_reader
from tests.functional import kept_files, kill_points
from tests.stress import model, operators, place, placement_model, seen

#: After so many commands somebody may report, or keep a copy.
SOME: ty.Final = 4
#: Claims that nobody has to finish, or to take back.
_STAYS: ty.Final = (
    tracked.ClaimState.PREPARED,
    tracked.ClaimState.ALLOCATED,
)


@dataclasses.dataclass
class Instance(model.Instance):
    """An instance, and what of its claims is remembered outside.

    :param assignments: of its claims, the last one last
    :param pid: of its guest's process
    """

    assignments: list[str] = dataclasses.field(default_factory=list)
    pid: int | None = None
    lives: bool = True


class World:
    """The node, and what was told of it.

    :param folder: holds all of it
    :param template: what :func:`.place.build` made, by kept_files
    :param placement: the model of Placement; None for the embedded one
    """

    def __init__(
        self,
        folder: pathlib.Path,
        template: kept_files.Contents,
        placement: placement_model.Model | None,
    ) -> None:
        self.folder, self.placement = folder, placement
        (folder / "host").mkdir()
        kept_files.make(str(folder / "host"), template)
        self.host = fake_host.FakeHost(folder / "host")
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(self.host.plugged_in())
        # A process of its own for each write is what costs most.
        self.stack.enter_context(
            mock.patch.object(
                executor.LocalExecutor, "perform", kill_points.perform
            )
        )
        # Who was claimed for just now may be gone just now.
        self.stack.enter_context(
            mock.patch.object(astray, "GRACE", dt.timedelta(0))
        )
        if placement is not None:
            cloud = ty.cast("ty.Any", placement)
            for name, answer in (
                (
                    "connect",
                    placement_client.PlacementClient(cloud, "the model"),
                ),
                ("is_absent", False),
            ):
                self.stack.enter_context(
                    mock.patch.object(
                        chosen_placement, name, return_value=answer
                    )
                )
        self.instances = [
            Instance(str(uuid.UUID(int=number, version=4)), "")
            for number in range(1, 5)
        ]
        self.said: list[str] = []
        #: Whether Placement may be behind the store.
        self.is_dirty = False
        #: Whether nothing was done since the last look, and the last report.
        self.is_seen = self.is_settled = False
        #: How many commands there were, and up to which was reported.
        self.commands = self.reported = 0
        self._functions: list[dict[str, ty.Any]] | None = None
        self.operators = operators.Operators(self)
        self.configure("all")

    @property
    def node(self) -> node.Node:
        """What managers of guests have."""
        return node.Node(
            [str(self.folder / "nova.conf")],
            [],
            str(self.folder / "host"),
            str(self.folder / "state"),
        )

    def close(self) -> None:
        """End it."""
        self.stack.close()

    def changed(self) -> None:
        """Something was done, or may have been."""
        self.is_seen = self.is_settled = False
        self._functions = None

    def soil(self) -> None:
        """Placement may be behind the store from now on."""
        if not self.is_dirty:
            self.is_dirty, self.reported = True, self.commands

    @property
    def is_report_due(self) -> bool:
        """Whether somebody died some commands ago, and none reported since."""
        return self.is_dirty and self.commands > self.reported + SOME

    def configure(self, name: str) -> None:
        """Let another set of devices be declared."""
        self.changed()
        self.configured = name
        # What was for one time may be no more.
        self.operators.spent.clear()
        (self.folder / "nova.conf").write_text(place.configuration(name))

    # What is done

    def tried(
        self, command: ty.Callable[[], object], dies_at: int | None = None
    ) -> str:
        """Run one command; how it ended.

        :param dies_at: the number of the durable write at which it is killed
        """
        self.changed()
        self.commands += 1
        try:
            if dies_at is None:
                command()
            elif kill_points.killed(dies_at, command):
                self.soil()
                return "killed"
        except exception.VfioVariantError as error:
            said = [f"{type(error).__name__}: {error}"]
            if isinstance(error, exception.ConfigError):
                said += [one.message for one in error.findings]
            return "; ".join(said)
        finally:
            self.changed()
        return "done"

    def claim(
        self, one: Instance, wanted: str, dies_at: int | None = None
    ) -> None:
        """Claim something new, or something else, or the same again."""
        free = self.free_nics()
        expected = self._expected(one, wanted, dies_at)
        given: list[tracked.Claim] = []

        def command() -> None:
            given.extend(
                self.node.claims.claim(one.uuid, place.request(wanted))
            )

        before = one.known
        ended = self.tried(command, dies_at)
        if ended == "done":
            self._is_claimed(one, wanted, given)
            if expected is not None and one.addresses != expected:
                self.said.append(
                    f"{wanted} is {one.addresses}, and not {expected}"
                )
        elif ended == "killed":
            one.known = model.Known.UNKNOWN
        elif before is model.Known.HAS_NOT:
            kind, _, count = wanted.partition(":")
            if kind == "nic" and int(count) <= len(free):
                self.said.append(f"{wanted} of {free} is refused: {ended}")

    def _expected(
        self, one: Instance, wanted: str, dies_at: int | None
    ) -> tuple[str, ...] | None:
        """What whoever looks at all of the host would give; None for any."""
        if (
            not wanted.startswith("nic")
            or one.known is not model.Known.HAS_NOT
            or dies_at is not None
        ):
            return None
        try:
            told = self.node.explain_claim(one.uuid, place.request(wanted))
        except exception.VfioVariantError:
            return None
        if told.error is not None:
            return None
        return tuple(
            sorted(
                candidate.name
                for explained in told.requests
                for candidate in explained.candidates
                if candidate.is_chosen
            )
        )

    def _is_claimed(
        self, one: Instance, wanted: str, claims: ty.Sequence[tracked.Claim]
    ) -> None:
        devices = tuple(
            sorted(
                str(name)
                for claim in claims
                for name in (*claim.addresses, *claim.mdevs)
            )
        )
        if one.known is model.Known.HAS:
            if one.alias not in {"?", wanted} or one.addresses != devices:
                self.said.append(
                    f"{one.uuid} had {one.alias} and now has {wanted}"
                )
            return
        if one.known is model.Known.HAS_NOT:
            self._expect_given(wanted, devices)
        one.known, one.alias, one.addresses = (
            model.Known.HAS,
            wanted,
            devices,
        )
        one.assignments.append(claims[0].assignment)

    def _expect_given(self, wanted: str, devices: ty.Sequence[str]) -> None:
        """What was given now has to be what was asked for, and free."""
        kind, _, count = wanted.partition(":")
        if kind in {"nic", "pf"} and len(devices) != int(count):
            self.said.append(f"{wanted} got {devices}")
        now_at = {one["address"]: one for one in self.functions()}
        for name in devices:
            if not name.startswith("0000:"):
                continue
            now = now_at.get(name, {})
            ids = (now.get("vendor_id"), now.get("product_id"))
            if kind == "nic" and ids != place.VF_IDS:
                self.said.append(f"{name} is given, and is {now}")
            if name in self.open_in():
                self.said.append(f"{name} is given, and is open")
            against = self.operators.against(name)
            if against is not None:
                self.said.append(f"{name} is given, and {against}")
            named = self.operators.names.get(wanted.removeprefix("@"))
            if wanted.startswith("@") and named and named.at != name:
                self.said.append(f"{wanted} is at {named.at}, not {name}")
        if (
            place.SPARE in devices
            and place.ONCE in place.SPECS[self.configured]
        ):
            self.operators.spent.add(place.SPARE)

    def move(
        self,
        one: Instance,
        name: str,
        assignment: str | None = None,
        dies_at: int | None = None,
    ) -> str:
        """Prepare, start or release, by right, by a late one, or by any.

        :returns: how it ended
        """
        moved = getattr(self.node.claims, name)
        before = one.known
        is_mine = assignment in (None, *one.assignments[-1:])

        def command() -> None:
            moved(one.uuid, assignment=assignment)

        ended = self.tried(command, dies_at)
        if ended == "killed":
            one.known = model.Known.UNKNOWN
        elif name == "release" and ended == "done" and is_mine:
            if before is model.Known.HAS and self.is_open(one):
                self.said.append(f"{one.uuid} is open, and given back")
            one.known, one.addresses = model.Known.HAS_NOT, ()
        elif not is_mine and ended == "done" and name != "release":
            self.said.append(f"{name} of a late assignment is done")
        return ended

    def reconcile(self, dies_at: int | None = None) -> None:
        """Let it free what nobody has any more."""
        living = [one.uuid for one in self.instances if one.lives]
        ended = self.tried(lambda: self.node.reconciling.run(living), dies_at)
        for one in self.instances:
            if not one.lives or ended == "killed":
                one.known = model.Known.UNKNOWN

    def start_guest(self, one: Instance) -> None:
        """Let a guest open what its instance has, if that can be opened."""
        if one.pid is not None or not one.addresses:
            return
        self.changed()
        with contextlib.suppress(OSError):
            one.pid = self.host.hold(one.addresses[0])

    def end_guest(self, one: Instance) -> None:
        """End its guest."""
        if one.pid is not None:
            self.changed()
            self.host.let_go(one.pid)
            one.pid = None

    def divide(self, count: int) -> None:
        """Take a card's VFs away, or make them, unless one is open."""
        self.changed()
        if not any("0000:21" in name for name in self.open_in()):
            with contextlib.suppress(OSError):
                self.host.writer().set_numvfs(place.NIC, count)

    # What is seen

    @property
    def store_is_there(self) -> bool:
        """Whether anything was tracked yet."""
        return (self.folder / "state" / "nova-vfio.sqlite").exists()

    @property
    def has_claims(self) -> bool:
        """Whether anybody has anything, as far as is known."""
        return any(one.addresses for one in self.instances)

    @property
    def has_ever_claimed(self) -> bool:
        """Whether anybody had."""
        return any(one.assignments for one in self.instances)

    @property
    def has_claimed_twice(self) -> bool:
        """Whether anybody had another claim before."""
        return any(one.assignments[1:] for one in self.instances)

    def functions(self) -> list[dict[str, ty.Any]]:
        """The functions, as somebody else reads them."""
        if self._functions is None:
            self._functions = independent_reader.functions(
                str(self.folder / "host")
            )
        return self._functions

    def open_in(self) -> set[str]:
        """The devices that guests have open."""
        return {
            one.addresses[0]
            for one in self.instances
            if one.pid is not None and one.addresses
        }

    def is_open(self, one: Instance) -> bool:
        """Whether a guest has what an instance has."""
        return one.pid is not None

    def free_nics(self) -> list[str]:
        """The VFs that can be given, by all that is known outside."""
        sure = all(
            one.known is not model.Known.UNKNOWN for one in self.instances
        )
        if (
            not sure
            or self.operators.unsure
            or "8086:10ca" not in place.SPECS[self.configured]
        ):
            return []
        taken = {name for one in self.instances for name in one.addresses}
        if place.NIC in taken:
            return []
        return [
            one["address"]
            for one in self.functions()
            if (one["vendor_id"], one["product_id"]) == place.VF_IDS
            and one["address"] in place.NIC_VFS
            and one["physfn"] == place.NIC
            and one["address"] not in {*taken, *self.open_in()}
            and self.operators.against(one["address"]) is None
        ]

    def learn(
        self, claims: ty.Sequence[tracked.Claim], *, ended: bool
    ) -> None:
        """Take over what became of those that nobody knew of.

        :param ended: also of those that somebody has to finish, or to take
            back; a report did
        """
        self.operators.learn()
        for one in self.instances:
            mine = [
                claim for claim in claims if claim.instance_uuid == one.uuid
            ]
            is_known = ended or all(claim.state in _STAYS for claim in mine)
            if one.known is model.Known.UNKNOWN and is_known:
                one.known = model.Known.HAS if mine else model.Known.HAS_NOT
                one.alias = "?" if mine else ""
                one.addresses = tuple(
                    sorted(
                        str(name)
                        for claim in mine
                        for name in (*claim.addresses, *claim.mdevs)
                    )
                )
                one.assignments += {claim.assignment for claim in mine}

    def wrong(self) -> list[str]:
        """What must not be, at any time."""
        found, self.said = self.said, []
        if self.is_seen or not self.store_is_there:
            return found
        self.is_seen = True
        now = self.node.context
        claims = tracked_devices.TrackedDevices(now).claims()
        owners = [
            (claim.instance_uuid, str(name))
            for claim in claims
            for name in (*claim.addresses, *claim.mdevs)
        ]
        found += model.unlike(owners, self.instances)
        found += operators.overlapping(owners, place.NIC, place.NIC_VFS)
        found += self.operators.wrong(now)
        if self.placement is not None and not self.is_dirty:
            found += seen.unlike_placement(self, claims)
        mdev = self.host.root / "sys/bus/mdev/devices" / place.FOREIGN_MDEV
        vgpu = (
            self.host.root
            / f"sys/bus/pci/devices/{place.FOREIGN_VGPU}/nvidia/current_vgpu_type"
        )
        if not mdev.exists() or vgpu.read_text().strip() != "557":
            found.append("something of others is touched")
        found += seen.too_ready(self, now)
        self.learn(claims, ended=False)
        return found
