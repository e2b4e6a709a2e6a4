# SPDX-License-Identifier: Apache-2.0
"""Entries of device_spec that mend a finding, computed from this host.

What is offered was matched against the host before: it takes the functions
that it is meant to take, and no other one.
"""

from __future__ import annotations

import json
import typing as ty

from nova_vfio_variant import source
from nova_vfio_variant.check import places
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import matching, parse
from nova_vfio_variant.pci import spec as pci_spec

Entry = dict[str, ty.Any]
Functions = ty.Sequence[host_function.PciFunction]

#: More entries than a hint can hold are left to ``config suggest``.
_MANY = 6


def taking(
    wanted: Functions,
    functions: Functions,
    base: ty.Mapping[str, ty.Any],
    *,
    by_pf: bool = True,
) -> list[Entry] | None:
    """Entries that take just these functions; None if nothing short does.

    The first of these that does: by ids, by ids and the address of their PF,
    by ids and addresses of their own.

    :param wanted: at least one
    :param functions: all of the host
    :param base: what else the entries say; its address stays if it does
    :param by_pf: the address of a PF may stand for its VFs
    """
    if not wanted:
        return None
    common = {key: base[key] for key in base if key != "devname"}
    for key in ("vendor_id", "product_id"):
        values = {getattr(function, key) for function in wanted}
        common.pop(key, None)
        if len(values) == 1:
            common[key] = values.pop()
    ordered = {key: common[key] for key in (*_FIRST, *common) if key in common}
    bare = {key: ordered[key] for key in ordered if key != "address"}
    pfs = {function.physfn for function in wanted}
    ways: list[list[Entry]] = []
    if "product_id" in ordered:
        ways += [[ordered]] if by_pf else []
        ways += [[bare]]
    if by_pf and len(pfs) == 1 and None not in pfs:
        ways.append([_at(bare, str(pfs.pop()))])
    ways.append([_at(bare, at) for at in places.of(wanted)])
    ways.append(
        [_at(bare, places.alone(function.address)) for function in wanted]
    )
    for entries in ways:
        if 0 < len(entries) <= _MANY and _takes(entries, wanted, functions):
            return entries
    return None


_FIRST = ("vendor_id", "product_id", "address")


def _at(entry: Entry, address: str | dict[str, str]) -> Entry:
    made = {**entry, "address": address}
    return {key: made[key] for key in (*_FIRST, *made) if key in made}


def _takes(
    entries: list[Entry], wanted: Functions, functions: Functions
) -> bool:
    text = source.SourceText.of(json.dumps(entries))
    specs, found = parse.parse_device_specs([text])
    if found:
        return False
    taken = matching.Matcher(specs, functions).winners(functions)
    return {function.address for function in wanted} == {
        function.address
        for function, spec in zip(functions, taken, strict=True)
        if spec is not None
    }


def written(spec: pci_spec.DeviceSpec) -> Entry:
    """An entry as it was written, as JSON gives it."""
    found: Entry = json.loads(str(spec))
    return found


def in_place_of(spec: pci_spec.DeviceSpec, entries: list[Entry]) -> str:
    """What to write where an entry stands, which may be in a list."""
    if spec.text.text.lstrip().startswith("["):
        return ", ".join(map(shown, entries))
    return value(entries)


def value(entries: list[Entry]) -> str:
    """The value of an option that holds these entries."""
    if len(entries) == 1:
        return shown(entries[0])
    return f"[{', '.join(map(shown, entries))}]"


def shown(entry: ty.Mapping[str, ty.Any]) -> str:
    """One entry as a line of configuration has it."""
    return f"{{ {json.dumps(entry)[1:-1]} }}"
