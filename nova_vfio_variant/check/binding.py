# SPDX-License-Identifier: Apache-2.0
"""Rules about the drivers that devices are bound to.

Each finding stands at the entry of device_spec that names the devices, and
is about all of its devices that have the same fault.
"""

from __future__ import annotations

import collections
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.declaration import verdicts as host_verdicts
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import drivers, host_scan
from nova_vfio_variant.pci import function as host_function

#: What the host, or a program on it, uses a function for.
USES: ty.Final = frozenset(
    {
        host_codes.NETWORK_IN_USE,
        host_codes.STORAGE_IN_USE,
        host_codes.DISPLAY_IN_USE,
        host_codes.IS_OPEN,
    }
)


def not_prepared(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """``managed: no`` counts on a VFIO driver that is bound already."""
    if given.verdicts is None:
        return
    for spec, found in given.of_guests(managed=False):
        by_driver = collections.defaultdict(list)
        for seen in found:
            if any(
                obstacle.code is host_codes.NOT_BOUND
                for obstacle in given.verdicts.of(seen).obstacles
            ):
                by_driver[seen.driver].append(seen)
        for driver, those in by_driver.items():
            yield facts.on_spec(
                codes.NOT_PREPARED,
                f"managed is no, and {facts.named(those)} {facts.are(those)} on"
                f" {_bound(driver)}: libvirt will refuse to start a guest with"
                f" {facts.it(those)}",
                spec,
                "managed",
                str(those[0].address),
                _preparing(given, those),
            )


def _preparing(
    given: facts.CheckInput, those: ty.Sequence[host_function.PciFunction]
) -> str:
    """What to do with devices that are on no VFIO driver."""
    assert given.verdicts is not None
    for seen in those:
        for obstacle in given.verdicts.of(seen).blocking:
            if obstacle.code in USES:
                return (
                    f"The host uses {seen.address} ({obstacle.message}): name only"
                    " devices that it can do without."
                )
    driver = made_for(given.scan, those[0]) or drivers.VFIO_PCI
    return (
        f"Bind {facts.it(those)} to {driver} before nova-compute starts, or"
        " leave it to libvirt with managed yes."
    )


def no_vfio_dev(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """A driver that is named as a VFIO driver, and isn't one to libvirt."""
    if given.verdicts is None:
        return
    for spec, found in given.of_guests():
        those = [
            seen
            for seen in found
            if any(
                obstacle.code is host_codes.NO_VFIO_DEV
                for obstacle in given.verdicts.of(seen).blocking
            )
        ]
        if those:
            yield facts.on_spec(
                host_codes.NO_VFIO_DEV,
                f"{facts.named(those)} on {_bound(those[0].driver)}"
                f" {facts.have(those)} no"
                " vfio-dev/, by which libvirt knows a VFIO driver",
                spec,
                "managed",
                str(those[0].address),
            )


def variant_lost(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """``managed: yes`` takes a device from its variant driver."""
    for spec, found in given.of_guests(managed=True):
        those = [seen for seen in found if seen.variant_driver is not None]
        if those:
            why = "managed is yes"
            if not spec.managed:
                why = "managed is not set, which is yes"
            hint = None
            if host_verdicts.goes_to_port(spec):
                key = "physical_network"
                if not spec.tags.get(key):
                    key = "remote_managed"
                why = f"with a {key} it is managed, whatever it says"
                hint = f"Leave {key} out, or bind to vfio-pci."
            yield facts.on_spec(
                codes.VARIANT_LOST,
                f"{facts.named(those)} {facts.are(those)} on the variant driver"
                f" {those[0].variant_driver}, and {why}: libvirt binds the device anew,"
                " and migration may be lost",
                spec,
                "managed",
                str(those[0].address),
                hint,
            )


def better_driver(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """A device on another VFIO driver than the one made for it."""
    for spec, found in given.of_guests(managed=False):
        by_module = collections.defaultdict(list)
        for seen in found:
            module = made_for(given.scan, seen)
            if (
                module is not None
                and seen.vfio_driver is not None
                and not drivers.same_name(module, seen.vfio_driver)
            ):
                by_module[module].append(seen)
        for module, those in by_module.items():
            yield facts.on_spec(
                codes.BETTER_DRIVER,
                f"{facts.named(those)} {facts.are(those)} on {those[0].driver},"
                f" and the module {module} holds a VFIO driver made for"
                f" {facts.it(those)}",
                spec,
                "managed",
                str(those[0].address),
            )


def _bound(driver: str | None) -> str:
    return f"driver {driver}" if driver else "no driver"


def made_for(
    scan: host_scan.HostScan | None, seen: host_function.PciFunction
) -> str | None:
    """The module of the variant driver made for a function, if any."""
    if scan is None or seen.modalias is None:
        return None
    module = drivers.best_variant(seen.modalias, scan.vfio_aliases)
    if module is None or drivers.same_name(module, drivers.VFIO_PCI):
        return None
    return module


RULES: tuple[facts.Rule, ...] = (
    not_prepared,
    no_vfio_dev,
    variant_lost,
    better_driver,
)
