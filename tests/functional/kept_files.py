# SPDX-License-Identifier: Apache-2.0
"""All that stands in a directory, kept in memory to come back to it."""

import os

#: All that stands in a directory: a link's target, a file's bytes, None for
#: a directory, the mode of what is none of these.
Contents = dict[str, str | bytes | int | None]


def contents(folder: str) -> Contents:
    """Read all that stands in a directory."""
    found: Contents = {}
    todo = [""]
    while todo:
        at = todo.pop()
        with os.scandir(f"{folder}/{at}") as entries:
            for entry in entries:
                name = f"{at}{entry.name}"
                if entry.is_symlink():
                    found[name] = os.readlink(entry.path)
                elif entry.is_dir():
                    found[name] = None
                    todo.append(f"{name}/")
                elif not entry.is_file():
                    found[name] = entry.stat().st_mode
                else:
                    with open(entry.path, "rb") as file:
                        found[name] = file.read()
    return found


def make(folder: str, wanted: Contents) -> None:
    """Make all in a directory as it was read."""
    now = contents(folder)
    for name in sorted(now, reverse=True):
        entry = wanted.get(name, 0)
        if entry != now[name]:
            path = f"{folder}/{name}"
            if isinstance(entry, bytes) and isinstance(now[name], bytes):
                # It is written over: who has it open has the same file.
                continue
            if now[name] is None:
                os.rmdir(path)
            else:
                os.unlink(path)
    for name in sorted(wanted):
        entry = wanted[name]
        if now.get(name, 0) != entry:
            path = f"{folder}/{name}"
            if entry is None:
                os.mkdir(path)
            elif isinstance(entry, str):
                os.symlink(entry, path)
            elif isinstance(entry, int):
                os.mknod(path, entry)
            else:
                with open(path, "wb") as file:
                    file.write(entry)
