# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio guest vdsm-hook``."""

from __future__ import annotations

import argparse
import os

from nova_vfio_variant import exception
from nova_vfio_variant.cli import base
from nova_vfio_variant.node import node, vdsm


class Hook(base.Base):
    """Make or remove the mediated devices of a virtual machine of VDSM's.

    VDSM runs it, with what it says in the environment and the machine's XML in
    a file. Status 0: all is done; 2: the machine can't start, and no further
    hook is to be run; 1: after_vm_destroy left something, and further hooks are
    to be run.
    """

    example = "guest vdsm-hook before_vm_start"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the event."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "event",
            choices=[
                "before_vm_start",
                "before_vm_migrate_destination",
                "after_vm_destroy",
            ],
            help="which of VDSM's events it is",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Make or remove them."""
        given = self.app.options
        on = node.Node(
            given.config_file,
            given.config_dir,
            given.host_root,
            given.state_path,
        )
        hook = vdsm.Hook(on, os.environ)
        if parsed_args.event != "after_vm_destroy":
            hook.before_start()
            return
        try:
            for error in hook.after_destroy():
                self.tell_error(error.message, error.hint)
        except exception.VfioVariantError as error:
            self.tell_error(error.message, error.hint)
        self.status = min(self.status, 1)
