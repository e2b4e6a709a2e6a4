# SPDX-License-Identifier: Apache-2.0
"""What is freed, forgotten or left, and why."""

import dataclasses
import datetime as dt
import typing as ty

from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import records, use, vendor_vgpu
from nova_vfio_variant.node import astray, liveness, reconcile
from nova_vfio_variant.node.astray import Action, What
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import vgpus
from tests import base
from tests.unit.host import make

VF = "0000:25:00.4"
AT = pci_address.PciAddress.parse(VF)
ONE = "11111111-1111-4111-8111-111111111111"
NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
OLD = "2026-11-27T11:00:00+00:00"
FUNCTION = make.function(VF, has_vgpu_folder=True)
GONE = liveness.Answer(liveness.State.NO, "nobody knows of it")
OURS = vgpus.OurVgpu(
    AT, "558", vgpus.Origin.CLAIM, ONE, "a-1", OLD, FUNCTION.identity
)


class AstrayTest(base.TestCase):
    uptime: float | None = None

    def decided(
        self,
        vgpu: vgpus.OurVgpu = OURS,
        answer: liveness.Answer = GONE,
        current: str | None = "558",
        **more: ty.Any,
    ) -> tuple[Action, str] | None:
        """What is decided of one vGPU, on a host where all is as we left it.

        :param more: fields of the host's facts
        """
        host = dataclasses.replace(
            host_facts.gather(make.scan(FUNCTION)),
            vgpus={AT: vendor_vgpu.VendorVgpu(current)},
            **{"unseen": (), "in_use": {}, **more},
        )
        found = reconcile.decide(
            astray.Facts((vgpu,), host, lambda _: answer, NOW, self.uptime)
        )
        if not found:
            return None
        (decision,) = found
        self.assertEqual((VF, vgpu), (decision.subject, decision.vgpu))
        return decision.action, decision.why

    def action(self, *args: ty.Any, **more: ty.Any) -> Action | None:
        found = self.decided(*args, **more)
        return None if found is None else found[0]

    def left(self, why: str, *args: ty.Any, **more: ty.Any) -> None:
        found = self.decided(*args, **more)
        assert found is not None
        self.assertEqual(Action.LEAVE, found[0])
        self.assertIn(why, found[1])

    def test_what_is_as_we_left_it_is_freed(self) -> None:
        self.assertEqual(
            (Action.FREE, f"instance {ONE} is gone"), self.decided()
        )

    def test_one_whose_instance_lives_is_not_looked_at(self) -> None:
        self.assertIsNone(
            self.action(answer=liveness.Answer(liveness.State.YES, "it runs"))
        )

    def test_one_whose_instance_may_live_is_left(self) -> None:
        unknown = liveness.Answer(liveness.State.UNKNOWN, "/proc: no")
        for current in ("558", "0"):
            self.left(
                f"whether instance {ONE} lives is not known: /proc: no",
                answer=unknown,
                current=current,
            )

    def test_what_is_declared_is_not_an_instances(self) -> None:
        declared = dataclasses.replace(OURS, origin=vgpus.Origin.DECLARED)
        self.assertIsNone(self.action(declared))

    def test_what_is_younger_than_five_minutes_is_left(self) -> None:
        for since, expected in (
            ("2026-11-27T11:55:00+00:00", Action.FREE),
            ("2026-11-27T11:55:01+00:00", Action.LEAVE),
            # The clock went back.
            ("2026-11-27T13:00:00+00:00", Action.LEAVE),
            # Nobody of ours wrote it.
            ("", Action.LEAVE),
            ("2026-11-27T11:00:00", Action.LEAVE),
        ):
            young = dataclasses.replace(OURS, since=since)
            self.assertEqual(expected, self.action(young), since)

    def test_what_is_open_is_left_and_who_has_it_is_told(self) -> None:
        holder = use.Holder(7, "qemu", "/dev/vfio/7")
        self.left(
            "/dev/vfio/7 is open in process 7 (qemu)",
            in_use={AT: (use.Use(use.Kind.OPEN, str(holder), holder),)},
        )

    def test_where_processes_cannot_be_read_it_is_left(self) -> None:
        self.left(
            "/proc/7/fd: Permission denied",
            in_use={AT: (use.unknown("/proc/7/fd: Permission denied"),)},
        )
        self.left("can't be seen", unseen=(use.PROCESSES,))

    def test_what_hung_is_left(self) -> None:
        self.left(
            "it is quarantined: a write hangs",
            records=records.Records(quarantined={AT: "a write hangs"}),
        )

    def test_another_tools_type_is_never_freed(self) -> None:
        for current in ("559", "0"):
            self.assertEqual(Action.FORGET, self.action(current=current))
        self.left("its type can't be read", current=None)

    def test_another_device_in_its_place_is_never_touched(self) -> None:
        other = dataclasses.replace(FUNCTION.identity, product_id="ffff")
        self.assertEqual(
            Action.FORGET,
            self.action(dataclasses.replace(OURS, identity=other)),
        )

    def test_one_whose_function_is_gone_is_forgotten(self) -> None:
        gone = dataclasses.replace(
            OURS, address=pci_address.PciAddress.parse("0000:99:00.4")
        )
        host = host_facts.gather(make.scan(FUNCTION))
        (decision,) = reconcile.decide(
            astray.Facts((gone,), host, lambda _: GONE, NOW)
        )
        self.assertEqual(
            (What.LOST, Action.FORGET), (decision.what, decision.action)
        )

    def test_a_claim_of_an_instance_that_is_gone_keeps_nothing(self) -> None:
        claimed = records.Records(owners={AT: ONE})
        self.assertEqual(Action.FREE, self.action(records=claimed))
        self.assertEqual(
            Action.FORGET, self.action(current="0", records=claimed)
        )

    def test_what_a_crash_left_is_ended_before_all_else(self) -> None:
        host = dataclasses.replace(
            host_facts.gather(make.scan(FUNCTION)),
            vgpus={AT: vendor_vgpu.VendorVgpu("558")},
            records=records.Records(unsettled={AT}),
        )
        found = reconcile.decide(
            astray.Facts((OURS,), host, lambda _: GONE, NOW)
        )
        self.assertEqual(
            [What.UNSETTLED, What.ORPHAN],
            [decision.what for decision in found],
        )

    def test_after_a_boot_guests_get_time_to_start(self) -> None:
        for seconds, expected in ((299.9, Action.LEAVE), (300, Action.FORGET)):
            self.uptime = seconds
            self.assertEqual(expected, self.action(current="0"))

    def test_the_assignment_tells_one_owner_from_the_next(self) -> None:
        keys = {
            astray.Decision(
                VF,
                What.ORPHAN,
                "",
                Action.FREE,
                dataclasses.replace(OURS, assignment=assignment),
            ).key
            for assignment in ("a-1", "a-2")
        }
        self.assertEqual(2, len(keys))
