# SPDX-License-Identifier: Apache-2.0
"""Cards that offer mediated devices, with what we made of them."""

import contextlib
import dataclasses
import datetime as dt
import pathlib
import typing as ty

from nova_vfio_variant.node import mdev_wishes, mdevs, node
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import mdevs as tracked
from nova_vfio_variant.tracker import store
from tests.functional import cli_case

ONE, TWO = cli_case.ONE, cli_case.TWO
CARD, OTHER = "0000:06:00.0", "0000:07:00.0"
#: Written in this order, which is not that of their names.
ATTRIBUTES: ty.Final = (
    "nvidia/vgpu_params=frame_rate_limiter=0",
    "assign_adapter=5",
)
UUID: ty.Final = "c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a11"
#: As NVIDIA's driver writes them.
TEXTS: ty.Final = {
    "nvidia-35": {
        "name": "GRID T4-1B",
        "description": "num_heads=4, frl_config=45, framebuffer=1024M,"
        " max_resolution=5120x2880, max_instance=2",
    },
    "nvidia-36": {
        "name": "GRID T4-2B",
        "description": "num_heads=4, frl_config=45, framebuffer=2048M,"
        " max_resolution=5120x2880, max_instance=1",
    },
}


class MdevCase(cli_case.CliTestCase):
    """Two cards that take two small devices or one large, of one type."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("nvidia", ["10de:1eb8"])
        for card in (CARD, OTHER):
            self.fake.add(card, "10de:1eb8", class_code=0x030200)
            self.add_parent(card)
        self.enterContext(self.fake.plugged_in())
        self.configure()

    def add_parent(self, card: str, **more: ty.Any) -> None:
        """Let a card offer some."""
        self.fake.add_mdev_parent(
            "nvidia-vgpu",
            {"nvidia-35": 1, "nvidia-36": 2},
            2,
            function=card,
            **{
                "texts": TEXTS,
                "attributes": ("nvidia/vgpu_params", "assign_adapter"),
                "one_type": True,
                **more,
            },
        )

    def mdevs(self) -> mdevs.Mdevs:
        """Those of the node, as it is now."""
        return mdevs.Mdevs(self.node().context)

    @staticmethod
    def node() -> node.Node:
        return node.Node(["nova.conf"], None, "host", "state")

    def make(self, *parents: str, **more: ty.Any) -> tracked.OurMdev:
        """Make one, in this process."""
        return self.mdevs().create(
            mdev_wishes.Wish("nvidia-35", parents, **more)
        )

    def there(self) -> dict[str, str]:
        """All that are there: the parent of each UUID."""
        folder = self.fake.root / "sys/bus/mdev/devices"
        return {
            path.name: path.resolve().parent.name for path in folder.iterdir()
        }

    def ours(self) -> dict[str, tracked.OurMdev]:
        """What is on record."""
        with contextlib.closing(store.Store.open(self.state)) as opened:
            return opened.mdevs.all()

    def age(self, minutes: int = 10) -> None:
        """Let what is on record be older."""
        since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)
        text = since.isoformat(timespec="seconds")
        with contextlib.closing(store.Store.open(self.state)) as opened:
            for made in opened.mdevs.all().values():
                opened.mdevs.put(dataclasses.replace(made, since=text))

    def guest(self, instance: str) -> int:
        """Start a guest of an instance."""
        words = ("qemu-system-x86_64", "-uuid", instance)
        return self.fake.open_file("/dev/null", words[0], words)

    def by_another(
        self, uuid: str, card: str, kind: str = "nvidia-35"
    ) -> None:
        """Make one as another tool does."""
        self.fake.write(
            f"sys/class/mdev_bus/{card}/mdev_supported_types/{kind}/create",
            uuid.encode(),
        )

    def remove(self, uuid: str) -> None:
        """Remove one, as another tool or a reboot does."""
        self.fake.write(f"sys/bus/mdev/devices/{uuid}/remove", b"1")

    def attributes(self, uuid: str) -> list[str]:
        """What the attributes of one are, as they are asked for."""
        place = pathlib.Path(self.fake.root, "sys/bus/mdev/devices", uuid)
        return [
            f"{name}={(place / name).read_text().strip()}"
            for name in ("nvidia/vgpu_params", "assign_adapter")
        ]
