# SPDX-License-Identifier: Apache-2.0
"""What mdevctl keeps of a mediated device, so that it comes with the next boot.

Its rule of udev's makes what is defined when a parent appears.
"""

from __future__ import annotations

import json
import os
import re
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host import process
from nova_vfio_variant.host.observe import programs

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.tree import host_tree

TOOL: ty.Final = "mdevctl"
#: Of mdevctl 1.x: a folder for each parent, in it a file for each UUID.
_FOLDER: ty.Final = "etc/mdevctl.d"
#: Where its rule is; of two that have the same name udev takes the first.
_RULES: ty.Final = (
    "etc/udev/rules.d",
    "usr/lib/udev/rules.d",
    "lib/udev/rules.d",
)
#: Seconds that it may take.
_DEADLINE: ty.Final = 30.0


def why_not(tree: host_tree.HostTree) -> tuple[str, str] | None:
    """Why it makes nothing at boot, and what mends that; None if it does.

    Debian 12 has the program in ``/usr/bin``, and a rule of udev's that looks
    for it in ``/usr/sbin`` (mdevctl 1.2.0): that makes nothing, and says so to
    the log alone.
    """
    why = programs.why_not_run(tree, TOOL)
    if why is not None:
        return why, "install the package mdevctl"
    if tree.root is None:
        return None
    for folder in _RULES:
        rule = tree.read_text(f"{folder}/60-mdevctl.rules")
        named = re.search(r"/[\w/.-]+/mdevctl\b(?!\.d)", rule or "")
        if named is None:
            continue
        if tree.exists(named[0].lstrip("/")):
            return None
        return (
            f"its rule of udev's runs {named[0]}, which isn't there",
            f'ln -s "$(command -v mdevctl)" {named[0]}',
        )
    return "udev has no rule of its", "install the package mdevctl anew"


def says(tree: host_tree.HostTree, uuid: str, parent: str, text: str) -> bool:
    """Whether it has a definition of a device, which says this.

    :param text: as ``mdevctl define --jsonfile`` takes it
    """
    kept = tree.read_text(_place(uuid, parent))
    try:
        return kept is not None and json.loads(kept) == json.loads(text)
    except ValueError:
        return False


def define(
    tree: host_tree.HostTree, uuid: str, parent: str, text: str
) -> None:
    """Have it keep a device, which may be there, and read that back.

    :raises HostStepFailed: it doesn't, such as one that it has already
    :raises HostStepHung: it does not answer
    """
    words = ("define", f"--uuid={uuid}", f"--parent={parent}")
    # Not by the name of a file, which somebody could exchange.
    fd = os.memfd_create("definition", 0)
    try:
        os.write(fd, text.encode())
        _run(
            tree,
            words,
            (f"--jsonfile=/proc/self/fd/{fd}",),
            (fd,),
        )
    finally:
        os.close(fd)
    if not says(tree, uuid, parent, text):
        raise _failed(words, f"/{_place(uuid, parent)} doesn't say so")


def undefine(tree: host_tree.HostTree, uuid: str, parent: str) -> None:
    """Have it forget a device, and see that it has; what is there stays.

    :raises HostStepFailed: it doesn't
    :raises HostStepHung: it does not answer
    """
    words = ("undefine", f"--uuid={uuid}", f"--parent={parent}")
    _run(tree, words)
    if uuid in tree.listdir(f"{_FOLDER}/{parent}"):
        raise _failed(words, f"/{_place(uuid, parent)} is still there")


def _place(uuid: str, parent: str) -> str:
    return f"{_FOLDER}/{parent}/{uuid}"


def _run(
    tree: host_tree.HostTree,
    words: tuple[str, ...],
    more: tuple[str, ...] = (),
    keep: tuple[int, ...] = (),
) -> None:
    def work() -> str:
        done = programs.run(tree, TOOL, *words, *more)
        if done.returncode == 0:
            return ""
        return done.stdout.strip() or f"it ended with {done.returncode}"

    try:
        said = process.run(work, _DEADLINE, keep)
    except OSError as error:
        raise _failed(words, error.strerror or str(error)) from error
    if said:
        raise _failed(words, " ".join(said.split()))


def _failed(words: tuple[str, ...], why: str) -> exception.HostStepFailed:
    return exception.HostStepFailed(
        f"{' '.join((TOOL, *words))}: {why}",
        "run the command as root" if os.geteuid() else None,
    )
