# SPDX-License-Identifier: Apache-2.0
"""Which files are read when nobody says, and whether there are any.

Imports nothing, so that a command that needs no option is spared
oslo.config.
"""

from __future__ import annotations

import glob
import os

#: Where Nova's files are when nobody says (oslo.config's own rule for the
#: project nova and the program nova-compute, less the caller's home folder,
#: which is not Nova's).
NOVA_FOLDER = "/etc/nova"

#: Where ours are; read after Nova's.
FOLDER = "/etc/nova-vfio"


def default(*, with_drop_ins: bool = True) -> list[str]:
    """The default files that are there, in order of reading.

    :param with_drop_ins: those of Nova's files, too
    """
    nova_files = [
        os.path.join(NOVA_FOLDER, name)
        for name in ("nova.conf", "nova-compute.conf")
    ]
    paths = [path for path in nova_files if os.path.lexists(path)]
    if with_drop_ins:
        for path in nova_files:
            paths += drop_ins(f"{path}.d")
    return paths + drop_ins(FOLDER)


def drop_ins(folder: str) -> list[str]:
    """The ``*.conf`` files of a folder, in order of name."""
    folder = glob.escape(os.path.expanduser(folder))
    return sorted(glob.glob(os.path.join(folder, "*.conf")))


def is_any_option_set() -> bool:
    """Whether default files or the environment may set any option."""
    return bool(default()) or any(
        name.startswith("OS_") and "__" in name for name in os.environ
    )
