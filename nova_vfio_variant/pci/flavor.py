# SPDX-License-Identifier: Apache-2.0
"""What a flavor asks for: ``pci_passthrough:alias``."""

from __future__ import annotations

import re

from nova_vfio_variant import exception
from nova_vfio_variant.pci import alias, alias_parse, entry

_COUNT = re.compile(r"\s*([0-9]{1,9})\s*")


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
    return tuple(
        _request(part, aliases, numa_policy) for part in text.split(",")
    )


def _request(
    part: str, aliases: alias_parse.Aliases, numa_policy: str | None
) -> alias.PciRequest:
    fields = part.split(":")
    count = _COUNT.fullmatch(fields[1]) if len(fields) == 2 else None
    if count is None or int(count[1]) < 1:
        # Nova takes a count of 0, and then an instance without its device.
        raise exception.ConfigError(
            f"{part.strip()!r} asks for no number of devices of an alias",
            "write ALIAS:COUNT[,ALIAS:COUNT...], each count at least 1",
        )
    name = fields[0].strip()
    if name not in aliases:
        near = entry.nearest(name, aliases)
        if near is not None:
            hint = f"did you mean {near!r}?"
        elif aliases:
            hint = f"defined are {', '.join(aliases)}"
        else:
            hint = "[pci] alias defines none"
        raise exception.ConfigError(f"alias {name!r} is not defined", hint)
    specs = aliases[name]
    return alias.PciRequest(
        alias_name=name,
        count=int(count[1]),
        specs=specs,
        numa_policy=numa_policy or specs[0].numa_policy,
    )
