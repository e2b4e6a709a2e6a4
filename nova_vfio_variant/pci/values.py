# SPDX-License-Identifier: Apache-2.0
"""What this room needs to know of functions and devices, and pools of them."""

from __future__ import annotations

import dataclasses
import typing as ty

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address

_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "off", "n", "no"})


def boolean(value: object) -> bool | None:
    """What Nova reads as a yes or a no; None if it is neither.

    As ``bool_from_string`` of oslo_utils/strutils.py, to import which takes
    as long as a third of a command: it compiles 500 regular expressions.
    """
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    return False if text in _FALSE else None


class Function(ty.Protocol):
    """A PCI function as observed; ``host.function.PciFunction`` is one."""

    @property
    def address(self) -> pci_address.PciAddress:
        """Where it sits."""

    @property
    def vendor_id(self) -> str:
        """Four lower-case hex digits."""

    @property
    def product_id(self) -> str:
        """Four lower-case hex digits."""

    @property
    def physfn(self) -> pci_address.PciAddress | None:
        """Of a VF, its PF."""

    @property
    def sriov_totalvfs(self) -> int:
        """VFs that it could have; 0 if it is no PF."""

    @property
    def netdevs(self) -> tuple[str, ...]:
        """Names of its network interfaces."""

    @property
    def card_serial_number(self) -> str | None:
        """From the vital product data of the card, if it has any."""


class Device(ty.Protocol):
    """A tracked device; ``tracker.device.Device`` is one."""

    @property
    def address(self) -> pci_address.PciAddress:
        """Where it sits."""

    @property
    def vendor_id(self) -> str:
        """Four lower-case hex digits."""

    @property
    def product_id(self) -> str:
        """Four lower-case hex digits."""

    @property
    def dev_type(self) -> str:
        """``type-VF``, ``vdpa``, ``type-PF`` or ``type-PCI``."""

    @property
    def numa_node(self) -> int | None:
        """None where the kernel knows none."""

    @property
    def parent_addr(self) -> pci_address.PciAddress | None:
        """Of a VF, its PF."""

    @property
    def resource_class(self) -> str:
        """Normalised, as published."""

    @property
    def traits(self) -> tuple[str, ...]:
        """Normalised, as published, without the automatic ones."""

    @property
    def tags(self) -> ty.Mapping[str, ty.Any]:
        """The pool tags of its spec (``pci.spec.DeviceSpec.tags``)."""

    @property
    def status(self) -> str:
        """``available`` and so on."""

    @property
    def extra_info(self) -> ty.Mapping[str, str]:
        """``parent_ifname`` and ``rp_uuid`` are read from it."""


D = ty.TypeVar("D", bound=Device)


@dataclasses.dataclass(eq=False, slots=True)
class Pool(ty.Generic[D]):
    """Free devices that are alike: those of one PF, or one device.

    :param properties: what they have in common, under Nova's names
    :param devices: in the order in which they came; the last one goes first
    :param rp_uuid: their resource provider, if it is known
    """

    properties: dict[str, ty.Any]
    devices: dict[pci_address.PciAddress, D]
    rp_uuid: str | None = None

    @property
    def remote_managed(self) -> bool:
        """Whether another host, such as a DPU, manages the devices."""
        return bool(boolean(self.properties.get("remote_managed")))
