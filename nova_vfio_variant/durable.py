# SPDX-License-Identifier: Apache-2.0
"""What is on disk before one goes on."""

from __future__ import annotations

import os
import pathlib


def sync_folder(folder: pathlib.Path) -> None:
    """Have a folder's new names on disk.

    :raises OSError: that can't be done
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
