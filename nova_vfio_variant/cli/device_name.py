# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio device register``, ``unregister`` and ``available``."""

from __future__ import annotations

import argparse

from nova_vfio_variant.cli import base, called, device
from nova_vfio_variant.node import naming
from nova_vfio_variant.tracker import names

NAME_COLUMNS = ("id", "name", "address", "type", "created_at")
COLUMNS = (
    "address",
    "type",
    "vendor_id",
    "product_id",
    "product",
    "driver",
    "iommu_group",
    "name",
    "available",
    "why_not",
)


class _Naming(base.ShowOne):
    """What the two commands share."""

    @property
    def naming(self) -> naming.Naming:
        """The names of the node."""
        return naming.Naming(self.context)

    def told(self, name: names.Name) -> tuple[tuple[str, ...], base.Row]:
        """A name as its fields."""
        seen = self.naming.seen(name.address)
        return NAME_COLUMNS, (
            name.id,
            name.name,
            str(name.address),
            device.device_type(seen if name.is_of(seen) else None),
            name.since,
        )


class Register(_Naming):
    """Give a device that a device_spec names a name of its own.

    Every command then takes that name, or the id that the device gets, where
    it takes the device's address. It is the name of that very device: where
    another one comes to its address the name stands for nothing, until it is
    taken away.
    """

    example = "device register 0000:41:10.0 --name uplink-a"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address and --name."""
        parser = super().get_parser(prog_name)
        base.add_address(parser)
        parser.add_argument(
            "--name",
            metavar="NAME",
            help="two or more letters, digits, '_', '.' and '-', the first a"
            " letter or digit; pci-DDDD-BB-DD-F if it isn't given",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], base.Row]:
        """Name it."""
        return self.told(
            self.naming.register(parsed_args.address, parsed_args.name)
        )


class Unregister(_Naming):
    """Take a device's name away, and its id with it.

    Refused while the device is claimed. A name whose device is gone, or was
    exchanged for another, goes likewise.
    """

    example = "device unregister uplink-a"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "which",
            type=called.device,
            metavar="ADDRESS",
            help="the device's name, id, or full PCI address",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], base.Row]:
        """Forget it."""
        return self.told(self.naming.unregister(parsed_args.which))

    def look_up(self, parsed_args: argparse.Namespace) -> None:
        """Leave names as they are: what stands there now doesn't matter."""
        parsed_args.which = str(parsed_args.which)


class Available(base.Lister):
    """List the host's functions, and which could be given a name.

    'why_not' says why one couldn't: no device_spec names it, it is a bridge,
    it has a name, or it isn't the device that is tracked at its address.
    """

    empty = "the host has no PCI functions"
    brief = ("address", "type", "name", "available", "why_not")
    example = "device available -f json"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """List them."""
        products = self.context.pci_names
        rows: list[base.Row] = []
        for nameable in naming.Naming(self.context).available():
            seen = nameable.seen
            rows.append(
                (
                    str(seen.address),
                    device.device_type(seen),
                    seen.vendor_id,
                    seen.product_id,
                    products.device(seen.vendor_id, seen.product_id),
                    seen.driver,
                    seen.iommu_group,
                    nameable.name and nameable.name.name,
                    nameable.why_not is None,
                    nameable.why_not,
                )
            )
        for problem in self.context.scan.problems:
            self.note(f"warning: {problem}")
        return COLUMNS, rows
