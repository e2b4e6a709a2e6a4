# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio guest``: how devices enter a guest."""

from __future__ import annotations

import argparse
import pathlib
import typing as ty

from nova_vfio_variant import own_files, shown, trust
from nova_vfio_variant.cli import base
from nova_vfio_variant.guest import qemu
from nova_vfio_variant.tracker import device as tracked


class _ForDevices(base.Base):
    """A command about the devices of an instance, or about one device."""

    is_for_libvirt: ty.ClassVar[bool] = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which devices."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--instance",
            type=base.instance,
            metavar="UUID",
            help="all devices that this instance has claimed",
        )
        which.add_argument(
            "--address",
            type=base.address,
            metavar="ADDRESS",
            help="this tracked device, claimed or not",
        )
        return parser

    def devices(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tracked.Device, ...]:
        """The devices that the options mean, in rising order of address.

        What keeps one from a guest is said; where another device, or none,
        stands at its address nothing is given out.

        :raises HostRefused: so it is with one of them
        """
        if parsed_args.address is not None:
            found: tuple[tracked.Device, ...] = (
                self.tracked.device(parsed_args.address),
            )
        else:
            found = self.tracked.devices_of(parsed_args.instance)
        self._look_at(found)
        return found

    def _look_at(self, devices: tuple[tracked.Device, ...]) -> None:
        from nova_vfio_variant.host.decide import codes as host_codes
        from nova_vfio_variant.host.decide import refusal

        against = []
        together = [device.address for device in devices]
        for device in devices:
            verdict = self.tracked.verdict(
                device.address, device.instance_uuid, together
            )
            wrong = [
                obstacle
                for obstacle in verdict.blocking
                if obstacle.code
                in (host_codes.ANOTHER_DEVICE, host_codes.VANISHED)
            ]
            against += wrong
            if wrong:
                continue
            told = verdict.obstacles
            if self.is_for_libvirt and device.managed:
                # It prepares the rest when the guest starts.
                told = (*verdict.blocking, *verdict.unknown)
            for finding in told:
                self.status = 1
                self.note(f"warning: {refusal.line(finding)}")
        if against:
            raise refusal.error(against)


class Xml(_ForDevices):
    """Print the <hostdev> elements that libvirt takes.

    One after another, without a declaration or a wrapper. With --output-dir
    each goes to a file of its own, fit for 'virsh attach-device'.
    """

    example = "guest xml --address 0000:41:10.0"
    is_for_libvirt = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add where to write."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--output-dir",
            type=pathlib.Path,
            metavar="DIR",
            help="write one file a device into DIR, named by its address",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print or write."""
        from nova_vfio_variant.guest import libvirt

        for device in self.devices(parsed_args):
            text = libvirt.to_text(libvirt.hostdev(device))
            if parsed_args.output_dir is None:
                self.app.stdout.write(text)
                continue
            path = parsed_args.output_dir / f"{device.address}.xml"
            _put(path, text)
            self.app.stdout.write(f"{shown.line(str(path))}\n")


def _put(path: pathlib.Path, text: str) -> None:
    """Write a file in place of what is there.

    :raises HostError: it can't be written, or its place may be a stranger's
    """

    def fill(fd: int, _path: pathlib.Path) -> None:
        with open(fd, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)

    try:
        with own_files.opened(path.parent, make=True, sticky=True) as folder:
            folder.make(path.name, fill, replace=True)
    except OSError as error:
        raise trust.unwritten(path, error) from error


class Qemu(_ForDevices):
    """Print the QEMU arguments for the same devices, one device a line."""

    example = "guest qemu --address 0000:41:10.0"

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print."""
        for device in self.devices(parsed_args):
            self.app.stdout.write(" ".join(qemu.arguments(device)) + "\n")
