# SPDX-License-Identifier: Apache-2.0
"""Whose a folder or a file is, and what to do if it may be a stranger's."""

from __future__ import annotations

import errno
import grp
import os
import pathlib
import pwd
import shlex
import stat

from nova_vfio_variant import exception, input_file

#: Where nothing is to be removed.
_SYSTEMS = (("dev",), ("proc",), ("sys",))
#: What others need to write in.
_EVERYBODYS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - not used


class NotOurs(OSError):
    """What stands there may be a stranger's.

    :param why: what is wrong with it
    :param mend: a command line that ends that, and what it does
    """

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(errno.EPERM, why)
        self.mend = mend


def mend(error: Exception, otherwise: str | None = None) -> str | None:
    """What is to be done about an error, if it says so itself."""
    return error.mend if isinstance(error, NotOurs) else otherwise


def unwritten(path: pathlib.Path, error: OSError) -> exception.HostError:
    """The error that a file couldn't be put out."""
    return exception.HostError(
        f"{path}: can't be written: {error.strerror or error}", mend(error)
    )


def expect_file(
    path: pathlib.Path, found: os.stat_result, group: int | None
) -> None:
    """Refuse what isn't an ordinary file of its own, ours or root's.

    :param group: whose members' it may be, too
    :raises NotOurs: it is not
    :raises IsADirectoryError: it is a folder
    :raises FileNotFoundError: it was removed since it was opened
    """
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise a_stranger(path, input_file.kind(found))
    if not found.st_nlink:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if found.st_nlink > 1:
        this, alone = quoted(path), quoted(f"{path}.alone")
        raise NotOurs(
            f"{path.name} has {found.st_nlink} names (hard links)",
            f"'cp -p {this} {alone} && mv {alone} {this}' makes it a file of"
            " its own",
        )
    expect_ours(path, found, path.name, group)


def expect_ours(
    path: pathlib.Path,
    found: os.stat_result,
    shown: str,
    group: int | None,
    *,
    written: bool = False,
) -> None:
    """Refuse what belongs to others, or may be written by them.

    :param shown: what a message calls it
    :param group: whose members' it may be, too
    :param written: whether it doesn't matter who writes
    :raises NotOurs: it is, or may be
    """
    me = os.geteuid()
    if found.st_uid not in {0, me} and not _is_member(found.st_uid, group):
        raise NotOurs(
            f"{shown} belongs to user {_name(found.st_uid)}",
            f"'chown -h {quoted(_name(me))} {quoted(path)}', by root, makes it"
            " ours, if what is in it can be trusted; else run the command as"
            " that user, or share the state path with [vfio] state_group",
        )
    if written:
        return
    whose = {
        "g": found.st_mode & stat.S_IWGRP and found.st_gid != group,
        "o": found.st_mode & stat.S_IWOTH,
    }
    who = "".join(sign for sign, may in whose.items() if may)
    if who:
        mends = (
            f"'chmod {who}-w {quoted(path)}' ends that, if what is in it can"
            " be trusted"
        )
        if str(path.absolute()) in _EVERYBODYS:
            mends = "name a folder below it, or elsewhere"
        raise NotOurs(f"{shown} may be written by others", mends)


def a_stranger(path: pathlib.Path, what: str) -> NotOurs:
    """The error that something else stands in a file's place."""
    mends = f"'rm {quoted(path)}' removes that alone"
    if path.absolute().parts[1:2] in _SYSTEMS:
        # Who runs as root and pastes it would miss /dev/null.
        mends = "name a file elsewhere"
    return NotOurs(f"{path.name} is {what}", mends)


def no_member(group: int) -> NotOurs:
    """The error that we may not share anything with a group."""
    try:
        name = grp.getgrgid(group).gr_name
    except KeyError:
        name = str(group)
    me = _name(os.geteuid())
    return NotOurs(
        f"user {me} is no member of group {name}",
        f"'usermod -aG {quoted(name)} {quoted(me)}', by root, makes it one"
        " when it logs in again",
    )


def quoted(text: str | pathlib.Path) -> str:
    """As a shell takes it."""
    return shlex.quote(str(text))


def _is_member(uid: int, group: int | None) -> bool:
    if group is None:
        return False
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return False
    return group in os.getgrouplist(user.pw_name, user.pw_gid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
