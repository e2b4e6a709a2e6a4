# SPDX-License-Identifier: Apache-2.0
"""Configuration and host, put together for the rules."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.conf import located
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.observe import host_scan, vpd
from nova_vfio_variant.pci import alias_parse, matching, parse

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import spec as pci_spec


def gather(
    conf: located.Config,
    scan: ty.Callable[[], host_scan.HostScan] | None = None,
) -> facts.CheckInput:
    """What a configuration says, and what the host has.

    :param scan: looks at the host; None to leave out what needs it
    :raises HostError: the host can't be seen
    """
    specs, spec_findings = parse.parse_device_specs(
        located.values(conf, "pci", "device_spec")
    )
    in_placement = ("filter_scheduler", "pci_in_placement")
    aliases, alias_findings = alias_parse.parse_aliases(
        # What is right in an alias hangs on that option.
        ()
        if in_placement in conf.at_fault
        else located.values(conf, "pci", "alias"),
        in_placement=conf.lookup(*in_placement),
    )
    given = facts.CheckInput.of(
        conf, specs, aliases, (*conf.faults, *spec_findings, *alias_findings)
    )
    return given if scan is None else on_host(given, scan())


def on_host(
    given: facts.CheckInput, scan: host_scan.HostScan
) -> facts.CheckInput:
    """What a configuration says, and what the host has.

    :param given: what the configuration says
    """
    return dataclasses.replace(
        given, scan=with_serial_numbers(scan, given.specs)
    )


def with_serial_numbers(
    scan: host_scan.HostScan, specs: ty.Sequence[pci_spec.DeviceSpec]
) -> host_scan.HostScan:
    """A scan, with cards' serial numbers where a spec asks for them."""
    remote = [spec for spec in specs if matching.remote_managed(spec)]
    if not remote:
        return scan
    return vpd.with_serial_numbers(
        scan,
        lambda function: any(
            spec.vendor_id in {None, function.vendor_id}
            and spec.product_id in {None, function.product_id}
            for spec in remote
        ),
    )
