# SPDX-License-Identifier: Apache-2.0
"""Can a device move to another host with its guest? Pure.

The kernel's word on a device is the only yes. Else its driver's name leaves a
no or a possible: whether this very device can hangs on firmware, on the PF,
and on how it was set up before its driver took it.
"""

from __future__ import annotations

import dataclasses
import enum
import typing as ty

from nova_vfio_variant.host.observe import drivers
from nova_vfio_variant.host.observe import migration as observed_migration

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import function as observed


class Answer(enum.StrEnum):
    """Whether a device can be migrated."""

    YES = "yes"
    POSSIBLE = "possible"
    NO = "no"


class Lack(enum.StrEnum):
    """What a PF lacks for its VFs to be migrated."""

    DRIVER = "driver"
    UP = "up"


@dataclasses.dataclass(frozen=True, slots=True)
class VariantDriver:
    """What a VFIO driver can, as far as its name tells.

    :param can: it can migrate some devices
    :param p2p: those stop to write to each other first, without which no
        guest that has several is migrated; None where it hangs on more
    :param pfs: names of drivers, one of which the PF has to be on
    """

    can: bool
    p2p: bool | None = None
    pfs: tuple[str, ...] = ()


#: The drivers below drivers/vfio/pci in Linux 7.3, by their names with ``_``
#: for ``-``. Which functions each is for, ``modules.alias`` says.
DRIVERS: ty.Final[ty.Mapping[str, VariantDriver]] = {
    "mlx5_vfio_pci": VariantDriver(can=True, p2p=True, pfs=("mlx5_core",)),
    "hisi_acc_vfio_pci": VariantDriver(
        can=True, p2p=False, pfs=("hisi_zip", "hisi_sec2", "hisi_hpre")
    ),
    "pds_vfio_pci": VariantDriver(can=True, p2p=True, pfs=("pds_core",)),
    "virtio_vfio_pci": VariantDriver(can=True, p2p=True, pfs=("virtio-pci",)),
    "nvgrace_gpu_vfio_pci": VariantDriver(can=False),
    "qat_vfio_pci": VariantDriver(
        can=True, p2p=True, pfs=("4xxx", "420xx", "6xxx")
    ),
    "xe_vfio_pci": VariantDriver(can=True, pfs=("xe",)),
    "ism_vfio_pci": VariantDriver(can=False),
    "vfio_pci": VariantDriver(can=False),
    # Of vGPUs, which no module of that folder has.
    "nvidia": VariantDriver(can=True),
    "vfio_ap": VariantDriver(can=False),
    "vfio_ccw": VariantDriver(can=False),
}
_UNKNOWN: ty.Final = VariantDriver(can=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Movable:
    """Whether a device can be migrated, and why.

    :param answer: in three values
    :param reason: half a sentence
    :param driver: by which its guest has it; None where it has none
    :param p2p: see :class:`VariantDriver`; None where it isn't known
    :param lack: what of its PF is the reason, if that is
    """

    answer: Answer
    reason: str
    driver: str | None = None
    p2p: bool | None = None
    lack: Lack | None = None


def driver_for_guest(
    function: observed.PciFunction,
    aliases: ty.Iterable[tuple[str, str]],
    *,
    managed: bool,
) -> str | None:
    """The VFIO driver by which a guest has a function; None if it can't.

    A managed one libvirt binds anew, since 10.0 to the driver that fits best
    (virHostdevPreparePCIDevices); one of a vendor's vGPUs nobody binds.

    :param aliases: as :func:`drivers.read_aliases` gives them
    :returns: a driver's name, or its module's
    """
    if function.has_vgpu_folder:
        return function.driver
    if not managed:
        return function.vfio_driver
    best = drivers.best_variant(function.modalias or "", aliases)
    if best is None or drivers.same_name(best, drivers.VFIO_PCI):
        return drivers.VFIO_PCI
    return best


def known(driver: str) -> VariantDriver:
    """What is known of a VFIO driver by its name."""
    return DRIVERS.get(driver.replace("-", "_"), _UNKNOWN)


def of_function(
    function: observed.PciFunction,
    driver: str | None,
    told: observed_migration.Told,
) -> Movable:
    """Whether a function can be migrated.

    :param driver: as :func:`driver_for_guest` gives it
    :param told: what the kernel tells of the function as it is now
    """
    if driver is None:
        now = function.driver
        return Movable(
            Answer.NO,
            "it is not managed, and on no VFIO driver but"
            f" {'driver ' + now if now else 'none'}",
        )
    is_on_it = function.driver is not None and drivers.same_name(
        driver, function.driver
    )
    return of_driver(driver, told if is_on_it else None)


def lack_of_pf(
    driver: str | None, pf: observed.PciFunction | None, state: str | None
) -> tuple[Lack, str] | None:
    """What the PF of a function lacks for it to be migrated.

    Variant drivers of VFs ask the driver of their PF for the VF's state.

    :param driver: as :func:`driver_for_guest` gives it
    :param pf: None where it has none
    :param state: of a QAT PF, see :func:`observed_migration.qat_state`
    :returns: what it is, and half a sentence; None for nothing
    """
    if driver is None or pf is None:
        return None
    pfs = known(driver).pfs
    if pfs and not any(
        drivers.same_name(name, pf.driver or "") for name in pfs
    ):
        why = f"{driver} needs the PF {pf.address} on {' or '.join(pfs)}, and"
        return Lack.DRIVER, f"{why} it is on {pf.driver or 'no driver'}"
    if pfs and state == "down":
        return Lack.UP, f"{driver} needs the PF {pf.address} up: it is down"
    return None


def of_driver(driver: str, told: observed_migration.Told | None) -> Movable:
    """What a driver, and the kernel if it tells, make of a device.

    :param told: None where it isn't on that driver yet
    """
    by_name = known(driver)
    p2p = by_name.p2p
    if told is not None and told.features is not None:
        p2p = observed_migration.P2P in told.features
    elif told is not None and told.can and p2p:
        # A name is no word of the kernel's.
        p2p = None
    if told is not None and told.can is False:
        return Movable(
            Answer.NO,
            f"the kernel says that {driver} can't migrate this device, as it"
            " was when the driver took it",
            driver,
        )
    if not by_name.can:
        return Movable(Answer.NO, f"{driver} migrates nothing", driver)
    if told is not None and told.can:
        ways = ", ".join(sorted(told.features or ()))
        return Movable(
            Answer.YES,
            f"the kernel says that {driver} can migrate this device"
            + (f": {ways}" if ways else ""),
            driver,
            p2p,
        )
    if driver.replace("-", "_") not in DRIVERS:
        what = f"whether {driver} can isn't known here"
    else:
        what = f"{driver} can, if the device is set up for it"
    why = "it is not on that driver now" if told is None else "not shown here"
    return Movable(Answer.POSSIBLE, f"{what}; {why}", driver, p2p)


def declared(movable: Movable, live_migratable: bool | None) -> Movable:
    """What a device can that device_spec says more of.

    Nova moves a guest only if each of its devices says so
    (``_check_can_migrate_pci`` in nova/conductor/tasks/live_migrate.py), and
    so it is here without Nova.
    """
    if live_migratable or movable.answer is Answer.NO:
        return movable
    says = "doesn't say live_migratable"
    if live_migratable is not None:
        says = "says live_migratable no"
    return dataclasses.replace(
        movable, answer=Answer.NO, reason=f"its device_spec {says}"
    )


def together(found: ty.Sequence[Movable]) -> tuple[Movable, ...]:
    """What devices can that one guest has.

    Where there are several each has to stop writing to the others first
    (P2P; vfio_multiple_devices_migration_is_supported in QEMU's
    hw/vfio/migration.c).
    """
    if len(found) < 2:
        return tuple(found)
    why = (
        f"its guest has {len(found)} devices, which move only if all have P2P"
    )
    return tuple(_beside_others(movable, why) for movable in found)


def _beside_others(movable: Movable, why: str) -> Movable:
    if movable.answer is not Answer.NO and movable.p2p is False:
        return dataclasses.replace(
            movable,
            answer=Answer.NO,
            reason=f"{why}, and {movable.driver} has none",
        )
    if movable.answer is Answer.YES and movable.p2p is None:
        return dataclasses.replace(
            movable,
            answer=Answer.POSSIBLE,
            reason=f"{why}, which this kernel doesn't tell",
        )
    return movable
