# SPDX-License-Identifier: Apache-2.0
"""An interpreter of its own for the real Nova.

Nova's dependencies must not mix with ours, so it is installed beside them:
into a virtual environment inside the folder of the environment that runs the
tests (``.tox/conformance``), made by the same Python.

``python -m tests.conformance.interpreter`` makes it if need be and prints the
path of its Python.
"""

import os
import pathlib
import subprocess
import sys
import venv

#: The release that everything here is compared with.
RELEASE = "34.0.0"


def nova_python() -> pathlib.Path:
    """Return the Python that can import Nova, installing it the first time.

    ``NOVA_PYTHON`` in the environment names one that exists already.

    :raises subprocess.CalledProcessError: if pip can't install Nova
    """
    if given := os.environ.get("NOVA_PYTHON"):
        return pathlib.Path(given)
    home = pathlib.Path(sys.prefix, f"nova-{RELEASE}")
    python = home / "bin" / "python"
    finished = home / "installed"
    if not finished.exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", f"nova=={RELEASE}"],
            check=True,
            stdout=sys.stderr,
        )
        finished.touch()
    return python


if __name__ == "__main__":
    print(nova_python())
