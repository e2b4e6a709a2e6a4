# SPDX-License-Identifier: Apache-2.0
"""The arguments of hypervisors that give devices to a guest."""

import pathlib

from tests import sample_hosts
from tests.functional import check_host, cli_case, vgpu_case


def arguments(address: str, number: int, more: str = "") -> list[str]:
    """QEMU's, of a function."""
    word = address.replace(":", "-").replace(".", "-")
    port = f"port-{word}"
    return [
        "-device",
        f"pcie-root-port,id={port},bus=pcie.0,chassis={number},slot={number}",
        "-device",
        f"vfio-pci,host={address},id=hostdev-{word},bus={port}{more}",
    ]


class FunctionsTest(cli_case.CliTestCase):
    """An instance has two VFs of a card."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(0x21, vfs=4))
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
            ' "managed": "no" }',
            'alias = { "name": "nic", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )
        self.ok("device", "sync")
        [claim] = self.json(
            *("claim", "create", "--instance", cli_case.ONE),
            *("--alias", "nic:2"),
        )
        self.mine = sorted(claim["addresses"])

    def test_each_line_has_a_device_and_its_root_port(self) -> None:
        done = self.ok("guest", "qemu", "--instance", cli_case.ONE)
        self.assertEqual(
            [
                " ".join(arguments(address, 16 + at))
                for at, address in enumerate(self.mine)
            ],
            done.out.splitlines(),
        )

    def test_a_program_gets_a_list_and_where_each_device_is(self) -> None:
        told = self.json("guest", "qemu", "--instance", cli_case.ONE)
        self.assertEqual(
            {
                "arguments": [
                    word
                    for at, address in enumerate(self.mine)
                    for word in arguments(address, 16 + at)
                ],
                "devices": [
                    {
                        "id": f"hostdev-{word}",
                        "root_port": f"port-{word}",
                        "name": address,
                        "path": f"/sys/bus/pci/devices/{address}",
                    }
                    for address in self.mine
                    for word in [address.replace(":", "-").replace(".", "-")]
                ],
            },
            told,
        )

    def test_a_program_is_told_of_a_failure(self) -> None:
        done = self.ok(
            *("guest", "qemu", "--instance", cli_case.TWO, "-f", "json"),
            status=2,
        )
        self.assertEqual("", done.out)
        self.assertIn('"error"', done.err.splitlines()[-1])

    def test_cloud_hypervisor_has_no_root_ports(self) -> None:
        told = self.json(
            "guest", "cloud-hypervisor", "--instance", cli_case.ONE
        )
        self.assertEqual(
            [
                "--device",
                *(
                    f"path={device['path']}/,id={device['id']}"
                    for device in told["devices"]
                ),
            ],
            told["arguments"],
        )
        self.assertEqual(
            [(address, None) for address in self.mine],
            [(at["name"], at["root_port"]) for at in told["devices"]],
        )

    def test_iommufd_is_one_object_that_each_device_names(self) -> None:
        words = ("guest", "qemu", "--instance", cli_case.ONE, "--iommufd")
        wanted = [["-object", "iommufd,id=iommufd0"]] + [
            arguments(address, 16 + at, ",iommufd=iommufd0")
            for at, address in enumerate(self.mine)
        ]
        self.assertEqual(
            [" ".join(line) for line in wanted],
            self.ok(*words).out.splitlines(),
        )
        self.assertEqual(
            [word for line in wanted for word in line],
            self.json(*words)["arguments"],
        )

    def test_without_the_kernels_iommufd_it_is_refused(self) -> None:
        devices = pathlib.Path("host/sys/bus/pci/devices")
        for file in (devices / self.mine[1]).glob("vfio-dev/*/dev"):
            file.unlink()
        said = self.fails(
            "guest", "qemu", "--instance", cli_case.ONE, "--iommufd"
        )
        self.assertIn(f"{self.mine[1]} has no file for iommufd", said)
        self.assertIn("this kernel makes none", said)
        self.assertIn("hint: without --iommufd", said)


class UnboundTest(cli_case.CliTestCase):
    def test_what_no_vfio_driver_has_is_refused_with_what_binds_it(
        self,
    ) -> None:
        fake = sample_hosts.with_igb(self.folder / "host")
        self.enterContext(fake.plugged_in())
        fake.writer().set_numvfs(sample_hosts.PF, 1)
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
            ' "managed": "no" }'
        )
        self.ok("device", "sync")
        [vf] = (device["address"] for device in self.json("device", "list"))
        words = ("guest", "qemu", "--address", vf, "--iommufd")
        done = self.ok(*words, status=2)
        self.assertIn(
            f"{vf} has no file for iommufd: its driver is igbvf", done.err
        )
        self.assertIn(f"'nova-vfio device bind {vf}' binds it", done.err)
        self.ok("device", "bind", vf)
        self.assertIn("this kernel makes none", self.fails(*words))


class VendorVgpuTest(vgpu_case.VgpuCase):
    def test_cloud_hypervisor_takes_no_vendors_vgpu(self) -> None:
        self.ok("device", "sync")
        self.set_type("557")
        words = ("--address", vgpu_case.VF)
        done = self.run_cli("guest", "cloud-hypervisor", *words)
        self.assertEqual((2, ""), (done.status, done.out))
        self.assertIn(
            "takes no vendor's vGPU device, as 0000:41:00.4 is", done.err
        )
        self.assertIn("vfio-pci", self.run_cli("guest", "qemu", *words).out)
