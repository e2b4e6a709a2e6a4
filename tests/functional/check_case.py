# SPDX-License-Identifier: Apache-2.0
"""Cases of config check, each in a folder of its own."""

import dataclasses
import os
import pathlib
import tempfile
import typing as ty

import fixtures

from nova_vfio_variant import exception, finding
from nova_vfio_variant.check import engine
from nova_vfio_variant.conf import loader, located
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.observe import host_scan, kernels
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import alias_parse, parse
from nova_vfio_variant.placement import provider
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import sync
from tests import base
from tests.functional import check_cases, check_host


class Checked(base.TestCase):
    """Checks a case in a folder of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(os.chdir, pathlib.Path.cwd())
        os.chdir(tempfile.mkdtemp())

    def check(self, case: check_cases.Case) -> tuple[finding.Finding, ...]:
        for name, value in case.environment.items():
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        if case.conf is not None:
            data = case.conf
            pathlib.Path("nova.conf").write_bytes(
                data if isinstance(data, bytes) else data.encode()
            )
        scan = None
        if case.functions is not None:
            scan = check_host.build(
                pathlib.Path("host"), case.functions, case.files, case.links
            )
        try:
            return engine.check(self.given(case, scan))
        except exception.ConfigError as error:
            return error.findings

    def given(
        self, case: check_cases.Case, scan: host_scan.HostScan | None
    ) -> facts.CheckInput:
        conf = loader.load(["nova.conf"] if case.named else [])
        specs, found = parse.parse_device_specs(
            located.values(conf, "pci", "device_spec")
        )
        aliases, more = alias_parse.parse_aliases(
            located.values(conf, "pci", "alias"),
            in_placement=conf.filter_scheduler.pci_in_placement,
        )
        devices: ty.Sequence[tracked.Device] = ()
        if case.claimed and scan is not None:
            devices = [
                dataclasses.replace(
                    device,
                    status=tracked.Status.ALLOCATED,
                    instance_uuid=case.claimed[str(device.address)],
                )
                if str(device.address) in case.claimed
                else device
                for device in sync.desired(specs, scan.functions)
            ]
            for place, device in enumerate(devices):
                ids = case.was.get(str(device.address))
                if ids is not None and device.identity is not None:
                    vendor, _, product = ids.partition(":")
                    devices[place] = dataclasses.replace(
                        device,
                        identity=dataclasses.replace(
                            device.identity,
                            vendor_id=vendor,
                            product_id=product,
                        ),
                    )
        published = None
        if case.published is not None:
            published = facts.Published(
                {
                    name: provider.Published(
                        name,
                        name,
                        1,
                        {
                            rc: {
                                "total": total,
                                "max_unit": total,
                                "reserved": 0,
                            }
                        },
                        traits,
                        {rc: sum(consumers.values())},
                    )
                    for name, (rc, total, traits, consumers) in (
                        case.published.items()
                    )
                },
                {
                    name: {one: {rc: n} for one, n in consumers.items()}
                    for name, (rc, _, _, consumers) in case.published.items()
                },
            )
        given = dataclasses.replace(
            facts.CheckInput.of(conf, specs, aliases, (*found, *more), scan),
            recorded=devices,
            vgpus=(),
            published=published,
            unreachable=exception.PlacementUnreachable(case.unreachable)
            if case.unreachable
            else None,
            unseen=case.unseen,
            records=assignability.Records(
                cordoned=_by_address(case.cordoned),
                uncordoned=_by_address(case.uncordoned),
            ),
            next_kernel=None
            if case.kernel is None or scan is None
            else kernels.read(scan.tree, case.kernel),
        )
        if case.orphans:
            # A scan knows a VF by its PF, so that it has no such VFs.
            vars(given)["desired"] = [
                dataclasses.replace(device, parent_addr=None)
                if str(device.address) in case.orphans
                else device
                for device in given.desired
            ]
        return given


def _by_address(
    texts: ty.Mapping[str, str],
) -> dict[pci_address.PciAddress, str]:
    return {pci_address.PciAddress.parse(at): why for at, why in texts.items()}
