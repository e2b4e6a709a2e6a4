# SPDX-License-Identifier: Apache-2.0
"""Ways in which functions are divided into vGPUs: the seam for frameworks.

A framework is a class under the entry point
``nova_vfio_variant.vgpu_framework``; its name there is the one that plans and
journals know it by.
"""

from __future__ import annotations

import abc
import functools
import typing as ty

from nova_vfio_variant import exception, plugins
from nova_vfio_variant.host import process
from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_card
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import function as observed

NAMESPACE: ty.Final = "nova_vfio_variant.vgpu_framework"
#: Seconds that a vendor's tool is waited for where it is only asked.
PATIENCE: ty.Final = 20.0


class Writer(ty.Protocol):
    """What a framework may do to the host, and read back.

    Each raises OSError with the kernel's errno, and ValueError for an address
    or a value that makes no sense.
    """

    @property
    def root(self) -> host_tree.HostTree:
        """The host."""

    def set_vgpu_type(self, address: str, type_id: str) -> None:
        """Write ``current_vgpu_type`` in a vendor's folder."""


class VgpuFramework(abc.ABC):
    """How vGPUs of some functions are made and removed.

    Only :meth:`set_type` and :meth:`set_heterogeneous` touch the host; they
    alone run with privileges, in a helper process with :meth:`deadline`
    seconds.
    """

    @abc.abstractmethod
    def serves(self, function: observed.PciFunction) -> bool:
        """Whether a function's vGPU is made in this way, by its files.

        Raises nothing.
        """

    @abc.abstractmethod
    def offer(
        self, tree: host_tree.HostTree, function: observed.PciFunction
    ) -> vendor_vgpu.VendorVgpu:
        """What a function has, and could be given now. Raises nothing."""

    @abc.abstractmethod
    def set_type(self, writer: Writer, address: str, type_id: str) -> None:
        """Give a function a type; ``0`` takes it away.

        What came of it is read back with :meth:`current`.

        :raises OSError: it failed; the errno says little, for it differs by
            version
        :raises ValueError: the address or the id makes no sense
        """

    @abc.abstractmethod
    def current(self, tree: host_tree.HostTree, address: str) -> str:
        """The id of a function's type; ``0`` for none, empty if unreadable."""

    @abc.abstractmethod
    def set_heterogeneous(
        self, writer: Writer, address: str, flag: bool
    ) -> None:
        """Let a card's vGPUs be of several sizes, or of one.

        :param address: of the card's PF
        :raises OSError: it failed, or the card can't
        """

    @abc.abstractmethod
    def heterogeneous(self, tree: host_tree.HostTree, address: str) -> str:
        """``1`` or ``0``; empty where nobody can tell. It may run a program."""

    def told(self, tree: host_tree.HostTree, address: str) -> vgpu_card.Told:
        """What a vendor's tool tells of a card's types; it may run a program.

        Raises nothing.

        :param address: of the card's PF
        """
        return vgpu_card.NOTHING_TOLD

    def deadline(self) -> float:
        """Seconds that a change may take. Raises nothing."""
        return 60.0


@functools.cache
def _frameworks() -> dict[str, VgpuFramework]:
    return dict(plugins.load(NAMESPACE))


def of(function: observed.PciFunction) -> tuple[str, VgpuFramework] | None:
    """The framework of a function, by its name; None if it has none."""
    for name, framework in sorted(_frameworks().items()):
        if framework.serves(function):
            return name, framework
    return None


def named(name: str) -> VgpuFramework:
    """The framework of this name.

    :raises HostError: none is installed
    """
    try:
        return _frameworks()[name]
    except KeyError:
        raise plugins.missing("vGPU framework", name, NAMESPACE) from None


def told(tree: host_tree.HostTree, address: str) -> vgpu_card.Told:
    """What a tool tells of a card whose VFs aren't there to be looked at.

    :param address: of the card's PF
    """
    for _, framework in sorted(_frameworks().items()):
        told_of = framework.told(tree, address)
        if told_of.names:
            return told_of
    return vgpu_card.NOTHING_TOLD


def mode(
    framework: VgpuFramework, tree: host_tree.HostTree, address: str
) -> bool | None:
    """Whether a card's vGPUs may be of several sizes; None if nobody tells.

    The vendor's tool may hang with its card, so that it isn't waited for.

    :param address: of the card's PF
    """
    try:
        said = process.run(
            lambda: framework.heterogeneous(tree, address), PATIENCE
        )
    except (OSError, exception.HostError):
        return None
    return {"1": True, "0": False}.get(said)
