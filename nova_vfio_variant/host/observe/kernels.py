# SPDX-License-Identifier: Apache-2.0
"""The kernels that are installed, running or not, by their modules."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.observe import drivers
from nova_vfio_variant.host.tree import host_tree

_FOLDER: ty.Final = "lib/modules"


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """What an installed kernel has for PCI functions.

    :param release: as ``uname -r`` would print it
    :param aliases: as :func:`drivers.read_aliases` gives them
    :param modules: as :func:`drivers.loadable` gives them
    """

    release: str
    aliases: tuple[tuple[str, str], ...]
    modules: frozenset[str] | None


def installed(tree: host_tree.HostTree) -> tuple[str, ...]:
    """The releases of all kernels whose ``modules.alias`` is there.

    depmod(8) writes it; a folder without it is what a removed kernel left.
    """
    return tuple(
        release
        for release in tree.listdir(_FOLDER)
        if tree.exists(f"{_FOLDER}/{release}/modules.alias")
    )


def read(tree: host_tree.HostTree, release: str) -> Kernel:
    """One of the installed kernels.

    :raises HostError: there is none of this release; the error names those
        that there are
    """
    releases = installed(tree)
    if release not in releases:
        there = ", ".join(releases) or "none"
        if tree.root is None:
            raise exception.HostError(
                f"the recording has no modules of a kernel {release!r}; it"
                f" has those of {there}",
                "install that kernel and run 'nova-vfio host snapshot' anew:"
                " it records what variant drivers each installed kernel has",
            )
        raise exception.HostError(
            f"no kernel {release!r} is installed below /{_FOLDER};"
            f" there is {there}",
            "install it first; 'depmod RELEASE' writes its modules.alias",
        )
    return Kernel(
        release,
        drivers.read_aliases(tree, release),
        drivers.loadable(tree, release),
    )
