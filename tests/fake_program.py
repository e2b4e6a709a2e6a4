# SPDX-License-Identifier: Apache-2.0
"""The program as it is installed, on a host that answers as a kernel does."""

from __future__ import annotations

import pathlib
import sys

_PROGRAM = """#!{python}
import os
import sys
from nova_vfio_variant.cli import main
from nova_vfio_variant.testing import fake_host
words = sys.argv[1:]
for option, value in {defaults}:
    if option not in words:
        words[:0] = [option, value]
root = words[words.index("--host-root") + 1]
if os.path.isdir(root):
    with fake_host.FakeHost(root).plugged_in():
        sys.exit(main.main(words))
sys.exit(main.main(words))
"""


def write(path: pathlib.Path, **defaults: str) -> None:
    """Write the program; ``PYTHONPATH`` has to name the checkout.

    :param defaults: what global options are where they aren't given, such as
        ``host_root``, which one or the other has to say
    """
    given = tuple(
        (f"--{name.replace('_', '-')}", value)
        for name, value in defaults.items()
    )
    path.write_text(_PROGRAM.format(python=sys.executable, defaults=given))
    path.chmod(0o755)
