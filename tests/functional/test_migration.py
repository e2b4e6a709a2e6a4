# SPDX-License-Identifier: Apache-2.0
"""What of an instance can move with it, and where to."""

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case

PF = "0000:21:00.0"
VFS = ("0000:21:10.0", "0000:21:10.2")
BASE = f"sys/bus/pci/devices/{PF}/"
SPEC = (
    'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
    ' "managed": "no", "live_migratable": "yes" }'
)


class PfTest(cli_case.CliTestCase):
    """A PF whose VFs were made by a driver that knows nothing of them."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("4xxx", ["8086:10c9"], makes_vfs=True)
        self.fake.add_driver("pci-pf-stub", makes_vfs=True)
        self.fake.add_driver("qat_vfio_pci", ["8086:10ca"], vfio=True)
        self.fake.add(
            PF,
            "8086:10c9",
            vfs=2,
            vf_device="10ca",
            vf_offset=128,
            vf_stride=2,
        )
        for path, data in (
            (f"{BASE}driver_override", b"pci-pf-stub"),
            ("sys/bus/pci/drivers/4xxx/unbind", PF.encode()),
            ("sys/bus/pci/drivers_probe", PF.encode()),
            (f"{BASE}sriov_numvfs", b"2"),
        ):
            self.fake.write(path, data)
        self.enterContext(self.fake.plugged_in())

    def declare(self, vfs: int) -> None:
        self.configure(
            SPEC,
            tail="[vfio]\nplacement = embedded\n"
            f'host_spec = {{ "address": "{PF}", "num_vfs": {vfs} }}\n',
        )

    def test_its_mend_works_as_it_is_written(self) -> None:
        self.declare(2)
        (found,) = self.json("config", "check", status=1)
        self.assertEqual("VFIO320", found["code"])
        _, bind = found["hint"].split("; then nova-vfio ")
        self.declare(0)
        self.ok("host", "apply")
        self.ok(*bind.partition(",")[0].split())
        self.declare(2)
        self.ok("host", "apply")
        self.assertEqual([], self.json("config", "check"))
