# SPDX-License-Identifier: Apache-2.0
"""The systemd units run commands that exist, in the order that is needed."""

import configparser
import pathlib
import shlex

from nova_vfio_variant.cli import main
from nova_vfio_variant.host.act import lock
from tests import base

_FOLDER = pathlib.Path(__file__).parents[3] / "etc/systemd"


class _Several(dict[str, str]):
    """Options that stand more than once have all their values."""

    def __setitem__(self, key: str, value: object) -> None:
        if isinstance(value, list) and key in self:
            value = [*self[key], *value]
        super().__setitem__(key, value)  # type: ignore[assignment] # a list


class UnitFilesTest(base.TestCase):
    def unit(self, name: str) -> configparser.RawConfigParser:
        read = configparser.RawConfigParser(
            dict_type=_Several, strict=False, comment_prefixes=("#",)
        )
        read.optionxform = str  # type: ignore[assignment,method-assign] # as configparser documents it
        read.read_string((_FOLDER / name).read_text())
        return read

    def test_what_it_runs_are_commands_of_ours(self) -> None:
        service = self.unit("nova-vfio-host.service")["Service"]
        for option, wanted in (
            ("ExecStart", "host apply"),
            ("ExecStop", "host restore"),
        ):
            words = shlex.split(service[option].replace("\\\n", " "))
            text = " ".join(words)
            self.assertRegex(
                text,
                rf"(^| )nova-vfio --fail-on error \$NOVA_VFIO_ARGS {wanted} ",
            )
            self.assertIn(wanted, main.COMMANDS)

    def test_stopping_restores_only_when_asked_to(self) -> None:
        service = self.unit("nova-vfio-host.service")["Service"]
        self.assertIn("NOVA_VFIO_RESTORE_ON_STOP=no", service["Environment"])
        self.assertIn(
            '"$NOVA_VFIO_RESTORE_ON_STOP" = yes', service["ExecStop"]
        )

    def test_nothing_closes_the_devices_that_a_vendors_tool_opens(
        self,
    ) -> None:
        # systemd.exec(5): each of them implies a DeviceAllow= or more, and
        # DevicePolicy=auto then denies all other devices.
        service = self.unit("nova-vfio-host.service")["Service"]
        for name in (
            "PrivateDevices",
            "ProtectClock",
            "DeviceAllow",
            "DevicePolicy",
        ):
            self.assertNotIn(name, service)

    def test_the_programs_of_the_system_are_found(self) -> None:
        service = self.unit("nova-vfio-host.service")["Service"]
        [path] = [
            one.removeprefix("PATH=")
            for one in shlex.split(service["Environment"])
            if one.startswith("PATH=")
        ]
        for folder in ("/usr/bin", "/sbin"):
            self.assertIn(folder, path.split(":"))

    def test_the_locks_can_be_written_and_outlive_it(self) -> None:
        service = self.unit("nova-vfio-host.service")["Service"]
        self.assertEqual("strict", service["ProtectSystem"])
        self.assertEqual(f"run/{service['RuntimeDirectory']}", lock.FOLDER)
        self.assertEqual("yes", service["RuntimeDirectoryPreserve"])

    def test_what_it_makes_is_for_root_and_the_locks_are_seen(self) -> None:
        service = self.unit("nova-vfio-host.service")["Service"]
        self.assertEqual("0077", service["UMask"])
        self.assertEqual("0700", service["StateDirectoryMode"])
        # Who waits for a lock is told who has it.
        self.assertEqual("0755", service["RuntimeDirectoryMode"])

    def test_it_comes_before_whoever_uses_the_devices(self) -> None:
        unit = self.unit("nova-vfio-host.service")["Unit"]
        before = " ".join(unit["Before"].split()).split()
        for name in (
            "nova-compute.service",
            "libvirtd.service",
            "kolla-nova_libvirt-container.service",
            "kolla-nova_compute-container.service",
        ):
            self.assertIn(name, before)
        for name in ("systemd-modules-load", "systemd-udev-settle"):
            self.assertIn(f"{name}.service", unit["After"])

    def test_nova_compute_does_not_start_without_it(self) -> None:
        unit = self.unit("nova-compute.service.d/nova-vfio-host.conf")["Unit"]
        self.assertEqual("nova-vfio-host.service", unit["Requires"])
        self.assertEqual("nova-vfio-host.service", unit["After"])

    def test_what_is_missing_is_made_again_with_the_same_options(self) -> None:
        service = self.unit("nova-vfio-host.service")["Service"]
        after = self.unit("nova-vfio-host.service.d/reconcile.conf")["Service"]
        self.assertEqual(
            service["ExecStart"].replace("host apply", "reconcile"),
            after["ExecStartPost"],
        )
