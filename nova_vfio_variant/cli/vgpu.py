# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio vgpu set``, ``apply``, ``assert`` and ``recycle``."""

from __future__ import annotations

import argparse
import functools

from nova_vfio_variant.cli import base, called, given_file, host_prepare
from nova_vfio_variant.node import vgpus


class _Vgpus(host_prepare.Prepare):
    """What the commands share."""

    @functools.cached_property
    def vgpus(self) -> vgpus.Vgpus:
        """The vGPU types of the node's VFs."""
        return vgpus.Vgpus(self.context, self.telling)

    def add_file(self, parser: argparse.ArgumentParser) -> None:
        """Add the file that declares cards."""
        parser.add_argument(
            "file",
            metavar="FILE|-",
            help="a JSON object or list as of host_spec, with vgpu_type, "
            "vgpu_types and heterogeneous; - for standard input",
        )


class Set(_Vgpus):
    """Give a VF a vGPU type, or take it away.

    Refused where somebody has the VF, or may have, and where its card doesn't
    offer the type. It stays until it is taken away, the card's VFs are made
    anew, or the host is rebooted; what host_spec declares is set again.
    """

    example = 'vgpu set 0000:25:00.4 "NVIDIA A16-16A"'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the VF, its type and --dry-run."""
        parser = super().get_parser(prog_name)
        base.add_address(parser)
        parser.add_argument(
            "type",
            metavar="TYPE|none",
            help="name or number, as 'vgpu types' shows it",
        )
        self.add_dry_run(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        address, word = parsed_args.address, parsed_args.type
        if parsed_args.dry_run:
            return self.show(self.vgpus.plan_set(address, word))
        return self.tell(self.vgpus.set(address, word))


class Apply(_Vgpus):
    """Make cards what a file declares of their vGPUs.

    As 'host apply' does for host_spec: all is looked at before anything is
    freed, as far as the card tells the sizes of its types. Where it refuses
    one all the same, VFs that were freed in vain get their old types again,
    and what was set stays.
    """

    example = "vgpu apply cards.json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file and --dry-run."""
        parser = super().get_parser(prog_name)
        self.add_file(parser)
        self.add_dry_run(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        text = given_file.read(parsed_args.file, "vfio")
        if parsed_args.dry_run:
            return self.show(self.vgpus.check(text))
        return self.tell(self.vgpus.apply(text))


class Assert(_Vgpus):
    """Compare cards with what a file declares of their vGPUs.

    Nothing is written. Status 0: they are so; 1: they are not, and the rows
    say what 'vgpu apply' would do; 2: that would be refused.
    """

    example = "vgpu assert cards.json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file."""
        parser = super().get_parser(prog_name)
        self.add_file(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Compare."""
        return self.show(
            self.vgpus.check(given_file.read(parsed_args.file, "vfio"))
        )


class Recycle(_Vgpus):
    """Make a card's VFs anew, and set their vGPU types again.

    It is what mends a VF that takes no guest any more. Refused while anything
    of the card is in use; who has it is named: stop guests, and what asks the
    card, such as nvidia-persistenced, dcgm or an exporter.
    """

    example = "vgpu recycle 0000:25:00.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the card and --dry-run."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "card",
            type=called.device,
            metavar="PF",
            help="full PCI address of the card's PF, or its name",
        )
        self.add_dry_run(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        if parsed_args.dry_run:
            return self.show(self.vgpus.plan_recycle(parsed_args.card))
        return self.tell(self.vgpus.recycle(parsed_args.card))
