# SPDX-License-Identifier: Apache-2.0
"""What a claim asks for, on the command line; and why it gets what it gets."""

from __future__ import annotations

import argparse
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.cli import base, given_file, options
from nova_vfio_variant.pci import (
    class_words,
    request,
    request_parse,
)

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import claim_explaining

#: Of 'claim create --explain'.
EXPLAINED = (
    "request",
    "step",
    "removed",
    "left",
    "address",
    "place",
    "chosen",
    "why",
)


def _cells(text: str) -> tuple[int, ...]:
    try:
        cells = tuple(int(cell) for cell in text.split(","))
    except ValueError:
        cells = (-1,)
    if min(cells) < 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of NUMA nodes such as 0,1"
        )
    return cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all that a request can say."""
    parser.add_argument(
        "--alias",
        metavar="NAME:COUNT[,NAME:COUNT]",
        help="as in the flavor's pci_passthrough:alias",
    )
    parser.add_argument(
        "--vgpu-type",
        action="append",
        default=[],
        metavar="TYPE[:COUNT]",
        help=(
            "a vGPU of this type, by its number, id or name (may be"
            " repeated; 'vgpu types' and 'mdev types' list them)"
        ),
    )
    _add_devices(parser)
    parser.add_argument(
        "--request",
        metavar="FILE|-",
        help="all of the request as a JSON object, in place of these options;"
        " - for standard input",
    )
    parser.add_argument(
        "--numa",
        type=_cells,
        metavar="NODE[,NODE]",
        help="the host's NUMA nodes that the instance runs on",
    )
    parser.add_argument(
        "--numa-policy",
        choices=("required", "legacy", "preferred", "socket"),
        help=(
            "as in the flavor's hw:pci_numa_affinity_policy; it goes"
            " before the alias's own"
        ),
    )
    parser.add_argument(
        "--closest",
        action="store_true",
        help="functions that hang as near together as can be: of one PF, else"
        " of one switch, root complex, NUMA node",
    )
    parser.add_argument(
        "--strategy",
        choices=(*map(str, request.Strategy), *request.OLD_STRATEGIES),
        help="between cards that would all do: pack: the one with the most in"
        " use; spread: with the fewest; separate: one with none, for mediated"
        " devices with none of the type, else as pack; numa: as few NUMA nodes"
        " as possible, for mediated devices as pack; compact: pack, as it was"
        " called (default: functions as Nova does, mediated devices as pack)",
    )


def _add_devices(parser: argparse.ArgumentParser) -> None:
    """Add devices by what they are: one set, of which all of it is so."""
    parser.add_argument(
        "--class",
        dest="class_word",
        metavar="CLASS",
        help="devices of this class, as 'host list --class' has it: "
        + ", ".join(sorted(class_words.CLASSES)),
    )
    parser.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="ADDRESS|NAME|CLASS:INDEX",
        help="of these devices (may be repeated); gpu:0 is the first of 'host"
        " list --class gpu'",
    )
    parser.add_argument(
        "--property",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="devices that are so (may be repeated, all have to hold): "
        + ", ".join(request.PROPERTIES),
    )
    parser.add_argument(
        "--count",
        type=options.whole_number,
        metavar="NUMBER",
        help="how many of them (default: all that --device names, else 1)",
    )


def of_arguments(parsed_args: argparse.Namespace) -> request.Request:
    """The request that was given.

    :raises ConfigError: it can't be
    :raises VfioVariantError: its file can't be read, or nothing is asked for
    """
    given = parsed_args
    devices = _devices(given)
    said = (given.alias, given.numa, given.numa_policy, given.strategy)
    if given.request is not None:
        if said != (None,) * 4 or given.vgpu_type or devices or given.closest:
            raise exception.VfioVariantError(
                "--request is given, and more of the request beside it",
                "say all of it in the file",
            )
        return request_parse.parse(given_file.read(given.request, "claim"))
    if given.alias is None and not given.vgpu_type and not devices:
        raise exception.VfioVariantError(
            "nothing is asked for",
            "give --alias NAME:COUNT, --vgpu-type TYPE, --class CLASS, --device"
            " DEVICE, --property KEY=VALUE, or --request FILE",
        )
    return request.Request(
        given.alias,
        tuple(given.vgpu_type),
        devices,
        given.closest,
        given.strategy and request.strategy_of(given.strategy),
        given.numa,
        given.numa_policy,
    )


def _devices(
    given: argparse.Namespace,
) -> tuple[request.DeviceRequest, ...]:
    """Devices by what they are, if any are asked for."""
    properties: dict[str, str] = {}
    for text in given.property:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals:
            raise exception.ConfigError(
                f"{text!r} is no property", "write KEY=VALUE"
            )
        if key in properties:
            raise exception.ConfigError(
                f"property {key} is asked for twice",
                "all properties have to hold: give each once",
            )
        properties[key] = value
    if given.count is not None and not (
        given.class_word or given.device or properties
    ):
        raise exception.ConfigError(
            f"--count {given.count} says nothing of the devices",
            "give --class, --device or --property; an alias has its count"
            " behind it, NAME:COUNT",
        )
    if not (given.class_word or given.device or properties):
        return ()
    return (
        request.DeviceRequest(
            given.class_word, tuple(given.device), properties, given.count
        ),
    )


def explained(
    found: ty.Iterable[claim_explaining.Explained],
) -> base.Rows:
    """The steps of each request, then its candidates in their order."""
    rows: list[base.Row] = []
    for of_request in found:
        rows += [
            (
                of_request.request,
                step.name,
                sum(step.removed.values()),
                step.left,
                None,
                None,
                None,
                ", ".join(
                    f"{count} {reason}"
                    for reason, count in sorted(step.removed.items())
                )
                or None,
            )
            for step in of_request.steps
        ]
        rows += [
            (
                of_request.request,
                "candidate",
                None,
                None,
                candidate.name,
                place,
                candidate.is_chosen,
                candidate.why,
            )
            for place, candidate in enumerate(of_request.candidates, 1)
        ]
    return EXPLAINED, rows
