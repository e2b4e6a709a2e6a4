# SPDX-License-Identifier: Apache-2.0
"""What reports on starts of guests say of a function."""

import dataclasses

from hypothesis import stateful, strategies

from nova_vfio_variant.tracker import vgpu_reports
from nova_vfio_variant.tracker.vgpu_reports import Health, Known, Report
from tests import base
from tests.unit.tracker import samples
from tests.unit.tracker.samples import ONE

VF = samples.at("0000:25:00.4")


def report(assignment: str, *, ok: bool, at: str = "") -> Report:
    return Report(
        VF, assignment, ONE, ok, at or f"2026-11-27T00:00:0{assignment[-1]}"
    )


def known(*said: str) -> Known:
    """``a1-`` is a failure of the assignment a1, ``a1+`` its success."""
    reports: Known = ()
    for word in said:
        reports = vgpu_reports.added(
            reports, report(word[:-1], ok=word[-1] == "+")
        )
    return reports


class HealthTest(base.TestCase):
    def test_what_reports_come_to(self) -> None:
        for said, expected in (
            ((), Health.WELL),
            (("a1+",), Health.WELL),
            (("a1-",), Health.SUSPECT),
            # Said twice, it is one assignment all the same.
            (("a1-", "a1-"), Health.SUSPECT),
            (("a1-", "a2-"), Health.QUARANTINED),
            (("a1-", "a2+"), Health.WELL),
            (("a1-", "a2+", "a3-"), Health.SUSPECT),
            (("a1-", "a2-", "a2+"), Health.WELL),
            # Success of an older one leaves what failed after it.
            (("a1-", "a2-", "a1+"), Health.SUSPECT),
            (("a1-", "a2-", "a3-", "a1+"), Health.QUARANTINED),
            (("a1+", "a1-"), Health.SUSPECT),
        ):
            self.assertEqual(
                expected, vgpu_reports.health(known(*said)), str(said)
            )

    def test_a_clock_that_goes_back_changes_no_order(self) -> None:
        first = report("a", ok=False, at="2026-11-27T10:00:00.000000+00:00")
        late = report("b", ok=False, at="2026-11-27T09:00:00.000000+00:00")
        reports = vgpu_reports.added((first,), late)
        self.assertEqual("2026-11-27T10:00:00.000001+00:00", reports[-1].at)

    def test_the_reason_names_the_last_guest(self) -> None:
        self.assertEqual(
            f"2 guests failed to start on it, the last one of instance {ONE}"
            " at 2026-11-27T00:00:02",
            vgpu_reports.reason(known("a1-", "a2-")),
        )
        one = dataclasses.replace(report("a1", ok=False), instance_uuid=None)
        self.assertEqual(
            "a guest failed to start on it, the last one at"
            " 2026-11-27T00:00:01",
            vgpu_reports.reason((one,)),
        )


class Reporting(stateful.RuleBasedStateMachine):
    """Whatever is reported in whatever order.

    The model knows for each assignment of a function, in the order in which
    they were first reported on, what was said of it last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reports: Known = ()
        self.said: dict[str, bool] = {}

    @stateful.rule(
        number=strategies.integers(0, 30),
        ok=strategies.booleans(),
        second=strategies.integers(0, 59),
    )
    def tell(self, number: int, ok: bool, second: int) -> None:
        name = f"assignment-{number}"
        at = f"2026-11-27T00:00:{second:02}.000000+00:00"
        self.reports = vgpu_reports.added(
            self.reports, Report(VF, name, ONE, ok, at)
        )
        self.said[name] = ok
        while len(self.said) > vgpu_reports.KEPT:
            del self.said[next(iter(self.said))]

    @stateful.invariant()
    def each_assignment_has_its_last_report(self) -> None:
        assert [(report.assignment, report.ok) for report in self.reports] == [
            *self.said.items()
        ]
        times = [report.at for report in self.reports]
        assert times == sorted(set(times))

    @stateful.invariant()
    def two_failures_after_the_last_success_quarantine(self) -> None:
        assignments = [*self.said]
        lifted = -1
        for place, name in enumerate(assignments):
            if self.said[name]:
                lifted = place
        failed = assignments[lifted + 1 :]
        counted = vgpu_reports.failures(self.reports)
        assert [report.assignment for report in counted] == failed
        states = (Health.WELL, Health.SUSPECT, Health.QUARANTINED)
        expected = states[min(len(failed), vgpu_reports.LIMIT)]
        assert vgpu_reports.health(self.reports) == expected


ReportingTest = Reporting.TestCase
