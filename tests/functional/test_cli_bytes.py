# SPDX-License-Identifier: Apache-2.0
"""Bytes that are no UTF-8 cost what they stand in, and no command."""

import os
import pathlib

from tests.functional import check_host, cli_case

#: No UTF-8, and what a terminal would obey.
BYTES = b"caf\xe9\x1b[31m"
_HOME = "sys/devices/pci0000:00/"
#: The functions of card(vfs=4).
_PF, _OVERRIDE, _DRIVER, _NETDEV, _IDS = (
    f"{_HOME}0000:25:00.{number}" for number in (0, 4, 5, 6, 7)
)
#: Files that say it, and files and folders that are called so.
SAYING = (
    f"{_OVERRIDE}/driver_override",
    f"{_IDS}/modalias",
    f"{_IDS}/uevent",
    f"{_PF}/serial_number",
    f"{_PF}/sriov_vf_device",
    "proc/cmdline",
    "proc/devices",
    "proc/mounts",
    "proc/net/if_inet6",
    "proc/net/route",
    "proc/net/unix",
    "proc/swaps",
    "sys/devices/system/node/node0/cpulist",
    "usr/share/misc/pci.ids",
    "run/udev/data/b8:0",
)
CALLED = (
    f"{_NETDEV}/net/*/flags",
    f"{_NETDEV}/mdev_supported_types/*/name",
    f"{_PF}/net/*/flags",
    "sys/bus/mdev/devices/*/mdev_type/name",
    "sys/bus/pci/devices/*/x",
    "sys/bus/pci/drivers/*/x",
    "sys/bus/vdpa/devices/*/x",
    "sys/class/block/*/dev",
    "sys/class/drm/card*/status",
    "sys/kernel/iommu_groups/*/type",
    "sys/module/vfio_pci_core/holders/*/x",
    "sys/devices/system/node/node*/cpulist",
)
SPEC = (
    'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
    ' "managed": "no" }'
)
ALIAS = (
    'alias = { "name": "nic", "resource_class": "CUSTOM_PCI_8086_10CA",'
    ' "device_type": "type-VF" }'
)
HOST_SPEC = (
    "[vfio]\nhost_spec = "
    '{ "address": "0000:25:00.*", "product_id": "10ca", "driver": "DRIVER" }\n'
)


class BytesTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=4))
        self.prepare("vfio-pci")
        for path in SAYING:
            self.write(path.encode(), BYTES + b"\n")
        for path in CALLED:
            self.write(path.encode().replace(b"*", BYTES), BYTES + b"\n")
        # What modalias doesn't say the ids do.
        for name, text in (
            ("vendor", b"0x8086"),
            ("device", b"0x10ca"),
            ("class", b"0x020000"),
        ):
            self.write(f"{_IDS}/{name}".encode(), text)
        self.write(
            f"lib/modules/{check_host.RELEASE}/modules.alias".encode(),
            b"alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
            b"alias vfio_pci:v00008086d*sv*sd*bc*sc*i* " + BYTES + b"\n",
        )
        driver = pathlib.Path("host", _DRIVER, "driver")
        driver.unlink()
        os.symlink(b"../../../bus/pci/drivers/" + BYTES, driver)

    def prepare(self, driver: str) -> None:
        self.configure(SPEC, ALIAS, tail=HOST_SPEC.replace("DRIVER", driver))

    def write(self, path: bytes, data: bytes) -> None:
        whole = b"host/" + path
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(data)

    def looks(self) -> None:
        """What only reads says something of each function."""
        for kind in ("table", "json", "yaml", "csv", "value"):
            listed = self.ok("host", "list", "-f", kind)
            self.assertNotIn("\x1b", listed.out + listed.err)
            for number in (0, 4, 5, 6, 7):
                self.assertIn(f"0000:25:00.{number}", listed.out)
        for number in (4, 5, 6, 7):
            address = f"0000:25:00.{number}"
            for kind in ("table", "json", "yaml", "shell"):
                self.ok("host", "show", address, "-f", kind)
            self.ok("config", "explain", address)
        shown = self.json("host", "show", "0000:25:00.5")
        self.assertEqual("caf\udce9\x1b[31m", shown["driver"])
        shown = self.json("host", "show", "0000:25:00.6")
        self.assertEqual(["caf\udce9\x1b[31m"], shown["netdevs"])
        self.ok("config", "check", status=1)
        self.ok("config", "check", "-fjson", status=1)
        self.ok("config", "suggest")

    def test_a_host_is_looked_at_and_recorded_all_the_same(self) -> None:
        self.looks()
        for words in ((), ("--identities",)):
            self.ok("host", "snapshot", "it.tar.gz", *words)
            self.options[1] = "--host-root=it.tar.gz"
            self.looks()
            self.options[1] = "--host-root=host"

    def test_its_devices_are_tracked_published_and_claimed(self) -> None:
        self.ok("device", "sync")
        told = {
            device["address"]: device["extra_info"]
            for device in self.json("device", "list")
        }
        self.assertEqual(4, len(told))
        self.assertEqual("caf\udce9\x1b[31m", told["0000:25:00.5"]["driver"])
        self.ok("device", "show", "0000:25:00.5")
        self.ok("inventory", "show")
        self.ok("inventory", "report")
        self.ok("inventory", "diff")
        self.ok("claim", "create", "--instance", cli_case.ONE, "--alias=nic:3")
        self.ok("guest", "xml", "--instance", cli_case.ONE)
        self.ok("claim", "delete", cli_case.ONE, "--force")

    def test_what_could_not_be_put_back_is_refused_and_not_changed(
        self,
    ) -> None:
        self.ok("host", "snapshot", "it.tar.gz")
        self.options[1] = "--host-root=it.tar.gz"
        for driver, kept in (("host", "0000:25:00.4"), (None, "0000:25:00.5")):
            self.prepare(driver or "vfio-pci")
            said = self.ok("host", "plan", status=2).err
            self.assertIn(f"error: {kept}: its driver", said)
            self.assertIn("could not be put back [VFIO562]", said)
            self.assertNotIn("\x1b", said)
