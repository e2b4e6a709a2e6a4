# SPDX-License-Identifier: Apache-2.0
"""VFIO53x and VFIO54x: what decides whether a function may go to a guest."""

import typing as ty

from nova_vfio_variant import finding

_WARNING = finding.Severity.WARNING
_INFO = finding.Severity.INFO

MDEV_BELOW: ty.Final = finding.Code(
    "VFIO530",
    _WARNING,
    "mediated devices stand below the function",
    "The driver that made them holds the function. To take it from that "
    "driver waits for ever while one of them is open, and removes the idle "
    "ones without a word.",
    "/sys/bus/pci/devices/0000:25:00.4/UUID is open in process 4711",
    "Remove them first (their file remove, or mdevctl stop), or name another "
    "function.",
)
VDPA_BELOW: ty.Final = finding.Code(
    "VFIO531",
    _WARNING,
    "a vDPA device stands below the function",
    "It goes to guests as a vDPA device, and no alias can ask for it as a "
    "PCI device (nova.virt.libvirt.host.Host._get_pcidev_info). To take the "
    "function from its driver removes it.",
    "/sys/bus/pci/devices/0000:3b:00.2/vdpa0",
    "Remove it first: vdpa dev del; or give it to Neutron's ports of type "
    "vdpa, with a physical_network.",
)
GROUP_CLAIMED: ty.Final = finding.Code(
    "VFIO532",
    _WARNING,
    "another instance has a member of the IOMMU group",
    "A group is open in one guest at a time (vfio_group_open gives EBUSY).",
    "0000:00:10.1 of the same group is claimed for another instance",
    "Give all members of the group to one instance.",
)
VF_TOKEN: ty.Final = finding.Code(
    "VFIO533",
    _WARNING,
    "a VF of a PF that is on a VFIO driver",
    "Whoever has the PF sets a token, and without it nobody opens a VF: "
    "EACCES (vfio_pci_validate_vf_token). Neither libvirt nor Nova gives "
    "one.",
    "0000:21:00.1 while its PF 0000:21:00.0 is on vfio-pci",
    "Give the PF back to its own driver, and make the VFs there.",
)
NO_VGPU_TYPE: ty.Final = finding.Code(
    "VFIO534",
    _WARNING,
    "a VF that has no vGPU type",
    "Its current_vgpu_type is 0: a guest that gets it fails when it starts.",
    "/sys/bus/pci/devices/0000:41:02.3/nvidia/current_vgpu_type is 0",
    "Give it one of the types in its creatable_vgpu_types; where there is "
    "none, its card is full.",
)
ANOTHER_DEVICE: ty.Final = finding.Code(
    "VFIO535",
    _WARNING,
    "another device stands at this address",
    "An address alone is no identity: a card that is added, removed or "
    "moved renumbers others. What the tracker recorded of the device "
    "(vendor, product, subsystem, serial number, PF, number of the VF) isn't "
    "what stands there now.",
    "0000:82:00.0 was tracked as 10de:20b0 and is 1000:0014 now",
    "See where the device is now, and correct the configuration; then "
    "nova-vfio device sync --accept ADDRESS.",
)
UNSETTLED: ty.Final = finding.Code(
    "VFIO536",
    _WARNING,
    "a change of the function was begun and has not ended",
    "A command that prepares the host was killed in the middle of it, or is "
    "still at work.",
    "the journal knows a change of 0000:25:00.4 that has not ended",
    "Run nova-vfio host recover.",
)
PF_HAS_VFS: ty.Final = finding.Code(
    "VFIO537",
    _WARNING,
    "a PF that has VFs",
    "The kernel binds no PF with VFs to a VFIO driver (EBUSY, "
    "vfio_pci_core_register_device), and a PF that a guest has could give "
    "its VFs away.",
    "0000:3b:00.0 has 4 VFs",
    "Name its VFs, or take them away first.",
)
VENDOR_REBIND: ty.Final = finding.Code(
    "VFIO538",
    _WARNING,
    "a VF that must stay on its vGPU driver would be taken from it",
    "A VF with a vendor's vGPU folder is given to guests by that vendor's "
    "driver. On any other, and after it has been on any other, it takes no "
    "guest until the VFs of its card are made anew. With managed yes libvirt "
    "binds it to vfio-pci.",
    'device_spec = { "address": "0000:41:00.4" } for a VF with nvidia/',
    'Write "managed": "no".',
)
SPENT: ty.Final = finding.Code(
    "VFIO539",
    _WARNING,
    "a device for one time that had it",
    "one_time_use reserves it in Placement once it was allocated.",
    "reserved is 1 for the provider of 0000:25:00.4",
    "Once it is clean, set reserved to 0 in Placement.",
)
NOT_BOUND: ty.Final = finding.Code(
    "VFIO540",
    _WARNING,
    "a function that is to be bound to a VFIO driver yet",
    "With managed yes libvirt does it when the guest starts; with managed "
    "no nova-vfio host apply does, or whoever prepares the host.",
    "0000:25:00.4 is on igbvf",
    "Bind it before the guest starts: nova-vfio host apply.",
)
MATES_TO_PREPARE: ty.Final = finding.Code(
    "VFIO541",
    _WARNING,
    "members of the IOMMU group are to leave their drivers yet",
    "They are declared as companions, or go to the same guest.",
    "0000:41:00.1 on snd_hda_intel is a companion of 0000:41:00.0",
    "Run nova-vfio host apply, or give all of them to one guest.",
)
LINK_UP: ty.Final = finding.Code(
    "VFIO542",
    _INFO,
    "the VF's interface is up",
    "udev or a network service sets every new interface up. Without an "
    "address, a route, or another interface on it nothing is lost when "
    "libvirt takes it.",
    "eth2 is up",
    "Nothing is to be done.",
)
OVERRULED: ty.Final = finding.Code(
    "VFIO543",
    _INFO,
    "an obstacle that was overruled by hand",
    "nova-vfio device allow said so, for this device and this kind of "
    "obstacle.",
    "VFIO512 of 0000:25:00.4 was overruled: the bridge is a test's",
    "nova-vfio device disallow ends it.",
)
VANISHED: ty.Final = finding.Code(
    "VFIO544",
    _WARNING,
    "a tracked device that the host doesn't have",
    "Its VFs were taken away, the card was pulled, or its address moved.",
    "0000:25:00.4 is tracked, and this host has no such function",
    "Make the VFs again (nova-vfio host apply), or correct the configuration "
    "and run nova-vfio device sync.",
)
FAMILY_CLAIMED: ty.Final = finding.Code(
    "VFIO545",
    _WARNING,
    "an instance has its PF, or one of its VFs",
    "Who has a PF has what its VFs are made of; a PF whose VF is in a guest "
    "can't be taken.",
    "0000:25:00.0, the PF of 0000:25:00.4, is claimed",
    "Free it first: nova-vfio claim list, claim delete.",
)
