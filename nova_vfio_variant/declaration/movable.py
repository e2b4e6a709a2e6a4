# SPDX-License-Identifier: Apache-2.0
"""Whether a function can be migrated, by what is declared and seen of it."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.host.decide import migration
from nova_vfio_variant.host.observe import migration as observed

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import host_scan
    from nova_vfio_variant.pci import function as host_function


def of_function(
    scan: host_scan.HostScan,
    seen: host_function.PciFunction,
    *,
    managed: bool,
    live_migratable: bool | None,
) -> migration.Movable:
    """Whether a function can be migrated, as if it were its guest's only one.

    :param managed: whether libvirt binds it when its guest starts
    :param live_migratable: what device_spec says; None where it doesn't
    """
    driver = migration.driver_for_guest(
        seen, scan.vfio_aliases, managed=managed
    )
    pf = None if seen.physfn is None else scan.get(seen.physfn)
    state = None if pf is None else observed.qat_state(scan.tree, pf.address)
    lack = migration.lack_of_pf(driver, pf, state)
    if lack is not None:
        kind, why = lack
        return migration.Movable(migration.Answer.NO, why, driver, lack=kind)
    told = observed.read(scan.tree, str(seen.address))
    return migration.declared(
        migration.of_function(seen, driver, told), live_migratable
    )
