# SPDX-License-Identifier: Apache-2.0
"""Who may change a host: one command at a time, and one in each IOMMU group.

The locks stand in the host itself (``/run/nova-vfio``), so that everybody
takes the same ones, whatever their state paths are. :data:`HOST` is held as
long as a command lives. Those of groups are handed on to helper processes
(flock(2): all copies of a descriptor have one lock): a group whose helper is
stuck in the kernel stays locked until the kernel lets go of it, also when the
command that started it was killed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import pathlib
import re
import stat
import time
import typing as ty

from nova_vfio_variant import exception, lock_file
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.host.tree import beneath, host_tree, paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function

_LOG = logging.getLogger(__name__)

#: Below the host's root; a reboot empties it.
FOLDER: ty.Final = "run/nova-vfio"
#: The key of the lock of the whole host.
HOST: ty.Final = "host"
_KEY = re.compile(r"[a-z]+(?:-[A-Za-z0-9_.:+-]+)?")
_PAUSE = 0.05
_FOLDER_MODE = 0o755
_FILE_MODE = 0o600


def key(found: function.PciFunction) -> str:
    """The key of a function's lock: its group's, or its own."""
    return _key(found.address, found.iommu_group)


def of_module(name: str) -> str:
    """The key of a module's lock."""
    return f"module-{name}"


def of_name(name: str, seen: host_scan.HostScan) -> str:
    """The key of the lock of a function, which need not be there."""
    address = pci_address.PciAddress.parse(name)
    found = seen.get(address)
    return _key(address, None) if found is None else key(found)


def of_change(change: plan.Change, seen: host_scan.HostScan) -> set[str]:
    """The keys of the locks of a change.

    A PF's VFs may go with whatever is done to it.
    """
    if change.what is plan.What.MODULE:
        return {of_module(change.subject)}
    subject = pci_address.PciAddress.parse(change.subject)
    vfs = {
        key(pci_function)
        for pci_function in seen.functions
        if pci_function.physfn == subject
    }
    return vfs | {of_name(name, seen) for name in change.functions}


def that_serve(tree: host_tree.HostTree, address: str) -> set[str]:
    """The keys of the locks of which one has to be held to change a function.

    That is its own, and for a VF its PF's too: who makes or removes VFs
    touches them in groups that come and go with them.

    :param address: the function as it is now is looked up
    :raises ValueError: it is no address
    """
    mine = pci_address.PciAddress.parse(address)
    found = {_key(mine, _group(tree, mine))}
    link = tree.readlink(f"{paths.DEVICES}/{mine}/physfn")
    if link is not None:
        pf = pci_address.PciAddress.parse(link.rpartition("/")[2])
        found.add(_key(pf, _group(tree, pf)))
    return found


def _group(
    tree: host_tree.HostTree, address: pci_address.PciAddress
) -> str | None:
    link = tree.readlink(f"{paths.DEVICES}/{address}/iommu_group")
    return None if link is None else link.rpartition("/")[2]


def _key(address: pci_address.PciAddress, group: int | str | None) -> str:
    return f"function-{address}" if group is None else f"group-{group}"


@contextlib.contextmanager
def hold(
    root: str | os.PathLike[str],
    keys: ty.Iterable[str],
    timeout: float,
    holder: str | None = None,
) -> ty.Iterator[tuple[int, ...]]:
    """Hold some locks of a host, taken in the order of their keys.

    :param root: the host's
    :param keys: as :func:`key` gives them
    :param timeout: seconds to wait for others
    :param holder: for whom they are taken, if not for us: as
        :func:`lock_file.ourselves` gives it
    :returns: descriptors, for the helpers to keep open
    :raises LockTimeout: another process has one; the message says which
    :raises HostError: the folder can't be made or written, or a lock not
        taken
    :raises ValueError: a key is none
    """
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        held = []
        for name in sorted(set(keys)):
            if not _KEY.fullmatch(name):
                raise ValueError(f"{name!r} is no key of a lock")
            fd = None
            while fd is None or not _is_still_there(fd, root, name):
                # One that somebody removed locks nobody else out.
                if fd is not None:
                    os.close(fd)
                fd = _locked(root, name, deadline, timeout)
            stack.callback(os.close, fd)
            lock_file.note(fd, holder or lock_file.ourselves())
            held.append(fd)
        yield tuple(held)


def _opened(root: str | os.PathLike[str], name: str) -> int:
    """Open a lock's file, and make what is missing of it and its folder.

    Their modes are always the same, whatever the umask is and whatever
    somebody made of them: who can write the folder can lock us out.
    """
    try:
        with beneath.folder(root, FOLDER, _FOLDER_MODE) as folder:
            _keep_ours(folder, root, FOLDER, _FOLDER_MODE)
            fd = beneath.regular(
                folder, name, os.O_RDWR | os.O_CREAT, _FILE_MODE
            )
        try:
            _keep_ours(fd, root, f"{FOLDER}/{name}", _FILE_MODE)
        except OSError:
            os.close(fd)
            raise
    except OSError as error:
        raise exception.HostError(
            f"the locks in {pathlib.Path(root, FOLDER)} can't be used: "
            f"{error.strerror}"
        ) from error
    return fd


def _keep_ours(
    fd: int, root: str | os.PathLike[str], rel: str, mode: int
) -> None:
    """See that nobody else made what is opened, and give it its mode.

    :raises OSError: somebody else made it, or it can't be changed
    """
    found = os.fstat(fd)
    # Who has the root has all that is below it, whoever made that.
    if found.st_uid not in (0, os.geteuid(), os.stat(root).st_uid):
        raise OSError(
            errno.EPERM, f"{rel} belongs to user {found.st_uid}", rel
        )
    if stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(fd, mode)


def _is_still_there(fd: int, root: str | os.PathLike[str], name: str) -> bool:
    """Whether what is locked is what others find.

    :raises OSError: nobody can say
    """
    try:
        with beneath.folder(root, FOLDER) as folder:
            there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def _locked(
    root: str | os.PathLike[str], name: str, deadline: float, timeout: float
) -> int:
    """A descriptor of a lock's file, which is locked."""
    fd = _opened(root, name)
    try:
        _take(fd, pathlib.Path(root, FOLDER, name), deadline, timeout)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _take(
    fd: int, path: pathlib.Path, deadline: float, timeout: float
) -> None:
    waits = False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _timeout(fd, path, timeout) from None
            if not waits:
                _LOG.info("waiting for the lock %s", path)
            waits = True
            time.sleep(_PAUSE)
        except OSError as error:
            raise exception.HostError(
                f"the lock {path} can't be taken: {error.strerror}"
            ) from error
        else:
            break


def _timeout(
    fd: int, path: pathlib.Path, timeout: float
) -> exception.LockTimeout:
    who = lock_file.told(os.pread(fd, 4096, 0))
    hint = "wait for it to end, or see what it is waiting for"
    if path.name != HOST:
        who += ", or a write of its to the host,"
        hint = (
            "a write that hangs ends when whoever has the device open lets go"
        )
    return exception.LockTimeout(
        f"{who} still holds the lock {path} after {timeout:g} seconds", hint
    )
