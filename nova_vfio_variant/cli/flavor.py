# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio flavor``: what a flavor would get on this host."""

from __future__ import annotations

import argparse
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.cli import base
from nova_vfio_variant.node import flavor_answer, flavor_source, flavors
from nova_vfio_variant.pci import extra_specs

COLUMNS = (
    "asks",
    "state",
    "addresses",
    "pools",
    "providers",
    "numa_nodes",
    "at_once",
    "guests",
    "step",
    "why",
    "instead",
)
LIST_COLUMNS = ("name", "asks", "state", "guests", "step", "why", "instead")


class Check(base.Lister):
    """Say what a flavor would get on this host, or what keeps it from that.

    Each alias and each resource group has a row. Where nothing is left for
    it, step is what removed the last candidate. Status 1 if something isn't
    to be had here, or has a warning; 2 if the flavor has an error.
    """

    empty = "it asks for no device"
    brief = ("asks", "state", "pools", "numa_nodes", "at_once", "step", "why")
    example = "flavor check --property pci_passthrough:alias=A16_16A:2"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the flavor."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "flavor",
            nargs="?",
            metavar="NAME|FILE",
            help=(
                "a file with a JSON object of extra specs, or with what"
                " 'openstack flavor show -f json' prints; with --os-cloud the"
                " name or id of a flavor"
            ),
        )
        parser.add_argument(
            "--property",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help=(
                "an extra spec, as 'openstack flavor set' takes it; it goes"
                " before the flavor's own (may be repeated)"
            ),
        )
        parser.add_argument(
            "--os-cloud",
            metavar="CLOUD",
            help="ask this cloud of clouds.yaml for the flavor",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Read it, and say what it gets."""
        given = flavor_source.with_properties(
            _given(parsed_args), parsed_args.property
        )
        (answer,) = flavors.Flavors(self.context).answers([given])
        if answer.is_wrong:
            name = answer.name or parsed_args.flavor or "the flavor"
            raise exception.ConfigError(
                f"{name} can't be served by any host",
                findings=answer.findings,
            )
        if answer.findings or not answer.is_served:
            self.status = 1
        self.warn(answer.findings)
        for line in answer.instead:
            self.note(line)
        self.tell_of_verdicts()
        return COLUMNS, [_row(answer, one) for one in answer.gets]


class List(base.Lister):
    """Say of each flavor of a cloud what it would get on this host.

    In state invalid is one that no host could serve, as 'flavor check' says
    of it. Status 1 if there is one, or one with a warning.
    """

    empty = "the cloud has no flavors"
    brief = ("name", "asks", "state", "guests", "step", "why")
    example = "flavor list --os-cloud mycloud"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the cloud."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--os-cloud",
            required=True,
            metavar="CLOUD",
            help="the cloud of clouds.yaml whose flavors are meant",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """Ask the cloud, and list."""
        from nova_vfio_variant.node import cloud

        # What stops it here is said before anybody is asked.
        _ = self.context.declared
        answers = flavors.Flavors(self.context).answers(
            cloud.flavors(parsed_args.os_cloud)
        )
        if any(answer.findings for answer in answers):
            self.status = 1
        self.tell_of_verdicts()
        return LIST_COLUMNS, [_line(answer) for answer in answers]


def _given(parsed_args: argparse.Namespace) -> extra_specs.Given:
    """The flavor, without what the command line sets.

    :raises VfioVariantError: none is given, or it can't be had
    """
    if parsed_args.os_cloud is not None:
        from nova_vfio_variant.node import cloud

        if parsed_args.flavor is None:
            raise exception.VfioVariantError(
                "--os-cloud needs the name of a flavor",
                f"'nova-vfio flavor list --os-cloud {parsed_args.os_cloud}'"
                " shows all",
            )
        return cloud.flavor_named(parsed_args.os_cloud, parsed_args.flavor)
    if parsed_args.flavor is not None:
        return flavor_source.of_file(parsed_args.flavor)
    if not parsed_args.property:
        raise exception.VfioVariantError(
            "no flavor is given",
            "give a file, --property KEY=VALUE, or NAME --os-cloud CLOUD",
        )
    return extra_specs.Given({})


def _row(
    answer: flavor_answer.FlavorAnswer, one: flavor_answer.Gets
) -> base.Row:
    pools = {device.parent_addr or device.address for device in one.devices}
    return (
        one.asks,
        one.state,
        [str(device.address) for device in one.devices],
        [str(address) for address in sorted(pools)],
        list(one.providers),
        list(one.numa_nodes),
        one.at_once,
        answer.guests,
        one.refused and str(one.refused.step),
        one.refused and one.refused.why,
        list(answer.instead),
    )


def _line(answer: flavor_answer.FlavorAnswer) -> base.Row:
    """A flavor on one line, by the first that isn't served."""
    asks = [one.asks for one in answer.gets]
    states = [one.state for one in answer.gets]
    step = why = state = None
    if answer.is_wrong:
        first = max(answer.findings, key=lambda found: found.severity)
        state, step = "invalid", first.code.id
        why = first.message
    elif states:
        state = max(states, key=_ORDER.index)
        refused = next(
            (one.refused for one in answer.gets if one.refused), None
        )
        if refused is not None:
            step, why = str(refused.step), refused.why
    return (
        answer.name,
        asks,
        state,
        answer.guests,
        step,
        why,
        list(answer.instead),
    )


#: What a flavor's state is, from what its parts are: the last.
_ORDER: ty.Final = (
    "ready",
    "preparable",
    flavor_answer.UNKNOWN,
    flavor_answer.NONE,
)
