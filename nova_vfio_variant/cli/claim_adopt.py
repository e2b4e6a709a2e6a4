# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio claim adopt``: what Nova claimed, mirrored."""

from __future__ import annotations

import argparse

from nova_vfio_variant.cli import base, claim
from nova_vfio_variant.node import adopting


class Adopt(base.Lister):
    """Take over what Nova claimed for an instance, beside nova-compute.

    Placement's allocations of the instance on this host's PCI and mediated
    devices are compared with the guest that libvirt has. Where both say the
    same, it is recorded as a claim in state allocated, by which the devices
    are the instance's here, too. Nothing is written to Placement, then or
    when the claim is deleted. It can be repeated.
    """

    brief = claim.COLUMNS
    example = "claim adopt --instance 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add whose."""
        parser = super().get_parser(prog_name)
        base.add_instance(parser, "the instance that Nova gave devices to")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Adopt, and list what it has."""
        claims = adopting.Adopting(self.context).adopt(parsed_args.instance)
        return claim.rows(claims, self.tracked)
