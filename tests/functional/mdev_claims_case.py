# SPDX-License-Identifier: Apache-2.0
"""A host without nova-compute, with cards that offer mediated devices."""

import dataclasses
import pathlib
import typing as ty

from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import mdevs, store
from tests.functional import cli_case

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
#: Two cards, each of two mdevs of the large type or four of the small one.
CARDS = ("0000:06:00.0", "0000:07:00.0")
COSTS = {"nvidia-35": 1, "nvidia-36": 2}
SPEC = 'device_spec = { "vendor_id": "10de", "product_id": "1bb3" }'
ALIAS = 'alias = { "name": "gpu", "vendor_id": "10de", "product_id": "1bb3" }'


def with_cards(root: pathlib.Path) -> fake_host.FakeHost:
    """A host with two cards whose driver offers mediated devices."""
    host = fake_host.FakeHost(root)
    host.add_driver("nvidia", ["10de:1bb3"])
    host.add_driver("vfio-pci", vfio=True)
    host.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
    for number, card in enumerate(CARDS):
        host.add(
            card,
            "10de:1bb3",
            class_code=0x030200,
            group=10 + number,
            numa_node=number,
        )
        host.add_mdev_parent(f"card{number}", COSTS, 4, function=card)
    return host


class MdevClaimsCase(cli_case.CliTestCase):
    """Such a host, and what is claimed of it."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = with_cards(self.folder / "host")
        self.enterContext(self.fake.plugged_in())
        self.configure(SPEC, ALIAS, tail="[vfio]\nplacement = embedded\n")

    def there(self) -> dict[str, str]:
        """The mediated devices that the host has, and their types."""
        place = self.fake.root / "sys/bus/mdev/devices"
        return {
            one.name: (one / "mdev_type").readlink().name
            for one in place.iterdir()
        }

    def parents(self) -> list[str]:
        """Of which cards they are."""
        place = self.fake.root / "sys/bus/mdev/devices"
        return sorted(one.resolve().parent.name for one in place.iterdir())

    def rows(self) -> tuple[mdevs.OurMdev, ...]:
        """What the store has of them."""
        with store.Store.open(str(self.state), read_only=True) as opened:
            return tuple(opened.mdevs.all().values())

    def age(self) -> None:
        """Let what is on record be older than reconcile waits."""
        with store.Store.open(str(self.state)) as opened:
            for made in opened.mdevs.all().values():
                opened.mdevs.put(
                    dataclasses.replace(
                        made, since="2026-01-01T00:00:00+00:00"
                    )
                )

    def claim(self, instance: str, *words: str) -> list[dict[str, ty.Any]]:
        """Claim, and what was claimed."""
        return ty.cast(
            "list[dict[str, ty.Any]]",
            self.json("claim", "create", "--instance", instance, *words),
        )


class ByClassCase(MdevClaimsCase):
    """Such cards, the second one of another type and class."""

    def setUp(self) -> None:
        super().setUp()
        self.declare()

    def declare(self, large: str = "CUSTOM_LARGE", more: str = "") -> None:
        """What a configuration says that publishes them."""
        self.configure(
            SPEC,
            'alias = { "name": "small", "resource_class": "VGPU" }',
            'alias = { "name": "large", "resource_class": "CUSTOM_LARGE",'
            ' "numa_policy": "required" }',
            'alias = { "name": "other", "resource_class": "VGPU",'
            ' "vendor_id": "8086", "product_id": "10ca" }',
            tail="[devices]\nenabled_mdev_types = nvidia-35, nvidia-36\n"
            f"[mdev_nvidia-36]\ndevice_addresses = {CARDS[1]}\n"
            f"mdev_class = {large}\n[vfio]\nplacement = embedded\n{more}",
        )
