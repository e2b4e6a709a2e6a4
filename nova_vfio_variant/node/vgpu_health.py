# SPDX-License-Identifier: Apache-2.0
"""How starts of guests on vGPUs go, as those who run them say."""

from __future__ import annotations

import dataclasses
import logging
import typing as ty

from nova_vfio_variant import exception, shown
from nova_vfio_variant.host.observe import mdev
from nova_vfio_variant.node import syncing
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import vgpu_reports, vgpus

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.tracker import mdevs
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)

#: A function, or the UUID of a mediated device, or of who has one of these.
Which = pci_address.PciAddress | str


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What is known of how guests do on one function.

    :param failures: how many count against it
    :param why: why it isn't well; None if it is
    :param instance_uuid: of its assignment, or else of the last report
    :param assignment: the one that it has now, to be reported on; None if it
        has none
    :param last: the last report; None where there is none
    """

    address: pci_address.PciAddress
    health: vgpu_reports.Health
    failures: int = 0
    why: str | None = None
    instance_uuid: str | None = None
    assignment: str | None = None
    last: vgpu_reports.Report | None = None


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
                _assigned(store, which, assignment),
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
            return _standing(store, new.address, reports)

    def standings(self) -> tuple[Standing, ...]:
        """Each function that has a vGPU of ours, or was reported on.

        :raises HostError: the host can't be seen
        :raises StoreError: the store can't be read
        """
        if not self._context.has_state:
            return ()
        with self._context.open_store(read_only=True) as store:
            reports = vgpu_reports.standing(
                store.vgpu_reports.all(), self._context.scan.get
            )
            every = {*reports, *(vgpu.address for vgpu in store.vgpus.all())}
            return tuple(
                _standing(store, address, reports.get(address, ()))
                for address in sorted(every)
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


def suspect(store: tracker_store.Store, ended: vgpus.OurVgpu) -> None:
    """Count a start that nobody reported on as one that failed.

    Of all vGPUs of its instance, which go together.

    Where others are reported on whoever runs guests says how each went. A
    guest that was killed while its vGPU started is the likeliest to have
    wedged it.
    """
    reports = store.vgpu_reports.all()
    told = {
        report.assignment for known in reports.values() for report in known
    }
    for vgpu in store.vgpus.all():
        if (
            reports
            and vgpu.instance_uuid == ended.instance_uuid
            and vgpu.origin is vgpus.Origin.CLAIM
            and vgpu.assignment not in told
        ):
            store.vgpu_reports.add(
                vgpu_reports.Report(
                    vgpu.address,
                    vgpu.assignment,
                    vgpu.instance_uuid,
                    ok=False,
                    at=vgpu_reports.now(),
                    identity=vgpu.identity,
                )
            )


def _standing(
    store: tracker_store.Store,
    address: pci_address.PciAddress,
    reports: vgpu_reports.Known,
) -> Standing:
    health = vgpu_reports.health(reports)
    last = reports[-1] if reports else None
    now = next(
        (vgpu for vgpu in store.vgpus.all() if vgpu.address == address), None
    )
    return Standing(
        address,
        health,
        len(vgpu_reports.failures(reports)),
        None
        if health is vgpu_reports.Health.WELL
        else vgpu_reports.reason(reports),
        (now.instance_uuid if now else None)
        or (last.instance_uuid if last else None),
        now.assignment if now else None,
        last,
    )


def _assigned(
    store: tracker_store.Store, which: Which, assignment: str
) -> vgpu_reports.Report:
    """What is known of an assignment, as a report that says so.

    Those that were reported on are known even where another one followed.

    :raises ClaimError: it isn't known there
    """
    ours = store.vgpus.all()
    for made in store.mdevs.all().values():
        if made.assignment == assignment and _is_meant(made, which):
            return _of_mdev(made)
    known = [
        *(
            vgpu_reports.Report(
                vgpu.address,
                vgpu.assignment,
                vgpu.instance_uuid,
                ok=True,
                at="",
                identity=vgpu.identity,
            )
            for vgpu in ours
        ),
        *(
            report
            for reports in store.vgpu_reports.all().values()
            for report in reports
        ),
    ]
    for report in known:
        if report.assignment == assignment and which in (
            report.address,
            report.instance_uuid,
        ):
            return report
    raise _unknown(
        which,
        assignment,
        [
            vgpu.assignment
            for vgpu in ours
            if which in (vgpu.address, vgpu.instance_uuid)
        ]
        + [
            made.assignment
            for made in store.mdevs.all().values()
            if _is_meant(made, which)
        ],
    )


def _is_meant(made: mdevs.OurMdev, which: Which) -> bool:
    """Whether a mediated device, its instance or its parent is meant."""
    parent, _ = mdev.parse_kind(made.kind)
    return str(which) in (made.uuid, made.instance_uuid, parent)


def _of_mdev(made: mdevs.OurMdev) -> vgpu_reports.Report:
    """What is known of a mediated device's assignment, on its parent.

    :raises ClaimError: its parent is no PCI function
    """
    parent, _ = mdev.parse_kind(made.kind)
    try:
        address = pci_address.PciAddress.parse(parent)
    except ValueError:
        raise exception.ClaimError(
            f"mdev {made.uuid} is made of {parent}, which is no PCI function:"
            " nothing is remembered of it",
            "report on mediated devices of PCI functions alone",
        ) from None
    return vgpu_reports.Report(
        address,
        made.assignment,
        made.instance_uuid,
        ok=True,
        at="",
        identity=made.identity,
    )


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
