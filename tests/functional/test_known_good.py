# SPDX-License-Identifier: Apache-2.0
"""What is fit for a guest is not kept from it, by any command."""

import pathlib

from nova_vfio_variant.check import codes as check_codes
from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.node import context
from nova_vfio_variant.pci import address
from nova_vfio_variant.pci import codes as pci_codes
from tests.functional import check_host, cli_case, known_good

#: Findings that say that a device can't go to a guest.
_IN_THE_WAY = {
    code.id
    for code in (
        *assignability.LASTING,
        *assignability.MOMENTARY,
        check_codes.IOMMU_OFF,
        check_codes.NO_VFIO_MODULE,
        check_codes.NOT_PREPARED,
        check_codes.CARRIES_HOST,
        check_codes.GROUP_IN_USE,
        check_codes.VGPU_TYPE_UNSET,
        check_codes.NO_IOMMU_GROUP,
        check_codes.FUNCTION_UNREAD,
        host_codes.DISPLAY_IN_USE,
        host_codes.NETWORK_IN_USE,
        host_codes.STORAGE_IN_USE,
        host_codes.MDEV_BELOW,
        host_codes.VDPA_BELOW,
        host_codes.NOT_KNOWN,
        host_codes.VANISHED,
        check_codes.MATCHES_NOTHING,
        pci_codes.ALIAS_MATCHES_NOTHING,
    )
}
_ALIVE = {
    "proc/1/comm": "systemd\n",
    "proc/1/mountinfo": "",
    "proc/1/net/route": "",
    "proc/swaps": "Filename\n",
}
#: Vital product data with a serial number.
_VPD = b"\x90\x08\x00SN\x05MT211\x78"


class KnownGoodTest(cli_case.CliTestCase):
    def prepare(self, name: str) -> known_good.Good:
        """Make one of the hosts, and its nova.conf."""
        good = known_good.ALL[name]
        files = {**(_ALIVE if good.is_alive else {}), **good.files}
        root = pathlib.Path("host")
        check_host.build(root, good.functions, files, good.links)
        (root / "sys/class/block").mkdir(parents=True, exist_ok=True)
        if good.is_alive:
            (root / "proc/1/fd").mkdir()
        if good.serial_at:
            place = root / known_good.home(good.serial_at)
            (place / "vpd").write_bytes(_VPD)
        lines = [f"device_spec = {{ {one} }}" for one in good.specs]
        if good.alias:
            lines.append(f'alias = {{ {good.alias}, "name": "a" }}')
        self.configure(
            *lines,
            head="[filter_scheduler]\nenabled_filters ="
            " PciPassthroughFilter\n",
            tail=good.more,
        )
        return good

    def look(self, name: str) -> None:
        """Ask all commands about one of the hosts."""
        good = self.prepare(name)
        seen = context.Context(["nova.conf"], None, "host", "state").verdicts
        answers = {
            at: seen.at(address.PciAddress.parse(at)) for at in good.given
        }
        self.assertEqual(
            good.given,
            {at: str(one.state) for at, one in answers.items()},
            f"{name}: {[one.obstacles for one in answers.values()]}",
        )
        done = self.run_cli("config", "check", "-f", "json")
        against = [one for one in done.json if one["code"] in _IN_THE_WAY]
        self.assertEqual([], against, name)
        if not good.alias:
            return
        self.ok("device", "sync")
        self.ok(
            *("claim", "create", "--instance", cli_case.ONE),
            *("--alias", f"a:{good.wanted}"),
        )
        has = {
            one["address"]
            for one in self.json("device", "list")
            if one["instance_uuid"]
        }
        self.assertEqual(good.wanted, len(has), name)
        self.assertLessEqual(has, set(good.given), name)

    def test_there_are_enough(self) -> None:
        self.assertGreaterEqual(len(known_good.ALL), 30)


def _test_of(name: str) -> None:
    """Make the test of one host."""

    def test(self: KnownGoodTest) -> None:
        self.look(name)

    words = "".join(one if one.isalnum() else "_" for one in name)
    setattr(KnownGoodTest, f"test_{words}", test)


for _name in known_good.ALL:
    _test_of(_name)
