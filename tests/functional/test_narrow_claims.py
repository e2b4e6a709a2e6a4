# SPDX-License-Identifier: Apache-2.0
"""A claim that looks at few functions gives what one that looks at all does."""

import pathlib
import typing as ty
import uuid
from unittest import mock

import fixtures

from nova_vfio_variant.host.observe import scanner
from nova_vfio_variant.node import narrow_claims, node
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.testing import placement as placement_fixture
from tests import base

PFS = ("0000:21:00.0", "0000:31:00.0")
CONF = """
[pci]
device_spec = {"vendor_id": "8086", "product_id": "10ca"}
alias = {"name": "nic", "vendor_id": "8086", "product_id": "10ca"}
[vfio]
placement = embedded
"""


class NarrowTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (self.folder / "nova.conf").write_text(CONF)
        self.host = fake_host.FakeHost(self.folder / "host")
        self.host.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        self.host.add_driver("vfio-pci", ["8086:10ca"], vfio=True)
        for pf in PFS:
            self.host.add(pf, "8086:10c9", vfs=4, vf_device="10ca")
            self.host.writer().set_numvfs(pf, 4)
        self.seen: list[set[str] | None] = []
        real = scanner.scan

        def scan(tree: ty.Any, only: ty.Any = None) -> ty.Any:
            self.seen.append(only)
            return real(tree, only)

        self.enterContext(mock.patch.object(scanner, "scan", scan))
        state = str(self.folder / "state")
        self.useFixture(placement_fixture.EmbeddedPlacement(state))
        self.node = node.Node(
            [str(self.folder / "nova.conf")],
            [],
            str(self.folder / "host"),
            state,
        )
        self.claim()

    def claim(self, wanted: str = "nic:1") -> list[str]:
        """Claim; which functions are given."""
        self.last = str(uuid.uuid4())
        self.seen.clear()
        return [
            str(address)
            for claim in self.node.claims.claim(self.last, wanted)
            for address in claim.addresses
        ]

    def whole(self, wanted: str = "nic:1") -> list[str]:
        """Claim by looking at the whole host."""
        with mock.patch.object(narrow_claims, "claim", return_value=()):
            return self.claim(wanted)

    def test_the_chosen_and_what_stands_by_it_are_looked_at(self) -> None:
        (given,) = self.claim()
        pf = PFS[given.startswith("0000:31")]
        self.assertEqual([{given, pf}], self.seen)

    def test_it_gives_what_a_look_at_all_gives(self) -> None:
        for wanted in ("nic:1", "nic:2", "nic:3"):
            narrow = self.claim(wanted)
            self.assertNotIn(None, self.seen)
            self.node.claims.release(self.last)
            self.assertEqual(narrow, self.whole(wanted))
            self.node.claims.release(self.last)

    def test_what_is_not_as_recorded_is_left_to_a_look_at_all(self) -> None:
        (first,) = self.claim()
        self.node.claims.release(self.last)
        self.host.exchange(first, "8086:1533")
        self.assertNotIn(first, self.claim())
        self.assertIn(None, self.seen)

    def test_what_came_is_seen(self) -> None:
        self.host.add("0000:51:00.0", "8086:10ca")
        self.claim()
        self.assertIn(None, self.seen)
        self.claim()
        self.assertNotIn(None, self.seen)

    def test_what_is_declared_now_counts(self) -> None:
        text = CONF.replace(
            '10ca"}\nalias', '10ca", "managed": "no"}\nalias', 1
        )
        (self.folder / "nova.conf").write_text(text)
        self.claim()
        self.assertIn(None, self.seen)

    def test_what_is_open_is_not_given(self) -> None:
        (first,) = self.claim()
        self.node.claims.release(self.last)
        self.host.hold(first)
        (second,) = self.claim()
        self.assertNotEqual(first, second)
        self.assertNotIn(None, self.seen)
