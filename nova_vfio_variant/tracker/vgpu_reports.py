# SPDX-License-Identifier: Apache-2.0
"""How starts of guests on vGPUs went, and what that says of the functions.

A function whose guests failed is tried again once, for the guest may be to
blame. What counts is decided whenever it is read, so that another limit
applies to what was reported before it, too.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import itertools
import typing as ty

import sqlalchemy as sa

from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from nova_vfio_variant.tracker import models, tables

#: So many assignments whose guest failed quarantine a function.
LIMIT: ty.Final = 2
#: How many reports of a function are kept.
KEPT: ty.Final = 16

_TABLE = models.vgpu_reports


class Health(enum.StrEnum):
    """What the reports on a function come to."""

    WELL = "well"
    #: Guests failed, fewer than :data:`LIMIT`.
    SUSPECT = "suspect"
    QUARANTINED = "quarantined"


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """How the start of a guest went.

    :param assignment: of the function to the instance, as it was given out
    :param identity: which function it was about; None where nobody knows
    :param at: when it was first reported on, in UTC, as ISO 8601 has it: the
        order of a function's assignments
    """

    address: pci_address.PciAddress
    assignment: str
    instance_uuid: str | None
    ok: bool
    at: str
    identity: function.Identity | None = None

    def is_about(self, identity: function.Identity | None) -> bool:
        """Whether it may be about this function."""
        return (
            self.identity is None
            or identity is None
            or not self.identity.is_another(identity)
        )


Known = tuple[Report, ...]
Reports = ty.Mapping[pci_address.PciAddress, Known]


def standing(
    reports: Reports, there: tables.Look
) -> dict[pci_address.PciAddress, Known]:
    """The reports that are about what is there now. Pure.

    Those on another function that stood at its address say nothing of it.
    """
    found = {}
    for address, known in reports.items():
        seen = there(address)
        identity = None if seen is None else seen.identity
        about = tuple(report for report in known if report.is_about(identity))
        if about:
            found[address] = about
    return found


def added(known: Known, new: Report) -> Known:
    """One function's reports with another one. Pure.

    An assignment has one report, the last; it keeps its place among the
    others.

    :param known: in order of time
    :param new: its time counts where nothing is known of its assignment, and
        as later than all others even where the clock went back
    """
    for place, report in enumerate(known):
        if report.assignment == new.assignment:
            same = dataclasses.replace(new, at=report.at)
            return (*known[:place], same, *known[place + 1 :])
    if known:
        new = dataclasses.replace(new, at=_after(known[-1].at, new.at))
    return (*known, new)[-KEPT:]


def failures(known: Known) -> Known:
    """The reports that count against a function. Pure.

    Success lifts the failure of its own assignment and of those before it.

    :param known: in order of time
    """
    later = itertools.takewhile(lambda report: not report.ok, reversed(known))
    return tuple(later)[::-1]


def health(known: Known) -> Health:
    """What the reports on one function come to. Pure."""
    count = len(failures(known))
    if count >= LIMIT:
        return Health.QUARANTINED
    return Health.SUSPECT if count else Health.WELL


def reason(known: Known) -> str:
    """Why a function is suspect or quarantined, as half a sentence. Pure."""
    counted = failures(known)
    last = counted[-1]
    whose = f" of instance {last.instance_uuid}" if last.instance_uuid else ""
    guests = f"{len(counted)} guests" if len(counted) > 1 else "a guest"
    return f"{guests} failed to start on it, the last one{whose} at {last.at}"


def doubtful(
    reports: Reports, there: tables.Look
) -> dict[pci_address.PciAddress, Health]:
    """The functions that aren't well. Pure."""
    found = {
        address: health(known)
        for address, known in standing(reports, there).items()
    }
    return {
        address: state
        for address, state in found.items()
        if state is not Health.WELL
    }


def unwell(
    reports: Reports, there: tables.Look
) -> dict[pci_address.PciAddress, str]:
    """The functions that are quarantined, and why. Pure."""
    return {
        address: reason(known)
        for address, known in standing(reports, there).items()
        if health(known) is Health.QUARANTINED
    }


class VgpuReports(tables.Part):
    """All of a store."""

    def all(self) -> dict[pci_address.PciAddress, Known]:
        """The reports on each function, in order of time."""
        with self._read() as link:
            found = sorted(
                tables.read(link, _TABLE, Report),
                key=lambda report: (report.address, report.at),
            )
        return {
            address: tuple(reports)
            for address, reports in itertools.groupby(
                found, key=lambda report: report.address
            )
        }

    def add(self, new: Report) -> Known:
        """Record one, and forget the oldest where there are many.

        Those on another function that stood at the address are forgotten,
        too. Hold the lock of the state path.

        :returns: all reports on its function
        """
        before = self.all().get(new.address, ())
        reports = added(
            tuple(known for known in before if known.is_about(new.identity)),
            new,
        )
        with self._write() as link:
            tables.erase(link, _TABLE, address=new.address)
            link.execute(sa.insert(_TABLE), [*map(tables.columns, reports)])
        return reports

    def clear(self, address: pci_address.PciAddress) -> int:
        """Forget what was reported on a function.

        :returns: how many reports there were
        """
        with self._write() as link:
            return tables.erase(link, _TABLE, address=address)


def now() -> str:
    """The time for :attr:`Report.at`."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")


def _after(last: str, at: str) -> str:
    """A time that is later than another one."""
    if at > last:
        return at
    try:
        before = dt.datetime.fromisoformat(last)
        later = before + dt.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return at
    return later.isoformat(timespec="microseconds")
