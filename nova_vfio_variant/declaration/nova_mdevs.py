# SPDX-License-Identifier: Apache-2.0
"""Which mediated devices Nova hands out: its options, as it reads them. Pure.

``LibvirtDriver._get_supported_vgpu_types``, ``_get_vgpu_type_per_pgpu`` and
``_get_resource_class_for_device`` of Nova 34.0.0: one type for each parent,
that of the group which names it, or the first type whose group names none.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
import typing as ty

from nova_vfio_variant.conf import nova
from nova_vfio_variant.declaration import nova_here

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.host.observe import mdev

VGPU: ty.Final = "VGPU"
ENABLED: ty.Final = ("devices", "enabled_mdev_types")
ADDRESSES: ty.Final = "device_addresses"

#: As Nova's (nova/pci/utils.py), whose dot is any character.
_ADDRESS: ty.Final = re.compile(
    r"^[\da-fA-F]{4}:[\da-fA-F]{2}:[\da-fA-F]{2}.[0-7]$"
)
_VIRTUAL: ty.Final = "sys/devices/virtual/"
_MATRIX: ty.Final = "sys/devices/vfio_ap/matrix"
_CHANNEL: ty.Final = re.compile(r"sys/devices/css[0-9a-f]+/[^/]+")


class Wrong(enum.StrEnum):
    """Why a name among ``device_addresses`` keeps Nova from starting."""

    ADDRESS = "neither a PCI address nor a virtual device that is there"
    TWICE = "named before"


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """A parent that ``device_addresses`` names for a type.

    :param name: as written: an address, or the name of a virtual parent
    :param number: which of the option's names it is, from 0
    :param wrong: why Nova doesn't start with it
    :param before: the type that named it before, where one did
    """

    kind: str
    name: str
    number: int
    wrong: Wrong | None = None
    before: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class NovaMdevs:
    """What the options say.

    :param types: those that Nova makes devices of
    :param default: the type of PCI functions that no group names
    :param ignored: types that are enabled and not made: without addresses,
        after the default
    :param named: each name of each group, in order
    :param classes: name of a parent -> its resource class
    :param limits: type -> the most devices of it on this host
    """

    types: tuple[str, ...] = ()
    default: str | None = None
    ignored: tuple[str, ...] = ()
    named: tuple[Named, ...] = ()
    classes: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    limits: ty.Mapping[str, int] = dataclasses.field(default_factory=dict)

    def type_of(self, parent: mdev.Parent) -> str | None:
        """The one type that Nova makes of a parent; None for none.

        Whether the parent offers it is another question.
        """
        if not self.types:
            return None
        known = self._known(parent)
        if known is None:
            return None
        return next(
            (named.kind for named in self.named if named.name == known),
            self.default,
        )

    def made_of(self, parent: mdev.Parent) -> str | None:
        """The type of a parent, where it offers it."""
        kind = self.type_of(parent)
        if kind is None or parent.type_of(kind) is None:
            return None
        return kind

    def resource_class(self, parent: mdev.Parent) -> str:
        """What a device of a parent is in Placement.

        ``mdev_class`` counts for parents that ``device_addresses`` names.
        """
        return self.classes.get(self._known(parent) or "", VGPU)

    def _known(self, parent: mdev.Parent) -> str | None:
        """How ``device_addresses`` calls a parent; None for nothing."""
        if parent.address is not None and parent.name == str(parent.address):
            return parent.name if is_address(parent.name) else None
        name = libvirt_name(parent)
        is_named = any(named.name == name for named in self.named)
        return name if is_named else None


NOTHING: ty.Final = NovaMdevs()


def is_address(name: str) -> bool:
    """Whether Nova takes a name for a PCI function's address."""
    return _ADDRESS.match(name) is not None


def libvirt_name(parent: mdev.Parent) -> str | None:
    """The name of a parent's node device; None where it has none.

    Nova knows PCI functions, and virtual devices such as ``mtty_mtty``; of
    s390 there are channels and the matrix of crypto adapters
    (``src/node_device/node_device_udev.c``).
    """
    if parent.address is not None and parent.name == str(parent.address):
        return "pci_" + re.sub("[:.]", "_", parent.name)
    if parent.path.startswith(_VIRTUAL):
        return parent.path.removeprefix(_VIRTUAL).replace("/", "_")
    if parent.path == _MATRIX:
        return "ap_matrix"
    if _CHANNEL.fullmatch(parent.path):
        return "css_" + parent.name.replace(".", "_")
    return None


def read(
    given: facts.CheckInput, is_there: ty.Callable[[str], bool] | None = None
) -> NovaMdevs:
    """What the options say, whoever is to act on it.

    :param is_there: whether a virtual device is; None to look at the host
    """
    is_there = is_there or functools.partial(_is_there, given)
    kinds = given.options.get(ENABLED) or ()
    types = list(kinds)
    default = None
    ignored = []
    named: list[Named] = []
    first: dict[str, str] = {}
    classes: dict[str, str] = {}
    limits: dict[str, int] = {}
    for kind in kinds:
        group = f"{nova.OF_MDEV_TYPE}{kind}"
        limit = given.options.get((group, "max_instances"))
        if limit:
            limits[kind] = limit
        names = given.options.get((group, ADDRESSES)) or ()
        if not names and default:
            types.remove(kind)
            ignored.append(kind)
        elif not names:
            default = kind
        for number, name in enumerate(names):
            wrong = None
            if name in first:
                wrong = Wrong.TWICE
            elif not is_address(name) and not is_there(name):
                wrong = Wrong.ADDRESS
            named.append(Named(kind, name, number, wrong, first.get(name)))
            first.setdefault(name, kind)
            classes.setdefault(
                name, given.options.get((group, "mdev_class")) or VGPU
            )
    return NovaMdevs(
        tuple(types), default, tuple(ignored), tuple(named), classes, limits
    )


@dataclasses.dataclass(frozen=True, slots=True)
class HandedOut:
    """What nova-compute hands out on this host.

    It gives a guest any device of a parent and its type that no guest has,
    ours too (``LibvirtDriver._get_existing_mdevs_not_assigned``).

    :param mdevs: nothing where it isn't here
    :param why: it seems to be here
    :param unknown: why nobody can say what it hands out; None if that is known
    """

    mdevs: NovaMdevs = NOTHING
    why: str = ""
    unknown: str | None = None

    def against(self, parent: mdev.Parent) -> str | None:
        """Why we make no device of a parent; None if we may.

        Nor one of another type. Nova neither counts nor hands out those, but
        all types of a parent share what it has: what Placement promised of
        Nova's (``_allocate_mdevs``), and what it starts again after a boot
        (``_start_inactive_mediated_devices``), would find no room.
        """
        if self.unknown is not None:
            return f"what nova-compute hands out is not known: {self.unknown}"
        kind = self.mdevs.made_of(parent)
        if kind is None:
            return None
        return (
            f"nova-compute hands out {kind} of {parent.name}, whoever made it"
            f" ({self.why})"
        )


def handed_out(given: facts.CheckInput) -> HandedOut:
    """What nova-compute hands out on this host."""
    why = nova_here.beside_nova(given)
    return HandedOut() if why is None else HandedOut(read(given), why)


def _is_there(given: facts.CheckInput, name: str) -> bool:
    """Whether a virtual device is there; where the host isn't seen it is."""
    if given.scan is None:
        return True
    return given.scan.tree.exists(_VIRTUAL + name.replace("_", "/"))
