# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio device bind``, ``unbind``, ``reset`` and ``scrub``."""

from __future__ import annotations

import argparse

from nova_vfio_variant.cli import base, called, host_prepare
from nova_vfio_variant.host.decide import host_spec
from nova_vfio_variant.node import scrubbing as node_scrubbing
from nova_vfio_variant.node import single


class _OfOne(host_prepare.Prepare):
    """A command that changes one function of the host."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address and --dry-run."""
        parser = super().get_parser(prog_name)
        base.add_address(parser)
        self.add_dry_run(parser)
        parser.add_argument(
            "--stop-persistenced",
            action="store_true",
            help="stop nvidia-persistenced, if it runs, and start it again"
            " afterwards; a dry run doesn't",
        )
        return parser

    def devices(self, parsed_args: argparse.Namespace) -> single.SingleDevices:
        """The acting half of the node, for one function each."""
        return single.SingleDevices(
            self.context,
            self.telling,
            stop_persistenced=parsed_args.stop_persistenced,
        )


class Bind(_OfOne):
    """Take a function to the driver by which guests get it.

    As 'host apply' does for an entry of host_spec, and refused where that
    would refuse it. The next 'host apply' makes it what host_spec says, if
    that names it; a reboot undoes it.
    """

    example = "device bind 0000:41:10.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the driver, and what may be lost by it."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--driver",
            default=host_spec.VARIANT,
            metavar="DRIVER",
            help="its name; host for the host's own. Without it the one that"
            " is made for the device: a variant driver, else vfio-pci",
        )
        parser.add_argument(
            "--companion",
            action="append",
            type=called.device,
            default=[],
            metavar="ADDRESS",
            help="another member of its IOMMU group that may lose its driver"
            " (may be repeated)",
        )
        parser.add_argument(
            "--allow-pf",
            action="store_true",
            help="the function may be a PF: the host loses it, and it can"
            " have no VFs",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        wish = single.Wish(
            parsed_args.address,
            parsed_args.driver,
            tuple(parsed_args.companion),
            parsed_args.allow_pf,
        )
        if parsed_args.dry_run:
            return self.show(self.devices(parsed_args).plan_bind(wish))
        return self.tell(self.devices(parsed_args).bind(wish))


class Unbind(_OfOne):
    """Give a function back the driver that it had before us.

    It is 'host restore' of this function: driver, driver_override and all
    else that the journal has of it. What was unbound as its companion is a
    function of its own.
    """

    example = "device unbind 0000:41:10.0"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        address = parsed_args.address
        if parsed_args.dry_run:
            return self.show(self.devices(parsed_args).plan_unbind(address))
        return self.tell(self.devices(parsed_args).unbind(address))


class Reset(_OfOne):
    """Reset one function, and see that it answers again.

    The kernel does it, by the first way in its reset_method that works.
    Refused for what is in use, claimed, a bridge, or has VFs, and where others
    on its bus would be reset too.
    """

    example = "device reset 0000:41:10.0"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        address = parsed_args.address
        if parsed_args.dry_run:
            return self.show(self.devices(parsed_args).plan_reset(address))
        return self.tell(self.devices(parsed_args).reset(address))


class Scrub(_OfOne):
    """Reset a device for one time that had it, so that it is given again.

    It is 'device reset', and afterwards its 'reserved' in Placement goes; as
    long as the reset isn't done the device stays reserved.
    """

    example = "device scrub 0000:43:00.0"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Do it."""
        address = parsed_args.address
        scrubbing = node_scrubbing.Scrubbing(
            self.context, self.devices(parsed_args)
        )
        if parsed_args.dry_run:
            return self.show(scrubbing.plan(address))
        return self.tell(scrubbing.scrub(address))
