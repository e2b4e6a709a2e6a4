# SPDX-License-Identifier: Apache-2.0
"""Rules about devices that are declared to move with their guests.

Each finding stands at ``live_migratable``, and is about all devices of the
entry that have the same fault.
"""

from __future__ import annotations

import collections
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import migration_codes as codes
from nova_vfio_variant.declaration import facts, movable
from nova_vfio_variant.declaration import verdicts as host_verdicts
from nova_vfio_variant.host.decide import migration
from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import spec as pci_spec

_BY_LACK: ty.Final = {
    migration.Lack.DRIVER: codes.PF_FOR_MIGRATION,
    migration.Lack.UP: codes.PF_IS_DOWN,
}
_MLX5: ty.Final = "mlx5_vfio_pci"


def migratable(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """What keeps devices that are declared migratable from being so."""
    scan = given.scan
    if scan is None:
        return
    for spec, found in given.of_guests():
        # Of a port's device Nova ignores live_migratable.
        if not spec.live_migratable or host_verdicts.goes_to_port(spec):
            continue
        because: dict[
            tuple[finding.Code, str, str | None],
            list[host_function.PciFunction],
        ] = collections.defaultdict(list)
        for seen in found:
            reason = _against(scan, seen, spec)
            if reason is not None:
                because[reason].append(seen)
        for (code, why, hint), those in because.items():
            yield facts.on_spec(
                code,
                f"{facts.named(those)} {facts.are(those)} to be migrated, and"
                f" {why}",
                spec,
                "live_migratable",
                str(those[0].address),
                hint,
            )


def _against(
    scan: host_scan.HostScan,
    seen: host_function.PciFunction,
    spec: pci_spec.DeviceSpec,
) -> tuple[finding.Code, str, str | None] | None:
    """What is against it: the code, half a sentence, and a closer hint."""
    found = movable.of_function(
        scan,
        seen,
        managed=host_verdicts.is_managed(spec),
        live_migratable=True,
    )
    if found.driver is None:
        # That it is on no VFIO driver another rule says.
        return None
    if found.lack is not None:
        code = _BY_LACK[found.lack]
        return (
            code,
            found.reason,
            code.mend.replace("PF -", f"{seen.physfn} -"),
        )
    is_mlx5 = found.driver.replace("-", "_") == _MLX5
    if found.answer is migration.Answer.NO:
        hint = codes.MLX5_MIGRATABLE.mend if is_mlx5 else None
        return codes.DRIVER_CANT_MOVE, found.reason, hint
    if is_mlx5 and found.answer is migration.Answer.POSSIBLE:
        why = "whether devlink made it migratable before"
        why += f" {found.driver} took it can't be seen here"
        return codes.MLX5_MIGRATABLE, why, None
    return None


RULES: tuple[facts.Rule, ...] = (migratable,)
