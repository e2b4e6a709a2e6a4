# SPDX-License-Identifier: Apache-2.0
"""Who is what a request says: by what the host shows, and nothing else."""

import pathlib
import tempfile
import typing as ty

from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.node import request_devices
from nova_vfio_variant.pci import request
from tests import base
from tests.functional import check_host
from tests.unit.tracker import samples

GPU = "0000:41:00.0"


class NeedTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        scan = check_host.build(
            pathlib.Path(tempfile.mkdtemp()),
            [
                check_host.Function(
                    GPU,
                    "10de:2236",
                    "030200",
                    "vfio-pci",
                    under="pci0000:40/0000:40:01.0",
                ),
                *check_host.card(0x21, vfs=1, driver=None),
            ],
        )
        self.facts = host_facts.gather(scan)

    def fits(self, **properties: ty.Any) -> set[str]:
        # Tags that are called as properties are, and say otherwise.
        tags = {"vendor": "ffff", "driver": "other", "numa_node": "7"}
        devices = [
            samples.pci(GPU, tags=tags, vendor_id="ffff", numa_node=7),
            samples.vf("0000:21:00.4", "0000:21:00.0", tags=tags),
        ]
        need = request_devices.need(
            request.DeviceRequest(properties=properties),
            devices,
            self.facts,
            {},
            None,
        )
        return {str(address) for address in need.fits}

    def test_a_property_is_what_the_host_shows(self) -> None:
        for key, value in (
            ("vendor", "10de"),
            ("type", "PCI"),
            ("driver", "vfio-pci"),
            ("iommufd", "yes"),
            ("pcie_root", "pci0000:40"),
        ):
            with self.subTest(key):
                self.assertEqual({GPU}, self.fits(**{key: value}))
        vf = {"0000:21:00.4"}
        self.assertEqual(vf, self.fits(pf="0000:21:00.0"))
        self.assertEqual(vf, self.fits(driver="none"))
        self.assertEqual({GPU, *vf}, self.fits(numa_node="0"))

    def test_a_tag_never_says_what_a_fact_says(self) -> None:
        for key, value in (
            ("vendor", "ffff"),
            ("driver", "other"),
            ("numa_node", "7"),
        ):
            self.assertEqual(set(), self.fits(**{key: value}))

    def test_a_name_is_looked_up_where_names_are(self) -> None:
        names = {"card-1": samples.at(GPU)}
        need = request_devices.need(
            request.DeviceRequest(named=("card-1",)),
            [samples.pci(GPU)],
            self.facts,
            names,
            None,
        )
        self.assertEqual({samples.at(GPU)}, need.fits)
