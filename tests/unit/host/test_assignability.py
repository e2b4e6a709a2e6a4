# SPDX-License-Identifier: Apache-2.0
"""The table of states and purposes in ``specs/``, row by row.

What has to come out stands in the table alone; here stands what each row is
about. A row without a device, or a device without a row, is an error.
"""

import collections
import dataclasses
import pathlib
import re
import tempfile

from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.observe import facts
from nova_vfio_variant.pci import address
from tests import base
from tests.unit.host import devices, make

SPEC = pathlib.Path(__file__).parents[3] / "specs/assignability.rst"
_ROW = re.compile(r"   \* - (.*)")
_CELL = re.compile(r"     - ?(.*)")
_CODE = re.compile(r"VFIO\d{3}")


@dataclasses.dataclass(frozen=True)
class Row:
    """What the table says of a device and a purpose.

    :param codes: of all that the verdict says, remarks among it
    """

    device: str
    purpose: str
    state: str
    codes: tuple[str, ...]
    mend: str

    def __str__(self) -> str:
        return f"{self.device}, {self.purpose}"


def rows() -> list[Row]:
    """The rows of all tables of the specification."""
    cells: list[list[str]] = []
    for line in SPEC.read_text().splitlines():
        begins, goes_on = _ROW.fullmatch(line), _CELL.fullmatch(line)
        if begins is not None:
            cells.append([begins[1]])
        elif goes_on is not None:
            cells[-1].append(goes_on[1])
        elif cells and line.startswith("       "):
            cells[-1][-1] += f" {line.strip()}"
    return [
        Row(
            device.split("``")[1],
            purpose.strip(),
            state,
            tuple(sorted(_CODE.findall(says))),
            mend,
        )
        for device, purposes, state, says, mend in cells
        if device != "Device"
        for purpose in purposes.split(";")
    ]


class TableTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seen: dict[int, facts.HostFacts] = {}

    def test_rows_and_tests_are_the_same(self) -> None:
        told = collections.Counter((r.device, r.purpose) for r in rows())
        self.assertEqual([], [row for row, n in told.items() if n > 1])
        tested = {
            (name, purpose)
            for name, one in devices.ALL.items()
            for purpose in one.purposes
        }
        self.assertEqual(sorted(tested), sorted(told))

    def test_each_row_comes_out_as_it_says(self) -> None:
        self.assertEqual(
            [],
            [
                f"{row}: {said}"
                for row in rows()
                if (said := self.differs(row, devices.ALL[row.device]))
            ],
        )

    def differs(self, row: Row, device: devices.Device) -> str:
        """How the verdict differs from a row; empty if it doesn't."""
        answer = self.verdict(device, devices.PURPOSES[row.purpose])
        told = (*answer.obstacles, *answer.remarks)
        said = tuple(sorted({finding.code.id for finding in told}))
        if (answer.state, said) != (row.state, row.codes):
            return f"{answer.state} {said} {[one.message for one in told]}"
        if answer.is_assignable != (row.state in ("ready", "preparable")):
            return f"is_assignable: {answer.is_assignable}"
        if any(
            not finding.hint or finding.subject != devices.AT
            for finding in told
        ):
            return "a finding without a mend, or about something else"
        if bool(answer.unseen) != device.is_picture:
            return f"unseen: {answer.unseen}"
        if answer.obstacles and not row.mend:
            return "no mend in the table"
        return ""

    def verdict(
        self, device: devices.Device, purpose: assignability.Purpose
    ) -> assignability.Verdict:
        """Of what a scan of the device's host sees."""
        known = self.seen.get(id(device))
        if known is None:
            folder = pathlib.Path(tempfile.mkdtemp())
            known = facts.gather(device.build(folder))
            self.seen[id(device)] = known
        at = address.PciAddress.parse(devices.AT)
        function = known.scan.get(at)
        if function is None:
            return assignability.vanished(at, known, device.records)
        return assignability.verdict(function, known, device.records, purpose)


class WhereaboutsTest(base.TestCase):
    """Where a device may be that is tracked where nothing stands."""

    AT = address.PciAddress.parse("0000:01:00.0")

    def said(self, *known: int) -> str:
        """Of four like it on this host, some of which are tracked there."""
        there = [make.function(f"0000:0{bus}:00.0") for bus in range(2, 6)]
        identities = {
            self.AT: there[0].identity,
            **{there[at].address: there[at].identity for at in known},
        }
        found = assignability.vanished(
            self.AT,
            facts.gather(make.scan(*there)),
            assignability.Records(identities=identities),
        )
        return found.blocking[0].message

    def test_three_of_those_that_it_may_be_are_named(self) -> None:
        self.assertTrue(
            self.said().endswith(
                "what was tracked may be 0000:02:00.0, 0000:03:00.0,"
                " 0000:04:00.0 now"
            )
        )

    def test_those_that_are_tracked_themselves_are_told_apart(self) -> None:
        self.assertTrue(self.said(0, 2, 3).endswith("may be 0000:03:00.0 now"))
        self.assertTrue(
            self.said(0, 1, 2, 3).endswith(
                "tracked devices like it: 0000:02:00.0, 0000:03:00.0,"
                " 0000:04:00.0"
            )
        )
