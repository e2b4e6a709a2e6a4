# SPDX-License-Identifier: Apache-2.0
"""The conformance run with a bug planted in our code.

``python -m tests.conformance.planted last-match-wins --cases 400`` must
fail: a comparison that would not notice the bug is worth nothing. The bug
exists in this process alone.
"""

import dataclasses
import importlib
import importlib.util
import pathlib
import sys


@dataclasses.dataclass(frozen=True, slots=True)
class Bug:
    """A piece of our source, and what a slip would make of it.

    :param module: where it stands
    :param right: the source as it is; once in the module
    :param wrong: the source with the bug
    :param question: the name, or a part, of the questions that notice it
    """

    module: str
    right: str
    wrong: str
    question: str


BUGS = {
    "last-match-wins": Bug(
        "nova_vfio_variant.pci.matching",
        "_specs[(mask & -mask).bit_length() - 1]",
        "_specs[mask.bit_length() - 1]",
        "device_spec on a host",
    ),
    "swapped-comparison": Bug(
        "nova_vfio_variant.pci.pattern",
        "if value > _LIMITS[field]",
        "if value < _LIMITS[field]",
        "device_spec on a host",
    ),
    "wrong-numa-rule": Bug(
        "nova_vfio_variant.pci.filters",
        'if policy == "legacy" or',
        'if policy == "preferred" or',
        "claims on a fresh host",
    ),
    "numa-rule-too-strict": Bug(
        "nova_vfio_variant.pci.filters",
        "cells.add(None)",
        "pass",
        "claims on a fresh host",
    ),
    "trait-not-asked-for": Bug(
        "nova_vfio_variant.pci.filters",
        ".issuperset(spec.asked_traits)",
        ".issuperset(())",
        "claims by class",
    ),
    "pf-free-too-early": Bug(
        "nova_vfio_variant.tracker.family",
        "siblings_free and parent.status in BLOCKED",
        "parent.status in BLOCKED",
        "device states",
    ),
    "trait-forgotten": Bug(
        "nova_vfio_variant.pci.names",
        "found.add(os_traits.HW_PCI_LIVE_MIGRATABLE)",
        "pass",
        "provider trees",
    ),
}


def plant(bug: Bug) -> None:
    """Load a module with a bug in it.

    :raises LookupError: the source that the bug is made of isn't there
    """
    spec = importlib.util.find_spec(bug.module)
    if spec is None or spec.origin is None:
        raise LookupError(f"there is no module {bug.module}")
    source = pathlib.Path(spec.origin).read_text(encoding="utf-8")
    if source.count(bug.right) != 1:
        raise LookupError(f"not once in {bug.module}: {bug.right}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[bug.module] = module
    wrong = source.replace(bug.right, bug.wrong)
    exec(compile(wrong, spec.origin, "exec"), module.__dict__)
    parent, _, name = bug.module.rpartition(".")
    setattr(importlib.import_module(parent), name, module)


if __name__ == "__main__":
    plant(BUGS[sys.argv.pop(1)])
    # The comparison, with all that it imports, comes after the bug.
    sys.exit(importlib.import_module("tests.conformance.__main__").main())
