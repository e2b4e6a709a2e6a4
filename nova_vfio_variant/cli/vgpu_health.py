# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio vgpu report``, ``health`` and ``clear``."""

from __future__ import annotations

import argparse

from nova_vfio_variant.cli import base, called
from nova_vfio_variant.node import vgpu_health
from nova_vfio_variant.tracker import vgpu_reports

COLUMNS = (
    "address",
    "health",
    "failures",
    "why",
    "instance_uuid",
    "assignment",
    "reported",
    "at",
    "mdev",
)
_WORDS = {True: "ok", False: "failed"}


class Report(base.Base):
    """Say how the start of a guest on a vGPU went.

    A function on which the guests of two assignments failed is given to
    nobody until one of them succeeds after all, or 'vgpu clear'. Report as
    failed, too, what was killed while it started. Of a mediated device its
    parent is the function that counts.
    """

    example = (
        "vgpu report 0000:25:00.4 --assignment"
        " 2d9a6a1e-3c5b-4a0e-9d5e-0a4b8e1f7c66 ok"
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which vGPU, --assignment and how it went."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "which",
            type=called.device_or_uuid,
            metavar="ADDRESS|UUID",
            help="the function's full PCI address, or its name, or the UUID of"
            " the mediated device, or of the instance",
        )
        parser.add_argument(
            "--assignment",
            required=True,
            metavar="ID",
            help="which of its owners is meant, as 'vgpu health' shows it",
        )
        parser.add_argument(
            "result", choices=tuple(_WORDS.values()), help="how it went"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remember it."""
        standing = vgpu_health.VgpuHealth(self.context).report(
            parsed_args.which,
            parsed_args.assignment,
            ok=parsed_args.result == _WORDS[True],
        )
        why = f": {standing.why}" if standing.why else ""
        self.note(f"{standing.address} is {standing.health}{why}")


class Health(base.Lister):
    """List how guests do on vGPUs.

    Status 1 if a function is quarantined: no guest gets it. One that mediated
    devices are made of has a row for each of them.
    """

    empty = "no vGPU of ours is there, and none was reported on"
    example = "vgpu health -f json"
    brief = ("address", "health", "failures", "reported", "at", "mdev")

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """List it."""
        rows: list[base.Row] = []
        for standing in vgpu_health.VgpuHealth(self.context).standings():
            if standing.health is vgpu_reports.Health.QUARANTINED:
                self.status = 1
            last = standing.last
            rows.append(
                (
                    str(standing.address),
                    str(standing.health),
                    standing.failures,
                    standing.why,
                    standing.instance_uuid,
                    standing.assignment,
                    None if last is None else _WORDS[last.ok],
                    None if last is None else last.at,
                    standing.mdev,
                )
            )
        return COLUMNS, rows


class Clear(base.Base):
    """Forget what was reported on a vGPU's function.

    Guests get it again. Status 1 if nothing was reported on it.
    """

    example = "vgpu clear 0000:25:00.4"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address."""
        parser = super().get_parser(prog_name)
        base.add_address(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Forget it."""
        if not vgpu_health.VgpuHealth(self.context).clear(parsed_args.address):
            self.status = 1
            self.note(f"nothing was reported on {parsed_args.address}")
