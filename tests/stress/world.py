# SPDX-License-Identifier: Apache-2.0
"""A small node in which anything may happen, and what must hold all along.

What it knows of devices it reads by itself, from the host's files and from
what it was told: none of our own rules are asked.
"""

import contextlib
import dataclasses
import pathlib
import typing as ty
import uuid
from unittest import mock

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.node import chosen_placement, node
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.placement import client as placement_client
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import device as tracked
from tests import independent_reader
from tests.functional import kept_files, kill_points
from tests.stress import model, placement_model

NIC, GPU, CARD = "0000:21:00.0", "0000:41:00.0", "0000:06:00.0"
NIC_VFS: ty.Final = tuple(f"0000:21:10.{number}" for number in (0, 2, 4, 6))
#: A place that is empty at first.
SPARE: ty.Final = "0000:51:00.0"
#: What others have made, and nobody else may touch.
FOREIGN_MDEV: ty.Final = "99999999-9999-4999-8999-999999999999"
FOREIGN_VGPU: ty.Final = "0000:41:00.7"
#: What may be asked for: aliases, and types.
WANTED: ty.Final = ("nic:1", "nic:2", "=557", "=558", "=nvidia-36")
_VF_IDS: ty.Final = ("8086", "10ca")
#: What may be configured.
SPECS: ty.Final = {
    "all": ("8086:10ca", "10de:25b7", "10de:1bb3"),
    "without NICs": ("10de:25b7", "10de:1bb3"),
    "without cards": ("8086:10ca",),
}


def build(root: pathlib.Path) -> None:
    """Make the host: a NIC, a card of vGPUs and one of mdevs."""
    host = fake_host.FakeHost(root)
    host.add_driver("igb", ["8086:10c9"], makes_vfs=True)
    host.add_driver("igbvf", ["8086:10ca"])
    host.add_driver("nvidia", ["10de:25b6", "10de:25b7"], makes_vfs=True)
    host.add_driver("nvidia-old", ["10de:1bb3"])
    host.add_driver("vfio-pci", vfio=True)
    host.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
    host.add(NIC, "8086:10c9", vfs=4, vf_device="10ca")
    host.writer().set_numvfs(NIC, 4)
    for name in NIC_VFS[:2]:
        host.writer().set_override(name, "vfio-pci")
        host.writer().unbind(name)
        host.writer().probe(name)
    graphics: ty.Final = 0x030200
    host.add(
        GPU,
        "10de:25b6",
        class_code=graphics,
        vfs=4,
        vf_device="25b7",
        vf_offset=4,
        vf_stride=1,
    )
    host.writer().set_numvfs(GPU, 4)
    types = {"557": ("NVIDIA A16-4Q", 4096), "558": ("NVIDIA A16-8Q", 8192)}
    host.add_vendor_vgpus(GPU, types, 16384, heterogeneous=True)
    host.writer().set_vgpu_type(FOREIGN_VGPU, "557")
    host.add(CARD, "10de:1bb3", class_code=graphics)
    costs = {"nvidia-35": 1, "nvidia-36": 2}
    host.add_mdev_parent("card", costs, 4, function=CARD)
    host.write(
        f"sys/bus/pci/devices/{CARD}/mdev_supported_types/nvidia-35/create",
        FOREIGN_MDEV.encode(),
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
    :param template: what :func:`build` made, by kept_files
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

    def configure(self, name: str) -> None:
        """Let another set of devices be declared."""
        self.configured = name
        lines = ["[pci]"]
        for ids in SPECS[name]:
            vendor, product = ids.split(":")
            more = ', "managed": "no"' if product == "25b7" else ""
            lines.append(
                f'device_spec = {{"vendor_id": "{vendor}",'
                f' "product_id": "{product}"{more}}}'
            )
        lines += [
            'alias = {"name": "nic", "vendor_id": "8086", "product_id": "10ca"}',
            *("[vfio]", "placement = embedded", "provider_root = host"),
        ]
        (self.folder / "nova.conf").write_text("\n".join(lines) + "\n")

    # What is done

    def tried(
        self, command: ty.Callable[[], object], dies_at: int | None = None
    ) -> str:
        """Run one command; how it ended.

        :param dies_at: the number of the durable write at which it is killed
        """
        try:
            if dies_at is None:
                command()
            elif kill_points.killed(dies_at, command):
                return "killed"
        except exception.VfioVariantError as error:
            return f"{type(error).__name__}: {error}"
        return "done"

    def claim(
        self, one: Instance, wanted: str, dies_at: int | None = None
    ) -> None:
        """Claim something new, or something else, or the same again."""
        free = self.free_nics()
        given: list[tracked.Claim] = []

        def command() -> None:
            alias, _, kind = wanted.partition("=")
            given.extend(
                self.node.claims.claim(
                    one.uuid,
                    alias or None,
                    vgpu_types=(kind,) if kind else (),
                )
            )

        before = one.known
        ended = self.tried(command, dies_at)
        if ended == "done":
            self._is_claimed(one, wanted, given)
        elif ended == "killed":
            one.known = model.Known.UNKNOWN
        elif before is model.Known.HAS_NOT:
            kind, _, count = wanted.partition(":")
            if kind == "nic" and int(count) <= len(free):
                self.said.append(f"{wanted} of {free} is refused: {ended}")

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
            if (one.alias, one.addresses) != (wanted, devices):
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
        if count and len(devices) != int(count):
            self.said.append(f"{wanted} got {devices}")
        if kind != "nic":
            return
        seen = {one["address"]: one for one in self.functions()}
        for name in devices:
            now = seen.get(name, {})
            if (now.get("vendor_id"), now.get("product_id")) != _VF_IDS:
                self.said.append(f"{name} is given, and is {now}")
            if name in self.open_in():
                self.said.append(f"{name} is given, and is open")

    def move(
        self,
        one: Instance,
        name: str,
        assignment: str | None = None,
        dies_at: int | None = None,
    ) -> None:
        """Prepare, start or release, by right, by a late one, or by any."""
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
        with contextlib.suppress(OSError):
            one.pid = self.host.hold(one.addresses[0])

    def end_guest(self, one: Instance) -> None:
        """End its guest."""
        if one.pid is not None:
            self.host.let_go(one.pid)
            one.pid = None

    # What is seen

    def functions(self) -> list[dict[str, ty.Any]]:
        """The functions, as somebody else reads them."""
        return independent_reader.functions(str(self.folder / "host"))

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
        if not sure or "8086:10ca" not in SPECS[self.configured]:
            return []
        taken = {name for one in self.instances for name in one.addresses}
        return [
            one["address"]
            for one in self.functions()
            if (one["vendor_id"], one["product_id"]) == _VF_IDS
            and one["address"] in NIC_VFS
            and one["physfn"] == NIC
            and one["address"] not in taken
        ]

    def settle(self) -> list[str]:
        """Report, and say what is wrong then."""
        ended = self.tried(self.node.reporting.report)
        found = self.wrong()
        if ended != "done":
            return [f"a report: {ended}", *found]
        diff = self.node.placement.diff()
        if diff.changes:
            found.append(f"a report left {diff.changes}")
        if self.placement is not None:
            claims = self.node.devices.claims()
            found += model.differing(
                [
                    (claim.instance_uuid, name)
                    for claim in claims
                    for name in map(str, claim.addresses)
                    if name.startswith("0000:21")
                ],
                [
                    row
                    for row in self.placement.allocations()
                    if "0000:21" in row[1]
                ],
                "host",
            )
            found += model.overused(self.placement.used())
            strange = {row[0] for row in self.placement.allocations()} - {
                claim.instance_uuid for claim in claims
            }
            if strange:
                found.append(f"{strange} have allocations and no claim")
        self.learn()
        return found

    def learn(self) -> None:
        """Take over what became of those that nobody knew of."""
        claims = self.node.devices.claims()
        for one in self.instances:
            mine = [
                claim for claim in claims if claim.instance_uuid == one.uuid
            ]
            if one.known is model.Known.UNKNOWN:
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
        if not (self.folder / "state").exists():
            return found
        claims = self.node.devices.claims()
        found += model.unlike(
            [
                (claim.instance_uuid, str(name))
                for claim in claims
                for name in (*claim.addresses, *claim.mdevs)
            ],
            self.instances,
        )
        mdev = self.host.root / "sys/bus/mdev/devices" / FOREIGN_MDEV
        vgpu = (
            self.host.root
            / f"sys/bus/pci/devices/{FOREIGN_VGPU}/nvidia/current_vgpu_type"
        )
        if not mdev.exists() or vgpu.read_text().strip() != "557":
            found.append("something of others is touched")
        return [*found, *self._too_ready()]

    def _too_ready(self) -> ty.Iterator[str]:
        """Verdicts that say ready, beside what the files say."""
        seen = {one["address"]: one for one in self.functions()}
        groups = [one["iommu_group"] for one in seen.values()]
        now = self.node.devices
        opened = self.open_in()
        for name in (*NIC_VFS, SPARE):
            verdict = now.verdict(pci_address.PciAddress.parse(name))
            if verdict.state is not assignability.State.READY:
                continue
            one = seen.get(name)
            if (
                one is None
                or one["vfio_driver"] is None
                or groups.count(one["iommu_group"]) != 1
                or name in opened
            ):
                yield f"{name} is called ready, and is {one}"
