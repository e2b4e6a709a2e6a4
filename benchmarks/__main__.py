# SPDX-License-Identifier: Apache-2.0
"""Run the benchmarks: ``python -m benchmarks [NAME ...] [--json]``.

Each module named here has ``rows()``, which gives its measurements. The
status is 0 if every goal is met, 1 if one is missed, 2 if one can't be run.
"""

import argparse
import importlib
import json
import sys

from benchmarks import table

#: In the order in which they are run and shown.
NAMES = (
    "start",
    "commands",
    "scan",
    "matching",
    "sync",
    "claims",
    "fits",
    "provider_tree",
    "inventory_requests",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this project beside its peers, in one run.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which: {', '.join(NAMES)} (default: all)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON list of objects"
    )
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; "
            f"there are: {', '.join(NAMES)}"
        )
    rows: list[table.Row] = []
    for name in options.names or NAMES:
        print(f"measuring: {name}", file=sys.stderr)
        rows.extend(importlib.import_module(f"benchmarks.{name}").rows())
    if options.json:
        print(json.dumps([row.as_json() for row in rows], indent=2))
    else:
        print(table.render(rows), table.growth(rows), sep="\n\n")
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
