# SPDX-License-Identifier: Apache-2.0
"""The hostile run with a bug planted in our code.

``python -m tests.hostile.planted nesting-unread --inputs 300`` must fail: a
run that would not notice the bug is worth nothing. The bug exists in this
process, and those that it forks, alone.
"""

import importlib
import sys
import typing as ty

from tests.conformance import planted
from tests.hostile import kind

#: Seconds that an input may take here, so that what hangs is seen soon.
_SECONDS: ty.Final = 3

#: Each is noticed by the kind of input that it names.
BUGS: ty.Final = {
    "nesting-unread": planted.Bug(
        "nova_vfio_variant.placement.rest",
        "except RecursionError:",
        "except ZeroDivisionError:",
        "Placement's bodies",
    ),
    "checksum-unread": planted.Bug(
        "nova_vfio_variant.host.act.journal_file",
        'if checksum != b"%08x" % self._checksum:',
        "if checksum is None:",
        "journals",
    ),
    "printed-raw": planted.Bug(
        "nova_vfio_variant.shown",
        "if text.isprintable():",
        "if text:",
        "command lines",
    ),
    "for-ever": planted.Bug(
        "nova_vfio_variant.host.observe.vpd",
        "None\n        at += 3 + size\n",
        "None\n",
        "vpd",
    ),
    "unbounded": planted.Bug(
        "nova_vfio_variant.host.tree.recorded",
        "data = file.read(MAX_BYTES + 1)",
        "data = file.read()",
        "recordings",
    ),
    "way-out": planted.Bug(
        "nova_vfio_variant.host.tree.recorded",
        'if ".." in parts:',
        "if None in parts:",
        "recordings",
    ),
}


if __name__ == "__main__":
    planted.plant(BUGS[sys.argv.pop(1)])
    kind.Kind.seconds = _SECONDS
    # What is run, with all that it imports, comes after the bug.
    run: ty.Any = importlib.import_module("tests.hostile.__main__")
    sys.exit(run.main())
