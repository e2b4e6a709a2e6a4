# SPDX-License-Identifier: Apache-2.0
"""What operators call devices."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing as ty
import uuid

from nova_vfio_variant import exception
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function
from nova_vfio_variant.tracker import models, tables

#: As hypeman has them; the column is no longer.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """The name of one device.

    :param id: UUID, never given to another
    :param address: of the function
    :param name: unique on the host
    :param identity: which function it was given to
    :param since: when, in UTC, as ISO 8601 has it
    """

    id: str
    address: pci_address.PciAddress
    name: str
    identity: function.Identity
    since: str

    def is_of(self, seen: function.PciFunction | None) -> bool:
        """Whether it may be what is seen at its address.

        :param seen: None where nothing is seen there
        """
        return self.identity.may_be(seen)


def can_be(text: str) -> bool:
    """Whether a text can be the name, or the id, of a device."""
    return _NAME.fullmatch(text) is not None


def default(address: pci_address.PciAddress) -> str:
    """What a device is called that is given no name."""
    words = re.sub("[:.]", "-", str(address))
    return f"pci-{words}"


def meant(word: str) -> str:
    """A name or an id as the store has it: an id may be spelled anyhow."""
    try:
        return str(uuid.UUID(word))
    except ValueError:
        return word


def find(known: ty.Iterable[Name], word: str) -> Name | None:
    """The one that is meant by an id, a name, or an address."""
    listed, word = [*known], meant(word)
    for key in ("id", "name", "address"):
        for name in listed:
            if str(getattr(name, key)) == word:
                return name
    return None


class Names(tables.OfFunctions[Name]):
    """All of a store."""

    _table = models.names
    _kind = Name

    def add(
        self,
        address: pci_address.PciAddress,
        name: str | None,
        identity: function.Identity,
    ) -> Name:
        """Give a device a name.

        :param name: None for :func:`default`
        :param identity: which function it is
        :raises InvalidName: it is written as no name is
        :raises AlreadyRegistered: the device has one
        :raises NameExists: another device has it
        """
        made = Name(
            str(uuid.uuid4()),
            address,
            default(address) if name is None else name,
            identity,
            tables.now(),
        )
        _expect_name(made.name)
        with self._write() as link:
            for there in self._all(link):
                _expect_free(there, made)
            tables.put(link, self._table, made)
        return made

    def remove(self, name: Name) -> None:
        """Take a device's name away."""
        self._erase(id=name.id)


def _expect_name(text: str) -> None:
    """See that a text may be a name.

    :raises InvalidName: it may not
    """
    if not can_be(text):
        raise exception.InvalidName(
            f"{text!r} is no name of a device",
            "a name has 2 to 255 letters, digits, '_', '.' and '-', and begins"
            " with a letter or a digit",
        )
    with contextlib.suppress(ValueError):
        uuid.UUID(text)
        raise exception.InvalidName(
            f"{text!r} is written as a UUID, and no name of a device",
            "the id that each device gets is one",
        )


def _expect_free(there: Name, made: Name) -> None:
    """See that a device with a name isn't in the way of another.

    :raises AlreadyRegistered: it is the same
    :raises NameExists: it has the same name
    """
    if there.address == made.address:
        whose = "the device"
        if there.identity.is_another(made.identity):
            whose = f"another device, {there.identity.shown},"
        raise exception.AlreadyRegistered(
            f"{whose} at {there.address} is called {there.name} already",
            f"'nova-vfio device unregister {there.name}' takes the name away",
        )
    if there.name == made.name:
        raise exception.NameExists(
            f"the device at {there.address} is called {there.name}",
            "a name is given once: choose another",
        )
