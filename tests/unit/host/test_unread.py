# SPDX-License-Identifier: Apache-2.0
"""What could not be read of a function speaks against giving it away."""

import dataclasses
import pathlib
import tempfile

from nova_vfio_variant import exception, source
from nova_vfio_variant.host.act import guard
from nova_vfio_variant.host.decide import (
    apply,
    assignability,
    host_spec,
    plan,
)
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import facts, host_scan
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address
from tests import base
from tests.functional import check_host

VF = address.PciAddress.parse("0000:25:00.4")
OTHER = address.PciAddress.parse("0000:25:00.5")


class UnreadTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seen = check_host.build(
            pathlib.Path(tempfile.mkdtemp()),
            [
                check_host.Function(str(VF), group=7),
                check_host.Function(str(OTHER), group=7),
            ],
            {"sys/bus/pci/drivers/vfio-pci/bind": ""},
        )

    def codes(self, **lost: str) -> list[str]:
        """What speaks against the VF, given what was lost of which."""
        functions = tuple(
            dataclasses.replace(
                seen,
                lost=frozenset(
                    fact
                    for fact, at in lost.items()
                    if at == str(seen.address)
                ),
                iommu_group=(
                    None
                    if lost.get("iommu_group") == str(seen.address)
                    else seen.iommu_group
                ),
            )
            for seen in self.seen.functions
        )
        known = facts.gather(
            dataclasses.replace(self.seen, functions=functions)
        )
        function = known.scan.get(VF)
        assert function is not None
        verdict = assignability.verdict(
            function,
            known,
            purpose=assignability.Purpose(driver="vfio-pci"),
        )
        return [obstacle.code.id for obstacle in verdict.obstacles]

    def test_nothing_speaks_against_what_was_read(self) -> None:
        self.assertEqual([], self.codes())

    def test_an_unread_group_is_not_known(self) -> None:
        self.assertEqual(
            [host_codes.NOT_KNOWN.id], self.codes(iommu_group=str(VF))
        )

    def test_who_is_in_no_known_group_may_be_in_this_one(self) -> None:
        self.assertEqual(
            [host_codes.NOT_KNOWN.id], self.codes(iommu_group=str(OTHER))
        )
        self.seen = dataclasses.replace(
            self.seen,
            problems=(
                host_scan.Lost("0000:99:00.0", None, "Permission denied"),
            ),
        )
        self.assertEqual([host_codes.NOT_KNOWN.id], self.codes())

    def test_an_unread_driver_of_a_companion_is_in_the_way(self) -> None:
        self.assertEqual(
            [host_codes.NOT_KNOWN.id], self.codes(driver=str(OTHER))
        )

    def test_no_override_is_written_that_can_not_be_read(self) -> None:
        """Whoever does a step for others looks for itself."""
        step = plan.Step(
            str(VF), plan.Action.SET_OVERRIDE, "vfio-pci", "", "x", 10.0
        )
        guard.check(self.seen.tree, step)
        path = pathlib.Path(
            self.seen.tree.root or "",
            self.seen.tree.real_path(f"{paths.DEVICES}/{VF}"),
        )
        (path / "driver_override").symlink_to("/etc/none")
        error = self.assertRaises(
            exception.HostStepFailed, guard.check, self.seen.tree, step
        )
        self.assertIn("its driver_override can't be read", error.message)

    def test_an_entry_that_names_what_can_not_be_read_is_not_wrong(
        self,
    ) -> None:
        """It isn't said that there is no such function."""
        lost = host_scan.Lost(str(VF), None, "Permission denied")
        unread = dataclasses.replace(
            self.seen,
            functions=self.seen.functions[1:],
            problems=(lost,),
        )
        text = f'{{"address": "{VF}", "driver": "vfio-pci"}}'
        specs, _ = host_spec.parse_host_specs(
            [source.SourceText.of(text, "host_spec", "vfio")]
        )
        found = apply.decision(specs, facts.gather(unread))
        self.assertEqual((), found.findings)
        self.assertEqual(
            [host_codes.NOT_KNOWN],
            [refusal.code for refusal in found.refusals],
        )
