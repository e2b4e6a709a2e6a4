# SPDX-License-Identifier: Apache-2.0
"""A card with VFs that are claimed, and guests that have them."""

import contextlib
import datetime as dt

import sqlalchemy as sa

from nova_vfio_variant.node import node
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import models, store
from tests.functional import cli_case
from tests.functional.cli_case import ONE

VFS = ("0000:21:10.0", "0000:21:10.2")
WORDS = ("--alias", "nic:1")
XML = """<domain type="kvm"><name>{name}</name><uuid>{uuid}</uuid><devices>
<hostdev mode="subsystem" type="pci"><source><address domain="0x0000"
bus="0x21" slot="0x10" function="0x0"/></source></hostdev></devices></domain>
"""


class ClaimsCase(cli_case.CliTestCase):
    """A card with two VFs, on vfio-pci."""

    MANAGED = "yes"

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("igb", ["8086:10c9"], makes_vfs=True)
        self.fake.add_driver("vfio-pci", ["8086:10ca"], vfio=True)
        self.fake.add(
            "0000:21:00.0",
            "8086:10c9",
            vfs=2,
            vf_device="10ca",
            vf_offset=128,
            vf_stride=2,
        )
        self.fake.writer().set_numvfs("0000:21:00.0", 2)
        self.enterContext(self.fake.plugged_in())
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
            f' "managed": "{self.MANAGED}" }}',
            'alias = { "name": "nic", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
            tail="[vfio]\nplacement = embedded\n",
        )
        self.node = node.Node(["nova.conf"], None, "host", "state")

    def claim(self, instance: str = ONE) -> str:
        (claim,) = self.json("claim", "create", "--instance", instance, *WORDS)
        return str(claim["addresses"][0])

    def age(self) -> None:
        """Let all claims be older than the grace."""
        since = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=10)
        with (
            contextlib.closing(store.Store.open(self.state)) as opened,
            opened._write() as link,
        ):
            link.execute(
                sa.update(models.claims).values(since=since.isoformat())
            )

    def move(self, state: tracked.ClaimState) -> None:
        with contextlib.closing(store.Store.open(self.state)) as opened:
            record = opened.claim_records.get(ONE)
            assert record is not None
            opened.claim_records.move(record, state)

    def guest(self, instance: str, vf: str | None = None) -> int:
        words = ("qemu-system-x86_64", "-uuid", instance)
        if vf is None:
            return self.fake.open_file("/dev/null", words[0], words)
        pid = self.fake.hold(vf, "qemu-system-x86")
        text = "".join(f"{word}\0" for word in words)
        (self.fake.root / f"proc/{pid}/cmdline").write_text(text)
        return pid

    def define(self, *instances: str) -> None:
        folder = self.fake.root / "etc/libvirt/qemu"
        folder.mkdir(parents=True, exist_ok=True)
        for number, uuid in enumerate(instances):
            name = f"guest{number}"
            text = XML.format(name=name, uuid=uuid)
            (folder / f"{name}.xml").write_text(text)

    def rows(self, *words: str, status: int = 0) -> list[tuple[str, ...]]:
        return [
            (row["subject"], row["action"], row["state"])
            for row in self.json("reconcile", *words, status=status)
        ]

    def reason(self) -> str:
        (row,) = self.json("reconcile", status=1)
        self.assertEqual(("leave", "left"), (row["action"], row["state"]))
        return str(row["reason"])
