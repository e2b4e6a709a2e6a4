# SPDX-License-Identifier: Apache-2.0
"""Codes of what is wrong with Nova's options about mediated devices."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding

_ERROR: ty.Final = finding.Severity.ERROR
_WARNING: ty.Final = finding.Severity.WARNING

MDEV_ADDRESS: ty.Final = finding.Code(
    "VFIO240",
    _ERROR,
    "Nova does not start with such a name in device_addresses",
    "Each has to be a whole PCI address, or the name of a virtual device such "
    "as mtty_mtty for /sys/devices/virtual/mtty/mtty "
    "(LibvirtDriver._validate_device_address: InvalidLibvirtMdevConfig).",
    "[mdev_nvidia-35]\ndevice_addresses = 84:00.0",
    "Write the whole address, with its domain: 0000:84:00.0.",
)
MDEV_TWICE: ty.Final = finding.Code(
    "VFIO241",
    _ERROR,
    "Nova does not start with a card under two types",
    "A card makes devices of one type (LibvirtDriver."
    "_get_supported_vgpu_types: InvalidLibvirtMdevConfig). A type that is "
    "enabled twice names its cards twice.",
    "0000:84:00.0 in [mdev_nvidia-35] and in [mdev_nvidia-36]",
    "Remove the address from one of the two.",
)
MDEV_IGNORED: ty.Final = finding.Code(
    "VFIO242",
    _WARNING,
    "an option about mediated devices that Nova passes over",
    "The first type without device_addresses is made of all cards that no type "
    "names; Nova drops the next one with a line in its log. mdev_class counts for "
    "the cards of device_addresses alone: others are VGPU.",
    "[devices]\nenabled_mdev_types = nvidia-35, nvidia-36\nwithout groups",
    "Name the cards of the type in device_addresses.",
)
MDEV_ABSENT: ty.Final = finding.Code(
    "VFIO243",
    _WARNING,
    "a card for mediated devices that isn't there",
    "Nova compares addresses as text, in lower case as the kernel writes them, "
    "and says nothing of one that no card has.",
    "[mdev_nvidia-35]\ndevice_addresses = 0000:8A:00.0",
    "Correct the address, or remove it: nova-vfio host list shows all.",
)
NO_MDEVCTL: ty.Final = finding.Code(
    "VFIO244",
    _WARNING,
    "mdevctl is missing",
    "libvirt makes mediated devices, and keeps them over a reboot, by mdevctl: "
    "without it a guest with one fails when it is built.",
    "[devices]\nenabled_mdev_types = nvidia-35 without /usr/sbin/mdevctl",
    "Install the package mdevctl, in the container of libvirt too.",
)
