# SPDX-License-Identifier: Apache-2.0
"""VFIO3xx: the host is not what the configuration counts on."""

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING
_INFO = finding.Severity.INFO

MATCHES_NOTHING: ty.Final = finding.Code(
    "VFIO301",
    _WARNING,
    "a device_spec matches nothing on this host",
    "Nova says nothing about it and tracks no device for the entry.",
    'device_spec = { "vendor_id": "10de", "product_id": "25b7" } on a host '
    "whose VFs are 25b6",
    "Correct the field that the message names; nova-vfio host list shows "
    "what is there.",
)
IOMMU_OFF: ty.Final = finding.Code(
    "VFIO302",
    _WARNING,
    "the IOMMU is off",
    "No function has an IOMMU group. VFIO gives devices to guests through "
    "the IOMMU alone; libvirt refuses to start a guest with one.",
    "/sys/kernel/iommu_groups is empty",
    "Enable the IOMMU in the firmware and, where the kernel leaves it off, on "
    "its command line (intel_iommu=on for Intel's processors), and reboot.",
)
NO_VFIO_MODULE: ty.Final = finding.Code(
    "VFIO303",
    _WARNING,
    "there is no VFIO driver",
    "vfio-pci is neither loaded nor among the modules of the running "
    "kernel; no function can be bound to it.",
    "/sys/bus/pci/drivers/vfio-pci does not exist",
    "Install the kernel's package with extra modules, or run the kernel "
    "whose modules are installed.",
)
NOT_PREPARED: ty.Final = finding.Code(
    "VFIO304",
    _WARNING,
    "managed is no, and the device is not on a VFIO driver",
    "With managed no libvirt does not detach the device from the host, and "
    "refuses to start a guest with one that is on another driver or on "
    "none (virHostdevPreparePCIDevices).",
    'device_spec = { "address": "0000:25:00.4", "managed": "no" } while the '
    "VF is on the driver igbvf",
    "Bind the device before nova-compute starts; nova-vfio host apply does "
    "so.",
)
VARIANT_LOST: ty.Final = finding.Code(
    "VFIO305",
    _WARNING,
    "managed is yes, and the device is on a variant driver",
    "With managed yes libvirt binds the device itself and gives it back to "
    "the host's driver after the guest, so that the variant driver, and "
    "with it migration, may be lost.",
    'device_spec = { "address": "0000:25:00.4" } while the VF is on the '
    "driver mlx5_vfio_pci",
    'Add "managed": "no".',
)
CARRIES_HOST: ty.Final = finding.Code(
    "VFIO306",
    _WARNING,
    "the device carries the host",
    "With managed yes libvirt takes the function from its driver when a "
    "guest starts; the host loses its network, disk or screen with it.",
    'device_spec = { "vendor_id": "8086" } that matches the network card of '
    "the default route",
    "Name only devices that the host can do without.",
)
GROUP_IN_USE: ty.Final = finding.Code(
    "VFIO307",
    _WARNING,
    "another member of the IOMMU group is in use",
    "A group is given to a guest as a whole: VFIO refuses it while any "
    "member but a bridge is on a driver of the host "
    "(vfio_group_viable; -EINVAL when the guest starts).",
    "0000:00:10.1 on e1000e in the group of 0000:00:10.0",
    "Unbind the other members too, or move the card to a slot with "
    "isolation (ACS).",
)
GROUP_SHARED: ty.Final = finding.Code(
    "VFIO308",
    _WARNING,
    "a device without isolation from others",
    "The function shares its IOMMU group with others, because it stands "
    "behind a bridge that does not isolate (no ACS), or is one of several "
    "functions of such a card. Two guests can't have members of one group.",
    "0000:00:10.0 and 0000:00:10.1 are in one group",
    "Give all of them to one guest, or move the card to a slot with "
    "isolation.",
)
BETTER_DRIVER: ty.Final = finding.Code(
    "VFIO309",
    _WARNING,
    "a variant driver exists, and another driver is bound",
    "The kernel's modules.alias names a VFIO driver that is made for this "
    "device; without it migration and vendor features are missing. With "
    "managed yes nothing is said: libvirt chooses that driver itself since "
    "10.0.0.",
    "a VF of 15b3:101e on vfio-pci while mlx5_vfio_pci is installed",
    "Bind the variant driver; nova-vfio host apply does so where a host_spec "
    'has "driver": "variant".',
)
FEWER_VFS: ty.Final = finding.Code(
    "VFIO310",
    _WARNING,
    "a device_spec names VFs that have not been made",
    "The PF that would have them has fewer VFs, or none. VFs vanish with "
    "every reboot and are made anew by whoever prepares the host.",
    'device_spec = { "address": "0000:25:00.4" } while sriov_numvfs of '
    "0000:25:00.0 is 0",
    "Make them before nova-compute starts: nova-vfio host apply with "
    '"num_vfs", or write sriov_numvfs.',
)
VGPU_TYPE_UNSET: ty.Final = finding.Code(
    "VFIO311",
    _WARNING,
    "a VF has no vGPU type",
    "The VF's current_vgpu_type is 0. Nova schedules it like any other, and "
    "the guest fails when it starts.",
    "/sys/bus/pci/devices/0000:25:00.4/nvidia/current_vgpu_type is 0",
    "Write one of the ids in the VF's nvidia/creatable_vgpu_types to its "
    "nvidia/current_vgpu_type.",
)
NO_VFIO_DEV: ty.Final = finding.Code(
    "VFIO312",
    _WARNING,
    "a vendor driver that libvirt does not take for a VFIO driver",
    "The bound driver is named as a VFIO driver, but there is no vfio-dev/ "
    "below the device. libvirt knows a variant driver by that folder, which "
    "kernels have since 6.1; a vGPU driver makes it once it supports the "
    "device.",
    "a VF on nvidia without /sys/bus/pci/devices/0000:25:00.4/vfio-dev",
    "Update the kernel or the vendor's driver, and see that SR-IOV is "
    "enabled the vendor's way (sriov-manage).",
)
FACTS_LOST: ty.Final = finding.Code(
    "VFIO313",
    _INFO,
    "something about the host could not be read",
    "A file of sysfs vanished or refused to be read while the host was "
    "scanned. It costs that fact alone; where it matters whether a device "
    "is in use, what is not known counts as in use.",
    "0000:25:00.4: iommu_group: Permission denied",
    "Run the command again, as root if permissions are the reason.",
)
HOST_SPEC_UNFIT: ty.Final = finding.Code(
    "VFIO314",
    _WARNING,
    "a host_spec that doesn't fit this host",
    "An entry names no function of this host, or a driver that isn't there, "
    "or contradicts another one. host apply refuses all of them while one "
    "doesn't fit.",
    'host_spec = { "address": "0000:99:00.0", "num_vfs": 4 } where there is '
    "no such function",
    "Correct the entry; nova-vfio host list shows what is there.",
)
NOT_AS_DECLARED: ty.Final = finding.Code(
    "VFIO315",
    _WARNING,
    "the host isn't what host_spec declares",
    "A number of VFs, or a driver, differs from what [vfio] host_spec asks "
    "for. After a reboot all of it has to be made anew.",
    'host_spec = { "address": "0000:25:00.0", "num_vfs": 4 } and 0 VFs',
    "See nova-vfio host plan, then run nova-vfio host apply.",
)
HOST_UNSEEN: ty.Final = finding.Code(
    "VFIO316",
    _ERROR,
    "the host can't be seen",
    "Its list of PCI functions is missing or can't be read, or there is no "
    "such host. Every command that writes refuses: taken for a host without "
    "devices it would empty the tracker and Placement.",
    "--host-root names a folder without sys/bus/pci/devices",
    "Correct --host-root, or run the command as root; --offline checks the "
    "files alone.",
)
FUNCTION_UNREAD: ty.Final = finding.Code(
    "VFIO317",
    _WARNING,
    "a PCI function could not be read",
    "Its folder, its ids, its PF or its number of VFs could not be read, so "
    "that nobody can say what it is. If it is tracked it stays as it is, and "
    "is given to nobody; if not, it isn't added.",
    "0000:25:00.4: physfn: Permission denied",
    "Run the command again, as root if permissions are the reason.",
)
NO_IOMMU_GROUP: ty.Final = finding.Code(
    "VFIO318",
    _WARNING,
    "a device without an IOMMU group",
    "The IOMMU is on, and has no group for this function: firmware or the "
    "kernel's command line leave it out, or its IOMMU is not supported. "
    "VFIO can't open it, and a guest with it fails when it starts.",
    "/sys/bus/pci/devices/0000:25:00.4/iommu_group does not exist, and other "
    "functions have one",
    "Look in the kernel's log for messages of the IOMMU about the device; "
    "until then name other devices.",
)
