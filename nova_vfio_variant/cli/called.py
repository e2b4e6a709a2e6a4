# SPDX-License-Identifier: Apache-2.0
"""Devices on the command line: by address, or by what they are called."""

from __future__ import annotations

import argparse
import typing as ty
import uuid

from nova_vfio_variant.node import naming
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context


class Called(str):
    """The name or the id of a device, until it is looked up."""

    __slots__ = ()


def device(text: str) -> pci_address.PciAddress:
    """A device given on the command line; :func:`resolve` makes it one.

    :raises ArgumentTypeError: argparse prints it and ends with status 2
    """
    from nova_vfio_variant.tracker import names

    try:
        return pci_address.PciAddress.parse(text)
    except ValueError as error:
        if names.can_be(text):
            # An address as soon as the command runs.
            return ty.cast("pci_address.PciAddress", Called(text))
        raise argparse.ArgumentTypeError(str(error)) from error


def device_or_uuid(text: str) -> pci_address.PciAddress | str:
    """A device, or what has a UUID that is no device's id.

    :raises ArgumentTypeError: argparse prints it and ends with status 2
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return device(text)


def resolve(
    parsed_args: argparse.Namespace, on: ty.Callable[[], context.Context]
) -> None:
    """Put addresses in the place of names.

    :param on: the node, which isn't looked at where there is no name
    :raises DeviceNotFound: no device is called so, or another function stands
        at its address
    """

    def looked_up(value: ty.Any) -> ty.Any:
        if isinstance(value, Called):
            return naming.Naming(on()).address_of(value)
        if isinstance(value, list):
            return [looked_up(item) for item in value]
        return value

    for key, value in vars(parsed_args).items():
        setattr(parsed_args, key, looked_up(value))
