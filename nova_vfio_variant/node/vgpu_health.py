# SPDX-License-Identifier: Apache-2.0
"""How starts of guests on vGPUs go, as those who run them say."""

from __future__ import annotations

import dataclasses
import logging
import typing as ty

from nova_vfio_variant import exception, shown
from nova_vfio_variant.node import syncing
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import mdev_names
from nova_vfio_variant.tracker import mdevs, vgpu_reports, vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)

#: A function, or the UUID of a mediated device, or of who has one of these.
Which = pci_address.PciAddress | str
_Made = vgpus.OurVgpu | mdevs.OurMdev


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What is known of how guests do on one function.

    :param failures: how many count against it
    :param why: why it isn't well; None if it is
    :param instance_uuid: of its assignment, or else of the last report
    :param assignment: the one that it has now, to be reported on; None if it
        has none
    :param last: the report on that assignment, or else the last one on the
        function; None where there is none
    :param mdev: the UUID of the mediated device that is assigned; None where
        it is the function itself
    """

    address: pci_address.PciAddress
    health: vgpu_reports.Health
    failures: int = 0
    why: str | None = None
    instance_uuid: str | None = None
    assignment: str | None = None
    last: vgpu_reports.Report | None = None
    mdev: str | None = None


class VgpuHealth:
    """The health of a node's vGPUs.

    :param on: what one call sees of the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on

    def report(self, which: Which, assignment: str, *, ok: bool) -> Standing:
        """Say how the start of a guest went.

        Said again, the last word on an assignment counts. A guest that was
        killed while it started has failed: that is what wedges a VF.

        Of a mediated device it is its parent that counts.

        :param which: the function, or the UUID of the mediated device, or
            that of the instance
        :param assignment: as it was given out, letter by letter
        :returns: what is known of the function now
        :raises ClaimError: no such assignment is known there, or the parent
            of the mediated device is no PCI function
        :raises LockTimeout: another command writes
        :raises StoreError: the store can't be read or written
        """
        if isinstance(which, str):
            which = which.lower()
        if not self._context.has_state:
            raise _unknown(which, assignment, ())
        with syncing.locked(self._context) as store:
            new = dataclasses.replace(
                _known(store, which, assignment),
                ok=ok,
                at=vgpu_reports.now(),
            )
            reports = store.vgpu_reports.add(new)
            _LOG.info(
                "vGPU %s: assignment %s %s",
                new.address,
                assignment,
                "succeeded" if ok else "failed",
            )
            now = _of_function(store, new.address, reports)
            return next(
                (said for said in now if said.assignment == assignment), now[0]
            )

    def standings(self) -> tuple[Standing, ...]:
        """Each function that has a vGPU of ours, or was reported on.

        One that mediated devices are made of stands there for each of them.

        :raises HostError: the host can't be seen
        :raises StoreError: the store can't be read
        """
        if not self._context.has_state:
            return ()
        with self._context.open_store(read_only=True) as store:
            reports = vgpu_reports.standing(
                store.vgpu_reports.all(), self._context.scan.get
            )
            every = {*reports, *(now.address for _, now in _assigned(store))}
            return tuple(
                said
                for address in sorted(every)
                for said in _of_function(
                    store, address, reports.get(address, ())
                )
            )

    def clear(self, address: pci_address.PciAddress) -> int:
        """Forget what was reported on a function: it is well again.

        :returns: how many reports there were
        :raises LockTimeout: another command writes
        :raises StoreError: the store can't be read or written
        """
        if not self._context.has_state:
            return 0
        with syncing.locked(self._context) as store:
            count = store.vgpu_reports.clear(address)
            if count:
                _LOG.info("vGPU %s: its reports are forgotten", address)
            return count


def suspect(store: tracker_store.Store, ended: _Made) -> None:
    """Count a start that nobody reported on as one that failed.

    Of all vGPUs of its instance, which go together.

    Where others are reported on whoever runs guests says how each went. A
    guest that was killed while its vGPU started is the likeliest to have
    wedged it. Nothing is said by the end of what somebody removed.
    """
    if not ended.assignment:
        return
    reports = store.vgpu_reports.all()
    told = {
        report.assignment for known in reports.values() for report in known
    }
    for made, now in _assigned(store) if reports else ():
        if (
            now.instance_uuid == ended.instance_uuid
            and now.assignment not in told
            and (
                isinstance(made, mdevs.OurMdev)
                or made.origin is vgpus.Origin.CLAIM
            )
        ):
            store.vgpu_reports.add(
                dataclasses.replace(now, ok=False, at=vgpu_reports.now())
            )


def _of_function(
    store: tracker_store.Store,
    address: pci_address.PciAddress,
    reports: vgpu_reports.Known,
) -> list[Standing]:
    """What is known of one function, for each assignment that it has.

    :returns: at least one
    """
    health = vgpu_reports.health(reports)
    why = None
    if health is not vgpu_reports.Health.WELL:
        why = vgpu_reports.reason(reports)
    of_function = Standing(
        address,
        health,
        len(vgpu_reports.failures(reports)),
        why,
        reports[-1].instance_uuid if reports else None,
        last=reports[-1] if reports else None,
    )
    on = {report.assignment: report for report in reports}
    return [
        dataclasses.replace(
            of_function,
            instance_uuid=now.instance_uuid or of_function.instance_uuid,
            assignment=now.assignment,
            last=on.get(now.assignment, of_function.last),
            mdev=_mdev(made),
        )
        for made, now in _assigned(store)
        if now.address == address
    ] or [of_function]


def _assigned(
    store: tracker_store.Store,
) -> list[tuple[_Made, vgpu_reports.Report]]:
    """Each assignment that counts for a function, as a report that knows it.

    One of a mediated device counts for its parent, if that is a function.
    """
    found: list[tuple[_Made, vgpu_reports.Report]] = [
        (made, _report(made, made.address)) for made in store.vgpus.all()
    ]
    for made in store.mdevs.all().values():
        address = _parent(made)
        if address is not None and not made.goes:
            found.append((made, _report(made, address)))
    return found


def _report(
    made: _Made, address: pci_address.PciAddress
) -> vgpu_reports.Report:
    return vgpu_reports.Report(
        address,
        made.assignment,
        made.instance_uuid,
        ok=True,
        at="",
        identity=made.identity,
    )


def _known(
    store: tracker_store.Store, which: Which, assignment: str
) -> vgpu_reports.Report:
    """What is known of an assignment, as a report that says so.

    Those that were reported on are known even where another one followed.

    :raises ClaimError: it isn't known there
    """
    now = [
        report
        for made, report in _assigned(store)
        if which in (report.address, report.instance_uuid, _mdev(made))
    ]
    before = (
        report
        for reports in store.vgpu_reports.all().values()
        for report in reports
        if which in (report.address, report.instance_uuid)
    )
    for report in (*now, *before):
        if report.assignment == assignment:
            return report
    of_none = [
        made
        for made in store.mdevs.all().values()
        if which in (made.uuid, made.instance_uuid) and _parent(made) is None
    ]
    for made in of_none:
        if made.assignment == assignment:
            raise exception.ClaimError(
                f"mdev {made.uuid} is made of {made.kind.partition('/')[0]},"
                " which is no PCI function: nothing is remembered of it",
                "report on mediated devices of PCI functions alone",
            )
    has = [report.assignment for report in now]
    raise _unknown(
        which,
        assignment,
        has + [made.assignment for made in of_none if not made.goes],
    )


def _mdev(made: _Made) -> str | None:
    """The UUID of a mediated device."""
    return made.uuid if isinstance(made, mdevs.OurMdev) else None


def _parent(made: mdevs.OurMdev) -> pci_address.PciAddress | None:
    """The function that a mediated device is made of; None if it is none."""
    parent, _ = mdev_names.parse_kind(made.kind)
    try:
        return pci_address.PciAddress.parse(parent)
    except ValueError:
        return None


def _unknown(
    which: Which, assignment: str, has: ty.Sequence[str]
) -> exception.ClaimError:
    """The error that something has no such assignment."""
    whose = (
        which
        if isinstance(which, pci_address.PciAddress)
        else (f"instance {which}")
    )
    now = f"; it has {', '.join(has)} now" if has else "; it has none now"
    return exception.ClaimError(
        f"{whose} has no assignment {shown.short(assignment, 100)!r}{now}",
        "'nova-vfio vgpu health -f json' and 'nova-vfio claim list -f json' show"
        " the assignments; report before the claim is deleted",
    )
