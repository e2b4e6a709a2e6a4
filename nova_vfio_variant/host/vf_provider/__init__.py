# SPDX-License-Identifier: Apache-2.0
"""Ways in which vendors make VFs: the seam for whatever isn't plain sysfs.

A provider is a class under the entry point ``nova_vfio_variant.vf_provider``;
its name there is the one that plans and journals know it by.
"""

from __future__ import annotations

import abc
import functools
import typing as ty

from nova_vfio_variant import plugins
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import function as observed

NAMESPACE: ty.Final = "nova_vfio_variant.vf_provider"
#: Serves every PF that nobody else serves.
PLAIN: ty.Final = "sysfs"


class Writer(ty.Protocol):
    """What a provider may do to the host, and read back.

    Each raises OSError with the kernel's errno, and ValueError for an address
    or a name that makes no sense.
    """

    @property
    def root(self) -> host_tree.HostTree:
        """The host."""

    def set_numvfs(self, address: str, count: int) -> None:
        """Write ``sriov_numvfs``."""

    def numvfs(self, address: str, count: int) -> int | None:
        """How many VFs a PF has, once they are ``count`` or time is up."""

    def driver(self, address: str, awaited: str = "") -> str:
        """The bound driver, likewise; empty for none."""

    def probe(self, address: str) -> None:
        """Have the kernel look for a driver."""


class VfProvider(abc.ABC):
    """How the VFs of some PFs are made and removed.

    Only :meth:`set_numvfs` touches the host, and it alone runs with
    privileges, in a helper process that has :meth:`deadline` seconds.
    """

    #: Whether the PF itself is taken from its driver for a moment, so that
    #: it may not be in use either.
    disturbs_pf: ty.ClassVar[bool] = False

    #: Where it is so, the drivers that the PF may be on in that moment, beside
    #: its own and none.
    passes: ty.ClassVar[tuple[str, ...]] = ()

    #: Name of the program that it runs; empty for none.
    program: ty.ClassVar[str] = ""

    @abc.abstractmethod
    def serves(self, pf: observed.PciFunction) -> bool:
        """Whether a PF's VFs are made in this way. Raises nothing."""

    def refusal(self, pf: observed.PciFunction, count: int) -> str | None:
        """Why this number of VFs can't be made; None if it can.

        Raises nothing.
        """
        return None

    def deadline(self, before: int, after: int) -> float:
        """Seconds that the change may take. Raises nothing.

        64 VFs take 22 s on i40e, 125 take 65 s on a ConnectX-6 Lx, a
        function level reset 1 s a VF: three times that.
        """
        return 30.0 + 2.0 * max(before, after)

    @abc.abstractmethod
    def set_numvfs(self, writer: Writer, address: str, count: int) -> None:
        """Make a PF have this many VFs.

        What came of it is read from sysfs afterwards, so that it need not
        know whether it succeeded. A program is run by
        :func:`~nova_vfio_variant.host.observe.programs.run`.

        :raises OSError: it failed, with the kernel's errno if it gave one
        :raises ValueError: the address or the count makes no sense
        """


@functools.cache
def _providers() -> dict[str, VfProvider]:
    return dict(plugins.load(NAMESPACE))


def of(pf: observed.PciFunction) -> tuple[str, VfProvider]:
    """The provider that serves a PF, by its name.

    :raises HostError: none is installed
    """
    known = _providers()
    for name in sorted(set(known) - {PLAIN}):
        if known[name].serves(pf):
            return name, known[name]
    return PLAIN, named(PLAIN)


def named(name: str) -> VfProvider:
    """The provider of this name.

    :raises HostError: none is installed
    """
    try:
        return _providers()[name]
    except KeyError:
        raise plugins.missing("way of making VFs", name, NAMESPACE) from None
