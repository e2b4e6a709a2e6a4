# SPDX-License-Identifier: Apache-2.0
"""Make the state paths of old: ``python -m tests.functional.old_stores.make``.

Each is made by the program as it was, checked out of the repository's history
with all that it was tested with, on a host that has not changed since.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent

#: A commit at which each version of the schema was the newest.
COMMITS = {
    "0001": "51bcad9~1",
    "0002": "3c6ae2f~1",
    "0003": "084b26b",
    "0004": "c2d4531b",
    "0005": "7e1570fc",
    "0006": "ae7d5c74",
    "0007": "63c84432",
}


def main() -> None:
    """Make all of them."""
    for version, commit in COMMITS.items():
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder, "then")
            subprocess.run(
                ["git", "worktree", "add", "--detach", tree, commit],
                check=True,
                cwd=HERE,
            )
            try:
                subprocess.run(
                    [sys.executable, HERE / "record.py", HERE / version],
                    check=True,
                    cwd=tree,
                    env={**os.environ, "PYTHONPATH": str(tree)},
                )
            finally:
                subprocess.run(
                    ["git", "worktree", "remove", "--force", tree],
                    check=True,
                    cwd=HERE,
                )


if __name__ == "__main__":
    main()
