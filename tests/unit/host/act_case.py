# SPDX-License-Identifier: Apache-2.0
"""A host, a state path, and somebody who acts on it."""

import os
import pathlib
import shutil

import fixtures

from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import apply, journal
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import function_state, host_scan, records
from nova_vfio_variant.pci import address as pci_address
from tests import base, sample_hosts
from tests.unit.host import acting, plan_case

VARIANT = plan_case.ON_VFIO.replace("vfio-pci", "variant")
PAIR = (
    '{"address": "0000:31:01.0", "driver": "vfio-pci",'
    ' "companions": ["0000:31:02.0"]}'
)


class _OnRecord(host_actor.OnRecord):
    """What a test says is recorded."""

    def __init__(self, test: "ActCase") -> None:
        self._test = test

    def of(self, seen: host_scan.HostScan) -> records.Records:
        return records.Records(owners=self._test.owners)

    def quarantine(
        self, address: pci_address.PciAddress, reason: str | None
    ) -> None:
        self._test.isolate(address, reason)


class ActCase(base.TestCase):
    """A host, a state path, and somebody who acts."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = sample_hosts.with_igb(self.folder / "host")
        self.state = self.folder / "state"
        self.owners: dict[pci_address.PciAddress, str] = {}
        self.quarantined: dict[str, str | None] = {}
        self.said: list[str] = []
        self.failing: dict[str, int] = {}

    def unload(self, name: str, *, for_ever: bool) -> None:
        """Take a driver's module away; for ever, from the disk as well."""
        shutil.rmtree(self.host.root / "sys/bus/pci/drivers" / name)
        with self.host._files.held() as memory:
            memory.drivers[name].loaded = False
            if for_ever:
                del memory.drivers[name]
        if for_ever:
            path = self.host.root / "lib/modules/6.12/modules.dep"
            path.write_text(
                "".join(
                    line
                    for line in path.read_text().splitlines(keepends=True)
                    if f"/{name}.ko" not in line
                )
            )

    def actor(self) -> host_actor.Actor:
        tree = self.host.tree
        known = journal.Journal.open(self.state, function_state.boot_id(tree))
        self.addCleanup(known.close)
        by = acting.Doing(self.host.writer())
        whole = by.way

        def perform(
            step: plan.Step,
            keep: tuple[int, ...],
            meanwhile: process.Meanwhile,
        ) -> str:
            if str(step) in self.failing:
                number = self.failing.pop(str(step))
                raise OSError(number, os.strerror(number))
            return whole(step, keep, meanwhile)

        by.way = perform
        self.by = by
        return host_actor.Actor(
            tree,
            by,
            known,
            _OnRecord(self),
            acting.Told(
                lambda _, step, state: self.said.append(f"{state} {step}")
            ),
        )

    def apply(self, *texts: str) -> apply.Applied:
        return apply.apply(self.actor(), plan_case.specs(*texts))

    def isolate(
        self, address: pci_address.PciAddress, reason: str | None
    ) -> None:
        """Remember who is quarantined."""
        self.quarantined[str(address)] = reason

    def states(self) -> dict[str, function_state.State]:
        found = self.actor().look().states
        return {str(address): state for address, state in found.items()}
