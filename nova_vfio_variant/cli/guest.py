# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio guest``: how devices enter a guest."""

from __future__ import annotations

import argparse
import functools
import json
import pathlib
import typing as ty

from nova_vfio_variant import own_files, shown, trust
from nova_vfio_variant.cli import base, called, options
from nova_vfio_variant.guest import cloud_hypervisor, devices, qemu
from nova_vfio_variant.node import guests

if ty.TYPE_CHECKING:
    from nova_vfio_variant import finding
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
            help="all devices that this instance has claimed, and the mediated"
            " devices that were made for it",
        )
        which.add_argument(
            "--address",
            type=called.device,
            metavar="ADDRESS",
            help="this tracked device, claimed or not",
        )
        which.add_argument(
            "--mdev",
            metavar="UUID",
            help="this mediated device, whoever made it",
        )
        return parser

    @functools.cached_property
    def guests(self) -> guests.Guests:
        """What guests get of the node."""
        return guests.Guests(self.context)

    def devices(
        self, parsed_args: argparse.Namespace
    ) -> tuple[devices.Passed, ...]:
        """The devices that the options mean, in rising order of address.

        What keeps one from a guest is said; where another device, or none,
        stands at its address nothing is given out.

        :raises HostRefused: so it is with one of them
        """
        found: tuple[devices.Passed, ...]
        if parsed_args.address is not None:
            found = (self.tracked.device(parsed_args.address),)
        elif parsed_args.mdev is not None:
            found = (self.guests.mediated(parsed_args.mdev),)
        else:
            found = self.guests.of_instance(parsed_args.instance)
        self._look_at(
            tuple(
                device
                for device in found
                if not isinstance(device, devices.Mediated)
            )
        )
        for device in found:
            if isinstance(device, devices.Mediated):
                self._tell(self.guests.against(device))
        return found

    def _look_at(self, functions: tuple[tracked.Device, ...]) -> None:
        from nova_vfio_variant.host.decide import codes as host_codes
        from nova_vfio_variant.host.decide import refusal

        against = []
        together = [device.address for device in functions]
        for device in functions:
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
            self._tell(told)
        if against:
            raise refusal.error(against)

    def _tell(self, against: ty.Iterable[finding.Finding]) -> None:
        from nova_vfio_variant.host.decide import refusal

        for reason in against:
            self.status = 1
            self.note(f"warning: {refusal.line(reason)}")


class _WithConsole(_ForDevices):
    """A command that may say which vGPU the guest's console shows."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the console."""
        parser = super().get_parser(prog_name)
        console = parser.add_mutually_exclusive_group()
        console.add_argument(
            "--display",
            type=called.device_or_uuid,
            metavar="DEVICE",
            help="the guest's console shows this vGPU, named by its address,"
            " name or UUID, once the guest's driver runs; the domain needs <graphics>,"
            " and a PCI device libvirt 10.3",
        )
        console.add_argument(
            "--ramfb",
            type=called.device_or_uuid,
            metavar="DEVICE",
            help="as --display, and what the guest shows before its driver"
            " runs too",
        )
        return parser

    def shown(
        self, parsed_args: argparse.Namespace
    ) -> list[tuple[devices.Passed, devices.Console]]:
        """The devices, each with what the console shows of it.

        :raises ClaimError: what it is to show is none of them, or has none
        """
        found = self.devices(parsed_args)
        wanted = parsed_args.ramfb or parsed_args.display
        if wanted is None:
            return [(device, devices.Console.NONE) for device in found]
        on = self.guests.showing(found, str(wanted))
        console = (
            devices.Console.RAMFB
            if parsed_args.ramfb
            else devices.Console.DISPLAY
        )
        return [
            (device, console if device is on else devices.Console.NONE)
            for device in found
        ]


class Xml(_WithConsole):
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
            type=options.path,
            metavar="DIR",
            help="write one file a device into DIR, named by its address or"
            " UUID",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print or write."""
        from nova_vfio_variant.guest import libvirt

        for device, console in self.shown(parsed_args):
            text = libvirt.to_text(libvirt.hostdev(device, console))
            if parsed_args.output_dir is None:
                self.app.stdout.write(text)
                continue
            path = parsed_args.output_dir / f"{devices.name(device)}.xml"
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


class _Arguments(_ForDevices):
    """A command whose words are text for a shell, or JSON for a program."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the format."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            *("-f", "--format"),
            dest="formatter",
            choices=("text", "json"),
            default="text",
            help="json: a list of all arguments, and of each device its id"
            " there, its root port, and its name and folder here (default:"
            " %(default)s)",
        )
        return parser

    def put(
        self,
        arguments: ty.Sequence[str],
        ports: ty.Iterable[tuple[devices.Passed, str | None]],
    ) -> None:
        """Write JSON.

        :param arguments: all
        :param ports: each device with the id of its root port, None if it
            has none
        """
        told = {
            "arguments": arguments,
            "devices": [
                {
                    "id": devices.guest_id(device),
                    "root_port": port,
                    "name": devices.name(device),
                    "path": devices.folder(device),
                }
                for device, port in ports
            ],
        }
        self.app.stdout.write(json.dumps(told, indent=2) + "\n")


class Qemu(_WithConsole, _Arguments):
    """Print the QEMU arguments for the same devices, one device a line.

    Each comes with a PCIe root port of its own, for a machine that has the
    bus pcie.0: q35, or Arm's virt. QEMU has to be let lock the guest's memory
    and 1 GiB more, which several devices pin once.
    """

    example = "guest qemu --address 0000:41:10.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add how they are reached."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--iommufd",
            action="store_true",
            help="reach them by iommufd, with QEMU 9.0 or newer; refused where"
            " a device has no file of its own in /dev/vfio/devices",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print."""
        given = self.shown(parsed_args)
        if parsed_args.iommufd:
            self.guests.check_iommufd(device for device, _ in given)
        plugged = qemu.plugged(given, iommufd=parsed_args.iommufd)
        lines = [qemu.backend()] if parsed_args.iommufd else []
        lines += [[*device.arguments] for device in plugged]
        if parsed_args.formatter == "json":
            self.put(
                [word for line in lines for word in line],
                [(device.device, device.port) for device in plugged],
            )
            return
        for line in lines:
            self.app.stdout.write(" ".join(line) + "\n")


class CloudHypervisor(_Arguments):
    """Print the Cloud Hypervisor arguments for the same devices, in a line.

    It takes no vGPUs that are a vendor's types of VFs, and no mediated
    devices of s390.
    """

    example = "guest cloud-hypervisor --address 0000:41:10.0"

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print."""
        found = self.devices(parsed_args)
        words = cloud_hypervisor.arguments(found, self.guests.vendor_vgpus)
        if parsed_args.formatter == "json":
            self.put(words, [(device, None) for device in found])
            return
        self.app.stdout.write(" ".join(words) + "\n")
