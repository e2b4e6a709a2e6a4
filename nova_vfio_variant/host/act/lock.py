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
import fcntl
import os
import pathlib
import re
import time
import typing as ty

from nova_vfio_variant import exception, lock_file, own_files, trust
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import host_scan
from nova_vfio_variant.host.tree import beneath, host_tree, paths
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function, mdev_names

#: Below the host's root; a reboot empties it.
FOLDER: ty.Final = "run/nova-vfio"
#: The key of the lock of the whole host.
HOST: ty.Final = "host"
_KEY = re.compile(r"[a-z]+(?:-[A-Za-z0-9_.:+-]+)?")


def key(found: function.PciFunction) -> str:
    """The key of a function's lock: its group's, or its own."""
    return _key(found.address, found.iommu_group)


def of_module(name: str) -> str:
    """The key of a module's lock."""
    return f"module-{name}"


def of_mdev(uuid: str) -> str:
    """The key of a mediated device's lock.

    While one that is open is being removed others can be made.
    """
    return f"mdev-{uuid}"


def of_name(name: str, seen: host_scan.HostScan) -> str:
    """The key of the lock of a function or mdev, which need not be there."""
    if mdev_names.is_uuid(name):
        return of_mdev(name)
    address = pci_address.PciAddress.parse(name)
    found = seen.get(address)
    return _key(address, None) if found is None else key(found)


def of_change(change: plan.Change, seen: host_scan.HostScan) -> set[str]:
    """The keys of the locks of a change.

    A PF's VFs may go with whatever is done to it.
    """
    if change.what is plan.What.MODULE:
        return {of_module(change.subject)}
    if change.what is plan.What.MDEV:
        return {of_mdev(change.subject)}
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

    :param address: the function as it is now is looked up; or the UUID of a
        mediated device
    :raises ValueError: it is no address
    """
    if mdev_names.is_uuid(address):
        return {of_mdev(address)}
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
    :raises HostError: the folder can't be made or written, or may be a
        stranger's, or a lock not taken
    :raises ValueError: a key is none
    """
    deadline = time.monotonic() + timeout
    place = pathlib.Path(root) / FOLDER
    names = sorted(set(keys))
    for name in names:
        if not _KEY.fullmatch(name):
            raise ValueError(f"{name!r} is no key of a lock")
    with contextlib.ExitStack() as stack:
        try:
            # Whoever waits, or only looks, passes through it.
            fd = stack.enter_context(beneath.folder(root, FOLDER, 0o755))
            folder = own_files.of_descriptor(fd, own_files.Place(place))
        except OSError as error:
            raise _unusable(place, error) from error
        held = []
        for name in names:
            fd = _locked(folder, name, deadline, timeout)
            stack.callback(os.close, fd)
            lock_file.note(fd, holder or lock_file.ourselves())
            held.append(fd)
        yield tuple(held)


def _unusable(folder: pathlib.Path, error: OSError) -> exception.HostError:
    return exception.HostError(
        f"the locks in {folder} can't be used: {error.strerror}",
        trust.mend(error),
    )


def _locked(
    folder: own_files.Folder, name: str, deadline: float, timeout: float
) -> int:
    """A descriptor of a lock's file, which is locked."""
    path = folder.path / name
    try:
        return lock_file.take(
            folder,
            name,
            lambda fd: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
            deadline,
        )
    except lock_file.Held as error:
        raise _timeout(str(error), path, timeout) from None
    except trust.NotOurs as error:
        raise _unusable(folder.path, error) from error
    except OSError as error:
        raise exception.HostError(
            f"the lock {path} can't be taken: {error.strerror}"
        ) from error


def _timeout(
    who: str, path: pathlib.Path, timeout: float
) -> exception.LockTimeout:
    hint = "wait for it to end, or see what it is waiting for"
    if path.name != HOST:
        who += ", or a write of its to the host,"
        hint = (
            "a write that hangs ends when whoever has the device open lets go"
        )
    return exception.LockTimeout(
        f"{who} still holds the lock {path} after {timeout:g} seconds", hint
    )
