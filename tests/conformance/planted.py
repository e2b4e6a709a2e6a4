# SPDX-License-Identifier: Apache-2.0
"""The conformance run with a bug planted in our code.

``python -m tests.conformance.planted last-match-wins --cases 400`` must
fail: a comparison that would not notice the bug is worth nothing. The bug
exists in this process alone.
"""

import concurrent.futures
import dataclasses
import importlib
import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


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


class Ran(NamedTuple):
    """What a program that has ended left behind."""

    status: int
    stdout: str
    stderr: str


BUGS = {
    "none-of-a-class-wanted": Bug(
        "nova_vfio_variant.pci.request_groups",
        "for name, units in of_group.items() if units}",
        "for name, units in of_group.items()}",
        "extra specs",
    ),
    "suffixes-are-numbers": Bug(
        "nova_vfio_variant.pci.request_groups",
        "([a-zA-Z0-9_-]{1,64})?",
        "([0-9]{1,64})?",
        "extra specs",
    ),
    "pinned-guests-have-no-node": Bug(
        "nova_vfio_variant.pci.flavor",
        '("dedicated", "mixed")',
        '("mixed",)',
        "extra specs",
    ),
    "second-default-counts": Bug(
        "nova_vfio_variant.declaration.nova_mdevs",
        "if not names and default:",
        "if not names and not kind:",
        "mediated devices",
    ),
    "default-for-virtual-ones": Bug(
        "nova_vfio_variant.declaration.nova_mdevs",
        "return name if is_named else None",
        "return name",
        "mediated devices",
    ),
    "class-of-the-default": Bug(
        "nova_vfio_variant.declaration.nova_mdevs",
        'self.classes.get(self._known(parent) or "", VGPU)',
        "max([VGPU, *self.classes.values()])",
        "mediated devices",
    ),
    "limit-counts-no-device": Bug(
        "nova_vfio_variant.placement.mdev_parents",
        "made[offer.kind] += offer.here",
        "made[offer.kind] += 0",
        "mediated devices",
    ),
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
    "farther-ones-first": Bug(
        "nova_vfio_variant.pci.filters",
        'pool.properties["numa_node"] not in cells',
        "0",
        "claims on a fresh host",
    ),
    "remote-ones-given": Bug(
        "nova_vfio_variant.pci.filters",
        "[p for p in found if not p.remote_managed]",
        "found",
        "claims on a fresh host",
    ),
    "vdpa-ones-given": Bug(
        "nova_vfio_variant.pci.filters",
        '[p for p in found if p.properties["dev_type"] != _VDPA]',
        "found",
        "claims on a fresh host",
    ),
    "null-is-a-tag": Bug(
        "nova_vfio_variant.pci.pools",
        'properties.get("remote_managed") is None',
        '"remote_managed" not in properties',
        "claims on a fresh host",
    ),
    "failed-claim-keeps": Bug(
        "nova_vfio_variant.pci.pools",
        "pool.devices = devices_before",
        "pass",
        "claims on a fresh host",
    ),
    "chosen-provider-ignored": Bug(
        "nova_vfio_variant.pci.filters",
        "if 0 < counts[str(pool.rp_uuid)] <= left[pool]",
        "if left[pool]",
        "claims of chosen providers",
    ),
    "empty-serial-counts": Bug(
        "nova_vfio_variant.pci.matching",
        "not function.card_serial_number",
        "function.card_serial_number is None",
        "device_spec on a host",
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
    "pf-of-blocked-vfs": Bug(
        "nova_vfio_variant.tracker.family",
        "_expect(child, {Status.AVAILABLE, Status.UNCLAIMABLE}, device)",
        "_expect(child, {Status.AVAILABLE, *BLOCKED}, device)",
        "device states",
    ),
    "vf-without-pf-dropped": Bug(
        "nova_vfio_variant.placement.tree",
        """        else:
            findings.extend(
                tree_findings.without_parent""",
        """        elif False:
            findings.extend(
                tree_findings.without_parent""",
        "provider trees",
    ),
    "switch-back-unseen": Bug(
        "nova_vfio_variant.check.published",
        "    switched_off,\n",
        "",
        "publishing switched off",
    ),
    "moved-inside-the-guest": Bug(
        "nova_vfio_variant.guest.libvirt",
        "            where.set(name, value)\n",
        "            [one.set(name, value) for one in element.iter('address')]\n",
        "live migration",
    ),
    "trait-forgotten": Bug(
        "nova_vfio_variant.pci.names",
        "found.add(_LIVE_MIGRATABLE)",
        "pass",
        "provider trees",
    ),
}


def source_with(bug: Bug) -> tuple[importlib.machinery.ModuleSpec, str]:
    """The module, and its source with the bug in it.

    :raises LookupError: the source that the bug is made of isn't there
    """
    spec = importlib.util.find_spec(bug.module)
    if spec is None or spec.origin is None:
        raise LookupError(f"there is no module {bug.module}")
    source = pathlib.Path(spec.origin).read_text(encoding="utf-8")
    if source.count(bug.right) != 1:
        raise LookupError(f"not once in {bug.module}: {bug.right}")
    return spec, source.replace(bug.right, bug.wrong)


def plant(bug: Bug) -> None:
    """Load a module with a bug in it.

    :raises LookupError: the source that the bug is made of isn't there
    """
    spec, wrong = source_with(bug)
    module = importlib.util.module_from_spec(spec)
    sys.modules[bug.module] = module
    exec(compile(wrong, str(spec.origin), "exec"), module.__dict__)
    parent, _, name = bug.module.rpartition(".")
    setattr(importlib.import_module(parent), name, module)


def ran(*words: str) -> Ran:
    """What a module says as a program, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def runs(
    bugs: Mapping[str, Bug], program: str, *words: str
) -> Iterator[tuple[str, Bug, Ran]]:
    """What a run says of each bug; as many at once as there are CPUs.

    :param program: the module that plants a bug by its name, and runs
    :param words: its arguments, but for the question
    """
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        begun = {
            name: pool.submit(ran, program, name, *words, bug.question)
            for name, bug in bugs.items()
        }
    for name, run in begun.items():
        yield name, bugs[name], run.result()


if __name__ == "__main__":
    plant(BUGS[sys.argv.pop(1)])
    # The comparison, with all that it imports, comes after the bug.
    conformance: Any = importlib.import_module("tests.conformance.__main__")
    conformance.PHASES = conformance.PHASES[:1]
    sys.exit(conformance.main())
