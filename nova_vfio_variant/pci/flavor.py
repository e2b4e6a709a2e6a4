# SPDX-License-Identifier: Apache-2.0
"""What a flavor asks for, by its extra specs."""

from __future__ import annotations

import dataclasses
import re
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.pci import (
    alias,
    alias_parse,
    entry,
    extra_specs,
    flavor_codes,
    request_groups,
)

ALIAS: ty.Final = "pci_passthrough:alias"
NUMA_POLICY: ty.Final = "hw:pci_numa_affinity_policy"

_MOST_DIGITS: ty.Final = 9
_COUNT = re.compile(rf"\s*([0-9]{{1,{_MOST_DIGITS}}})\s*")
_DIGITS = re.compile(r"\s*[0-9]+\s*")
_NODES: ty.Final = "hw:numa_nodes"
#: With one of these a guest has a NUMA node at least
#: (``nova.virt.hardware.numa_get_constraints``).
_ONE_NODE: ty.Final = ("hw:mem_page_size", "hw:pmem")
_PINNED: ty.Final = ("dedicated", "mixed")


@dataclasses.dataclass(frozen=True, slots=True)
class Flavor:
    """What a flavor asks for of PCI devices, and by resource class.

    :param name: None where nobody said
    :param requests: by alias
    :param asked: by resource class and trait
    :param numa_nodes: that its guests have; 0 where they have no topology
    """

    name: str | None
    requests: tuple[alias.PciRequest, ...] = ()
    asked: request_groups.AskedGroups = request_groups.NOTHING
    numa_nodes: int = 0


class _Wrong(ty.NamedTuple):
    """What is wrong with a part of ``pci_passthrough:alias``."""

    code: finding.Code
    message: str
    hint: str
    start: int
    end: int


def read(
    given: extra_specs.Given, aliases: alias_parse.Aliases
) -> tuple[Flavor, tuple[finding.Finding, ...]]:
    """What extra specs ask for, and all that is wrong with them."""
    settings = given.settings
    asked, findings = request_groups.read(settings)
    found = [*given.findings, *findings]
    policy = settings.get(NUMA_POLICY)
    if policy is not None and policy.value not in alias_parse.NUMA_POLICIES:
        found.append(
            policy.on(
                flavor_codes.BAD_POLICY,
                f"NUMA policy {policy.value!r} is not known",
            )
        )
        policy = None
    found += (
        setting.on(
            flavor_codes.MEANS_NOTHING,
            f"{setting.key} is no extra spec, and is ignored",
            setting.key_at,
            f"Write {ALIAS}.",
        )
        for setting in settings.values()
        if setting.key.startswith("pci_passthrough:") and setting.key != ALIAS
    )
    requests: list[alias.PciRequest] = []
    wanted = settings.get(ALIAS)
    if wanted is not None:
        requests, wrongs = _requests(
            wanted.value, aliases, policy.value if policy else None
        )
        found += (
            wanted.on(
                wrong.code,
                wrong.message,
                wanted.part(wrong.start, wrong.end),
                wrong.hint,
            )
            for wrong in wrongs
        )
    return (
        Flavor(given.name, tuple(requests), asked, _numa_nodes(settings)),
        tuple(found),
    )


def _numa_nodes(settings: extra_specs.Settings) -> int:
    """How many nodes a guest has, as far as the flavor says."""
    said = settings.get(_NODES)
    if said is not None and said.value.strip().isdecimal():
        return int(said.value)
    pinned = settings.get("hw:cpu_policy")
    return int(
        any(key in settings for key in _ONE_NODE)
        or (pinned is not None and pinned.value in _PINNED)
    )


def parse_request(
    text: str,
    aliases: alias_parse.Aliases,
    numa_policy: str | None = None,
) -> tuple[alias.PciRequest, ...]:
    """Read ``A:2,B:1``, as ``nova.pci.request`` does.

    :param numa_policy: the flavor's ``hw:pci_numa_affinity_policy``; it goes
        before the aliases'
    :raises ConfigError: an alias that isn't defined, a count that is none,
        or an unknown policy
    """
    if numa_policy is not None and (
        numa_policy not in alias_parse.NUMA_POLICIES
    ):
        raise exception.ConfigError(
            f"NUMA policy {numa_policy!r} is not known",
            f"known are {', '.join(alias_parse.NUMA_POLICIES)}",
        )
    requests, wrongs = _requests(text, aliases, numa_policy)
    for wrong in wrongs:
        raise exception.ConfigError(wrong.message, wrong.hint)
    return tuple(requests)


def expect_counts(text: str) -> None:
    """See that ``A:2,B:1`` asks for a number of each, whatever they are.

    :raises ConfigError: it doesn't
    """
    for part in text.split(","):
        made = _counted(part, 0)
        if isinstance(made, _Wrong):
            raise exception.ConfigError(made.message, made.hint)


def _requests(
    text: str, aliases: alias_parse.Aliases, numa_policy: str | None
) -> tuple[list[alias.PciRequest], list[_Wrong]]:
    """What each part asks for, and which ask for nothing."""
    requests, wrongs = [], []
    start = 0
    for part in text.split(","):
        made = _request(part, start, aliases, numa_policy)
        if isinstance(made, _Wrong):
            wrongs.append(made)
        else:
            requests.append(made)
        start += len(part) + 1
    return requests, wrongs


def _counted(part: str, start: int) -> tuple[str, int] | _Wrong:
    """The name and the number of ``A:2``, whether there is such an alias."""
    fields = part.split(":")
    count = _COUNT.fullmatch(fields[1]) if len(fields) == 2 else None
    if count is not None and int(count[1]) >= 1:
        return fields[0].strip(), int(count[1])
    # Nova takes a count of 0, and then an instance without its device.
    why = "no number of devices of an alias"
    hint = "write ALIAS:COUNT[,ALIAS:COUNT...], each count at least 1"
    if count is None and len(fields) == 2 and _DIGITS.fullmatch(fields[1]):
        why = "more devices than can be counted"
        hint = f"a count is at most {10**_MOST_DIGITS - 1}"
    return _Wrong(
        flavor_codes.BAD_COUNT,
        f"{part.strip()!r} asks for {why}",
        hint,
        start + len(part) - len(part.lstrip()),
        start + len(part),
    )


def _request(
    part: str,
    start: int,
    aliases: alias_parse.Aliases,
    numa_policy: str | None,
) -> alias.PciRequest | _Wrong:
    made = _counted(part, start)
    if isinstance(made, _Wrong):
        return made
    name, count = made
    if name not in aliases:
        near = entry.nearest(name, aliases)
        if near is not None:
            hint = f"did you mean {near!r}?"
        elif aliases:
            hint = f"defined are {', '.join(aliases)}"
        else:
            hint = "[pci] alias defines none"
        begin = start + len(part) - len(part.lstrip())
        return _Wrong(
            flavor_codes.UNKNOWN_ALIAS,
            f"alias {name!r} is not defined",
            hint,
            begin,
            begin + len(name),
        )
    specs = aliases[name]
    return alias.PciRequest(
        alias_name=name,
        count=count,
        specs=specs,
        numa_policy=numa_policy or specs[0].numa_policy,
    )
