# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio claim``: which device is whose."""

from __future__ import annotations

import argparse
import typing as ty

from nova_vfio_variant.cli import base, claim_request, cordon, options
from nova_vfio_variant.node import claim_explaining, tracked_devices
from nova_vfio_variant.node import claims as node_claims
from nova_vfio_variant.tracker import device as tracked

COLUMNS = ("instance_uuid", "alias_name", "addresses", "status")
#: Of the whole claim of the instance.
CLAIM = ("assignment",)
#: Of the vGPUs among the devices, in the order of their addresses or UUIDs.
VGPUS = ("vgpu_types", "assignments", "mdevs")


def row(claim: tracked.Claim) -> base.Row:
    """One claim in the order of COLUMNS."""
    return (
        claim.instance_uuid,
        claim.alias_name,
        [str(address) for address in claim.addresses],
        str(claim.state),
    )


def rows(
    claims: ty.Iterable[tracked.Claim],
    devices: tracked_devices.TrackedDevices,
) -> base.Rows:
    """Claims with the vGPUs that were made for them."""
    vgpus, mdevs = devices.vgpus(), devices.mdevs()
    found = []
    for claim in claims:
        made = [
            vgpus[address]
            for address in claim.addresses
            if address in vgpus
            and vgpus[address][0].instance_uuid == claim.instance_uuid
        ]
        found.append(
            (
                *row(claim),
                [
                    *(name for _, name in made),
                    *(claim.alias_name for _ in claim.mdevs),
                ],
                [
                    *(vgpu.assignment for vgpu, _ in made),
                    *(
                        mdevs[uuid].assignment
                        for uuid in claim.mdevs
                        # Those of Nova's have none.
                        if uuid in mdevs and not mdevs[uuid].goes
                    ),
                ],
                list(claim.mdevs),
                claim.assignment,
            )
        )
    return (*COLUMNS, *VGPUS, *CLAIM), found


class Create(base.Lister):
    """Claim devices for an instance: by alias, vGPU type, or what they are.

    All of them or none: the claim is on disk before Placement hears of it,
    and stands in Placement as the instance's allocation when this ends. A
    vGPU type is set on a VF that can take it, or a mediated device of it is
    made, and goes again with the claim; Placement is told of a mediated
    device whose parent is published. Beside nova-compute declare types of VFs in host_spec; mediated
    devices are made of parents that Nova leaves alone.
    """

    brief = COLUMNS
    example = (
        "claim create --instance 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"
        " --alias A16_16A:2"
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to claim, for whom and where."""
        parser = super().get_parser(prog_name)
        base.add_instance(parser, "the instance that shall have them")
        claim_request.add_arguments(parser)
        parser.add_argument(
            "--explain",
            action="store_true",
            help="claim nothing: show which devices each step leaves, and in"
            " which order they come; status 1 if it could not be claimed",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Claim and list what was claimed."""
        request = claim_request.of_arguments(parsed_args)
        if parsed_args.explain:
            found = claim_explaining.explain(
                self.context, parsed_args.instance, request
            )
            if found.error is not None:
                self.note(f"it could not be claimed: {found.error}")
                self.status = 1
            return claim_request.explained(found.requests)
        self.warn_of_lost()
        claims = node_claims.Claims(self.context).claim(
            parsed_args.instance, request
        )
        return rows(claims, self.tracked)


class _OfOne(base.Lister):
    """A move in the life of one instance's claim. It can be repeated."""

    brief = COLUMNS

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add whose claim it is, and which."""
        parser = super().get_parser(prog_name)
        base.add_instance(parser, "the instance that has it")
        add_assignment(parser)
        return parser


class Prepare(_OfOne):
    """Bring a claim to where its guest may begin, and see that it is there.

    What a crash, a reboot or somebody else undid of it is made again: its
    allocation in Placement, vGPU types, mediated devices. It can be repeated.
    """

    example = "claim prepare --instance 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Prepare it, and list it."""
        claims = node_claims.Claims(self.context).prepare(
            parsed_args.instance, parsed_args.assignment
        )
        return rows(claims, self.tracked)


class Started(_OfOne):
    """Say that a guest runs with what was claimed for it.

    Its claim is in state allocated from then on. It can be repeated.
    """

    example = "claim started --instance 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Record it, and list the claim."""
        claims = node_claims.Claims(self.context).started(
            parsed_args.instance, parsed_args.assignment
        )
        return rows(claims, self.tracked)


class List(base.Lister):
    """List all claims, or those of one instance."""

    empty = "there are no claims"
    brief = COLUMNS
    example = "claim list -f json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add whose."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--instance",
            type=base.instance,
            metavar="UUID",
            help="this instance's alone",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """List them."""
        claims = self.tracked.claims(parsed_args.instance)
        cordon.tell_of_claims(self, claims)
        return rows(claims, self.tracked)


class Show(base.ShowOne):
    """Show the claim of one instance: what it asked for, and what it has."""

    example = "claim show 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the instance."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "instance",
            type=base.instance,
            metavar="INSTANCE",
            help="its UUID",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], base.Row]:
        """Show it."""
        shown = self.tracked.claim(parsed_args.instance)
        cordon.tell_of_claims(self, shown.claims)
        first = shown.claims[0]
        columns, found = rows(shown.claims, self.tracked)
        kept = [
            name
            for name in columns
            if name not in ("instance_uuid", "status", *CLAIM)
        ]
        return (
            (
                "instance_uuid",
                "assignment",
                "status",
                "since",
                "asked",
                "devices",
            ),
            (
                first.instance_uuid,
                first.assignment,
                str(shown.state),
                shown.since,
                shown.asked,
                [
                    {
                        name: value
                        for name, value in zip(columns, row, strict=True)
                        if name in kept
                    }
                    for row in found
                ],
            ),
        )


class Delete(base.Lister):
    """Give an instance's devices back, in Placement and in the tracker.

    While a process has one of them open nothing is given back, and the
    process is named. A claim that is gone already needs nothing.
    """

    empty = "nothing was claimed"
    brief = COLUMNS
    example = "claim delete --instance 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the instance."""
        parser = super().get_parser(prog_name)
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument(
            "--instance",
            type=base.instance,
            metavar="UUID",
            help="the instance that has them",
        )
        # As it was called; it goes with the next release.
        whose.add_argument(
            "instance_before",
            nargs="?",
            type=base.instance,
            metavar="INSTANCE",
            help=argparse.SUPPRESS,
        )
        add_assignment(parser)
        parser.add_argument(
            "--wait",
            type=options.seconds,
            default=0.0,
            metavar="SECONDS",
            help="wait so long for its guest to let go of the devices",
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="give back also what a process has open",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Free and list what was freed."""
        claims = node_claims.Claims(self.context).release(
            parsed_args.instance or parsed_args.instance_before,
            assignment=parsed_args.assignment,
            wait=parsed_args.wait,
            force=parsed_args.force,
        )
        return (*COLUMNS, "mdevs"), [
            (*row(claim)[:-1], "freed", list(claim.mdevs)) for claim in claims
        ]


class Release(Delete):
    """Give a claim back once its guest is gone: 'claim delete', for programs.

    With --assignment a release that comes late takes nothing from the
    instance's next claim. It can be repeated.
    """

    example = (
        "claim release --instance 8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"
        " --assignment 1c7f4a52-36e5-4b7e-9f3f-5d1c3f0a9a11"
    )


def add_assignment(parser: argparse.ArgumentParser) -> None:
    """Add which claim of an instance is meant."""
    parser.add_argument(
        "--assignment",
        type=base.instance,
        metavar="UUID",
        help=(
            "of this claim alone, as 'claim create' told it; not of one that"
            " the instance made since"
        ),
    )
