# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio device cordon``, ``drain`` and ``uncordon``."""

from __future__ import annotations

import argparse
import contextlib
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.cli import base, called, options
from nova_vfio_variant.node import cordoning, node
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import mdev_names

if ty.TYPE_CHECKING:
    from nova_vfio_variant.tracker import device as tracked

COLUMNS = ("subject", "instance_uuid", "what")


def _add_which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "address",
        type=called.device,
        metavar="ADDRESS|PF",
        help="full PCI address; that of a PF stands for its VFs, their vGPUs"
        " and its mediated devices, too",
    )


def _add_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reason",
        type=options.reason,
        required=True,
        metavar="TEXT",
        help="why; it is shown wherever the device is",
    )


def _tell(command: base.Base, found: cordoning.Unenforced | None) -> None:
    """Say why it doesn't hold for others, and what makes it."""
    if found is None:
        return
    command.status = 1
    command.note(f"warning: {found.reason}")
    for mend in found.mends:
        command.note(f"hint: {mend}")


def tell_of(
    command: base.Base,
    addresses: ty.Collection[pci_address.PciAddress] | None = None,
) -> None:
    """Say which of some devices are cordoned, and what is no more.

    :param addresses: of devices and PFs that are shown; None for all
    """
    try:
        records = command.context.verdicts.records
    except exception.HostError:
        return  # What is shown says so.
    for at, reason in sorted(records.cordoned.items()):
        if addresses is None or at in addresses:
            command.note(f"note: {at} is cordoned: {reason}")
    for at, reason in sorted(records.uncordoned.items()):
        if addresses is None or at in addresses:
            command.note(
                f"note: {at} is not cordoned: that was said of another device"
                f" ({reason}); nova-vfio device uncordon {at}"
            )


def tell_of_claims(
    command: base.Base, claims: ty.Iterable[tracked.Claim]
) -> None:
    """Say which devices of some claims are cordoned."""
    shown: set[pci_address.PciAddress] = set()
    kinds = command.tracked.mdev_kinds()
    for claim in claims:
        shown.update(claim.addresses)
        for uuid in claim.mdevs:
            with contextlib.suppress(ValueError):
                parent = mdev_names.parse_kind(kinds[uuid])[0]
                shown.add(pci_address.PciAddress.parse(parent))
    if shown:
        tell_of(command, _with_pfs(command, shown))


def _with_pfs(
    command: base.Base, addresses: ty.Collection[pci_address.PciAddress]
) -> set[pci_address.PciAddress]:
    """Some functions, and the PFs of those that are VFs."""
    found = {*addresses}
    with contextlib.suppress(exception.HostError):
        for at in addresses:
            function = command.context.scan.get(at)
            if function is not None and function.physfn is not None:
                found.add(function.physfn)
    return found


class Cordon(base.Base):
    """Let no new claim have a device, or anything of a PF.

    It is reserved in Placement, whatever [vfio] reserve_blocked says. Who has
    it keeps it. It stays so over reboots, syncs and unplugging until 'device
    uncordon'; another card at its address is not cordoned. Status 1 if others
    may give it away all the same: what Nova publishes is Nova's to reserve,
    and of it only a whole PF can be.
    """

    example = "device cordon 0000:41:00.0 --reason 'ECC errors'"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address and --reason."""
        parser = super().get_parser(prog_name)
        _add_which(parser)
        _add_reason(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remember it."""
        _tell(
            self,
            cordoning.Cordoning(self.context).cordon(
                parsed_args.address, parsed_args.reason
            ),
        )


class Drain(base.Lister):
    """Cordon a device, and list who is still on it.

    Claims, and what is seen on the host: processes that have it open,
    mediated devices below it. What can't be known counts. Nobody is ended:
    that is for who runs the guests. Status 1 while anybody is on it.
    """

    empty = "nobody is on it"
    example = "device drain 0000:41:00.0 --reason 'a new card' --wait 600"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address, --reason and --wait."""
        parser = super().get_parser(prog_name)
        _add_which(parser)
        _add_reason(parser)
        parser.add_argument(
            "--wait",
            type=options.seconds,
            default=0.0,
            metavar="SECONDS",
            help="wait so long for all to leave it",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Cordon, and look."""
        at = parsed_args.address
        _tell(
            self,
            cordoning.Cordoning(self.context).cordon(at, parsed_args.reason),
        )
        given = self.app.options
        on = node.Node(
            given.config_file,
            given.config_dir,
            given.host_root,
            given.state_path,
        )
        users = cordoning.drained(lambda: on.cordoning, at, parsed_args.wait)
        if users:
            self.status = 1
        return COLUMNS, [
            (user.subject, user.instance_uuid, user.what) for user in users
        ]


class Uncordon(base.Base):
    """Let a device be claimed again.

    Status 1 if it wasn't cordoned, or if it isn't offered again yet.
    """

    example = "device uncordon 0000:41:00.0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address."""
        parser = super().get_parser(prog_name)
        _add_which(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Forget it."""
        lifted, found = cordoning.Cordoning(self.context).uncordon(
            parsed_args.address
        )
        if not lifted:
            self.status = 1
            if found is None:
                self.note(f"{parsed_args.address} is not cordoned")
        _tell(self, found)
