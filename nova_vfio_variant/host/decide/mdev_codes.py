# SPDX-License-Identifier: Apache-2.0
"""What speaks against making a mediated device, or taking one away."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR

NO_MDEV_PARENT: ty.Final = finding.Code(
    "VFIO586",
    _ERROR,
    "a device that offers no mediated devices",
    "Who offers them has a link in /sys/class/mdev_bus, as long as the driver "
    "that makes them is loaded. The kernel has none at all without its module "
    "mdev; vendors' drivers of today give their VFs vGPU types in another way.",
    "--parent 0000:06:00.0, and /sys/class/mdev_bus has only mtty",
    "Name a parent that nova-vfio mdev types shows, or load the vendor's "
    "driver.",
)
NO_MDEV_TYPE: ty.Final = finding.Code(
    "VFIO587",
    _ERROR,
    "a type of mediated device that nobody offers",
    "A type is named by the folder that it has below a parent's "
    "mdev_supported_types, or by its name there.",
    "nvidia-36 where the card has nvidia-35 and nvidia-37",
    "Name a type that nova-vfio mdev types shows.",
)
MDEV_UUID_TAKEN: ty.Final = finding.Code(
    "VFIO588",
    _ERROR,
    "a UUID that a mediated device has already",
    "The kernel takes a UUID once for all parents and types of a host "
    "(EEXIST), also while one that is open is being removed.",
    "--uuid of a device of type nvidia-35 below 0000:06:00.0",
    "Take another UUID, or remove that device: nova-vfio mdev list shows whose "
    "it is.",
)
MDEV_FULL: ty.Final = finding.Code(
    "VFIO589",
    _ERROR,
    "no room for another mediated device of a type",
    "All parents that offer the type have as many devices as they take, or "
    "devices of a type beside which theirs takes no other.",
    "nvidia-35 where available_instances is 0 below each parent",
    "Remove what is idle: nova-vfio mdev list shows what is there, and whose.",
)
MDEV_OPEN: ty.Final = finding.Code(
    "VFIO594",
    _ERROR,
    "a mediated device that is open",
    "To remove it would take it from the guest without a word, and wait until "
    "whoever has it lets go. Where processes can't be looked into it counts "
    "as open.",
    "/dev/vfio/12 is open in process 4711 (qemu-system-x86)",
    "Stop the guest that has it.",
)
NO_MDEV: ty.Final = finding.Code(
    "VFIO595",
    _ERROR,
    "no such mediated device",
    "The UUID is in no /sys/bus/mdev/devices.",
    "nova-vfio mdev delete of one that was removed",
    "nova-vfio mdev list shows what is there.",
)
MDEV_NOT_OURS: ty.Final = finding.Code(
    "VFIO596",
    _ERROR,
    "a mediated device that another tool made, or another instance has",
    "What nova-vfio did not make is another tool's, and counted as used. What "
    "it made is the instance's that it was made for.",
    "nova-vfio mdev delete of one that libvirt made",
    "Remove it with the tool that made it: mdevctl stop, virsh "
    "nodedev-destroy.",
)
MDEV_OF_NOVA: ty.Final = finding.Code(
    "VFIO597",
    _ERROR,
    "a mediated device of a parent whose devices Nova hands out",
    "Nova gives a guest any device of a parent and type in [devices] that no "
    "guest has, ours too (LibvirtDriver._get_existing_mdevs_not_assigned). One "
    "of another type takes room from those that Nova has promised.",
    "nova-vfio mdev create nvidia-35 beside enabled_mdev_types = nvidia-35",
    "Let Nova make it; or write nova_compute = no into [vfio] where "
    "nova-compute does not run on this host.",
)
MDEV_UUID: ty.Final = finding.Code(
    "VFIO598",
    _ERROR,
    "a word that is no UUID as the kernel takes it",
    "A UUID of a mediated device is 36 characters: hexadecimal digits in "
    "groups of 8, 4, 4, 4 and 12 with hyphens between them, and no braces.",
    "{c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a11}",
    "Write it as uuidgen prints it.",
)
MDEV_ATTRIBUTE: ty.Final = finding.Code(
    "VFIO599",
    _ERROR,
    "an attribute that can't be written",
    "Attributes are files of the vendor's in the device's folder, given as "
    "NAME=VALUE; NAME may have a folder. They are written in the order in "
    "which they are given, and a device of which one fails is removed again.",
    "--attribute remove=1",
    "Name an attribute that the device's driver has, such as "
    "nvidia/vgpu_params=frame_rate_limiter=0.",
)
