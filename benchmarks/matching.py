# SPDX-License-Identifier: Apache-2.0
"""Matching all VFs of a host with 64 specs, beside Nova's.

Both begin with parsed specs. Ours begins with a new Matcher each time, as
each sync does.
"""

import collections.abc
import functools

from benchmarks import nova, our_side, table, workload
from nova_vfio_variant.pci import function, matching, spec

_GOAL_AT = 4096
#: How many times faster we mean to be.
_GOALS = {"pf_address": 150, "glob": 150, "ids_miss": 150, "regex": 60}
_WORDS = {
    "pf_address": "a PF's address each",
    "glob": "a glob each",
    "ids_miss": "ids that all miss",
    "regex": "a regular expression each",
}


def rows() -> collections.abc.Iterator[table.Row]:
    for kind, values in workload.specs().items():
        specs = our_side.specs(values)
        for size, theirs in nova.seconds()[f"match_{kind}"].items():
            functions = our_side.functions(size)
            vfs = [one for one in functions if one.physfn is not None]
            found = _match(specs, functions, vfs)
            matched = sum(one is not None for one in found)
            if matched != (0 if kind == "ids_miss" else size):
                raise AssertionError(f"{kind}: {matched} of {size} match")
            (ours,) = table.medians(
                functools.partial(_match, specs, functions, vfs)
            )
            yield table.Row(
                f"match 64 specs, {_WORDS[kind]}",
                size,
                ours,
                nova.NAME,
                theirs,
                times_faster=_GOALS[kind] if size == _GOAL_AT else None,
            )


def _match(
    specs: collections.abc.Sequence[spec.DeviceSpec],
    functions: collections.abc.Sequence[function.PciFunction],
    vfs: collections.abc.Sequence[function.PciFunction],
) -> collections.abc.Sequence[spec.DeviceSpec | None]:
    return matching.Matcher(specs, functions).winners(vfs)
