# SPDX-License-Identifier: Apache-2.0
"""VFIO5xx: what preparing the host refuses or can't do."""

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING
_INFO = finding.Severity.INFO

HOST_SPEC_VALUE: ty.Final = finding.Code(
    "VFIO501",
    _ERROR,
    "a value that host_spec can't use",
    "num_vfs is a whole number from 0 on, driver is variant, vfio-pci, host "
    "or a driver's name, companions is a list of full PCI addresses.",
    'host_spec = { "address": "0000:25:00.0", "num_vfs": "all" }',
    "Write a value of the kind that the message names.",
)
HOST_SPEC_VAGUE: ty.Final = finding.Code(
    "VFIO502",
    _ERROR,
    "a host_spec that doesn't say which functions, or what to do",
    "Only what an entry names is touched, so that it needs an address, or a "
    "vendor_id and a product_id; and it needs num_vfs or driver.",
    'host_spec = { "driver": "vfio-pci" }',
    "Add the address, or both ids, and num_vfs or driver.",
)
HOST_SPEC_CONFLICT: ty.Final = finding.Code(
    "VFIO503",
    _ERROR,
    "two host_spec entries that disagree about one function",
    "There is no first match here: what a host is to be must not hang on "
    "the order of lines.",
    'host_spec = { "address": "0000:25:00.4", "driver": "vfio-pci" } and '
    'host_spec = { "address": "0000:25:00.*", "driver": "variant" }',
    "Let one entry name each function, or all say the same.",
)
HOST_SPEC_ABSENT: ty.Final = finding.Code(
    "VFIO504",
    _ERROR,
    "a host_spec that names no function of this host",
    "Nothing has this address or these ids, and no VF that num_vfs would "
    "make will have.",
    'host_spec = { "address": "0000:26:00.0", "num_vfs": 4 } while there is '
    "no bus 26",
    "Correct the address or the ids; nova-vfio host list shows what is there.",
)
NO_SUCH_DRIVER: ty.Final = finding.Code(
    "VFIO505",
    _ERROR,
    "a driver that doesn't exist",
    "No loaded driver has this name, and no module of the running kernel "
    "has it either. The kernel takes any name as driver_override, and then "
    "binds nothing.",
    'host_spec = { "address": "0000:25:00.4", "driver": "vfoi-pci" }',
    "Correct the name, or install the module for the running kernel.",
)
DRIVER_BESIDE_VFS: ty.Final = finding.Code(
    "VFIO506",
    _ERROR,
    "num_vfs and driver in one host_spec",
    "num_vfs speaks of a PF, driver would take it away from the driver that "
    "makes its VFs (sriov_numvfs_store gives ENOENT on vfio-pci).",
    'host_spec = { "address": "0000:25:00.0", "num_vfs": 4, "driver": '
    '"vfio-pci" }',
    "Name the VFs in an entry of their own, by vendor_id and product_id.",
)
IS_BRIDGE: ty.Final = finding.Code(
    "VFIO510",
    _WARNING,
    "a bridge can't be passed through",
    "A bridge carries what stands behind it, so that it is never taken from "
    "its driver, whatever the entry asks for; and no VFIO driver binds to "
    "one.",
    "0000:00:1c.0, class 0604",
    "Name the function behind the bridge.",
)
DISPLAY_IN_USE: ty.Final = finding.Code(
    "VFIO511",
    _ERROR,
    "the host's screen",
    "A connector has a screen, the firmware booted with this card "
    "(boot_vga), or the console is drawn on it. To take it from its driver "
    "blanks the console and can hang the host.",
    "/sys/class/drm/card0-VGA-1/status is connected",
    "Use another card for the console, or unplug the screen and boot with "
    "a serial console.",
)
NETWORK_IN_USE: ty.Final = finding.Code(
    "VFIO512",
    _ERROR,
    "a network interface that is in use",
    "It is up, has an address or a route that isn't link-local, or belongs "
    "to a bond, a bridge or the like.",
    "eth2 is up",
    "Take it out of what uses it, also for the next boot; never the interface "
    "that your own connection to the host goes by.",
)
STORAGE_IN_USE: ty.Final = finding.Code(
    "VFIO513",
    _ERROR,
    "a disk that is in use",
    "It is mounted, serves as swap, or is held by LVM, RAID, dm-crypt, a loop "
    "device, a target, ZFS or a process.",
    "nvme0n1p1 is mounted on /srv",
    "Unmount it and release what holds it.",
)
IS_OPEN: ty.Final = finding.Code(
    "VFIO514",
    _WARNING,
    "a process has the function open",
    "To unbind it now would block in the kernel until the process lets go; "
    "nothing can interrupt that, SIGKILL included.",
    "/dev/vfio/17 is open in process 4711 (qemu-system-x86)",
    "End the process that the message names; a guest is shut down first.",
)
NOT_IN_A_GROUP: ty.Final = finding.Code(
    "VFIO515",
    _ERROR,
    "the function has no IOMMU group",
    "VFIO gives devices away by IOMMU groups; without an IOMMU there are "
    "none.",
    "/sys/kernel/iommu_groups is empty",
    "Enable VT-d or AMD-Vi in the firmware, add intel_iommu=on to the "
    "kernel's command line on Intel, and reboot.",
)
VFIO_MISSING: ty.Final = finding.Code(
    "VFIO516",
    _ERROR,
    "there is no vfio-pci",
    "The driver is neither loaded nor among the modules of the running "
    "kernel.",
    "a kernel without its package of extra modules",
    "Install the modules of the running kernel.",
)
GROUP_COMPANIONS: ty.Final = finding.Code(
    "VFIO517",
    _ERROR,
    "other members of the IOMMU group are on drivers of the host",
    "A group goes to a guest as a whole: VFIO refuses it while a member is "
    "on another driver (vfio_group_set_container: EPERM). Members without a "
    "driver, and bridges on pcieport, are no obstacle.",
    "0000:00:10.1 on e1000e in the group of 0000:00:10.0",
    'Add them to "companions" to have them unbound, or move the card to a '
    "slot with isolation.",
)
IS_CLAIMED: ty.Final = finding.Code(
    "VFIO518",
    _ERROR,
    "an instance has the function",
    "The tracker has a claim on it.",
    "0000:25:00.4 is claimed for an instance",
    "Delete the instance, or its claim: nova-vfio claim delete.",
)
VFS_IN_USE: ty.Final = finding.Code(
    "VFIO519",
    _ERROR,
    "VFs that would be removed are in use",
    "The kernel changes a number of VFs by way of none: all VFs of the PF "
    "vanish. While one is open the write blocks for ever.",
    "from 4 to 8 VFs while 0000:25:00.4 is claimed",
    "Free the VFs that the message names, or leave the number as it is.",
)
TOO_MANY_VFS: ty.Final = finding.Code(
    "VFIO520",
    _ERROR,
    "more VFs than the PF can have",
    "The kernel refuses a number above sriov_totalvfs with ERANGE.",
    '"num_vfs": 8 for a PF whose sriov_totalvfs is 7',
    "Ask for no more than the message names; firmware settings of the card "
    "may allow more.",
)
PF_NOT_ALLOWED: ty.Final = finding.Code(
    "VFIO521",
    _ERROR,
    "a PF would be taken from its driver",
    "With the PF's driver its VFs go too, and often the host's network or "
    "disk.",
    'host_spec = { "address": "0000:25:00.*", "driver": "vfio-pci" } that '
    "matches the PF 0000:25:00.0",
    "Name the VFs by vendor_id and product_id; if the PF is meant, add "
    '"allow_pf": true.',
)
NOT_A_PF: ty.Final = finding.Code(
    "VFIO522",
    _ERROR,
    "the function can't have VFs",
    "It has no SR-IOV capability, or its firmware hides it "
    "(no sriov_totalvfs).",
    '"num_vfs": 4 for a VF',
    "Name a PF; enable SR-IOV in the firmware of host and card.",
)
NO_VARIANT: ty.Final = finding.Code(
    "VFIO523",
    _ERROR,
    "no VFIO driver is made for the function",
    "No vfio_pci: line of modules.alias fits it, vfio-pci's own included.",
    '"driver": "variant" on a kernel without VFIO modules',
    "Install the vendor's module and run depmod, or write the driver's name.",
)
NOT_KNOWN: ty.Final = finding.Code(
    "VFIO524",
    _INFO,
    "whether the function is in use can't be seen",
    "What can't be read counts as in use.",
    "/proc/4711/fd: Permission denied",
    "Run the command as root.",
)
PF_WITHOUT_DRIVER: ty.Final = finding.Code(
    "VFIO525",
    _ERROR,
    "the PF's driver can't make VFs",
    "VFs are made by the PF's own driver. On a VFIO driver, or without one, "
    "the kernel answers ENOENT.",
    "0000:25:00.0 is on vfio-pci",
    "Give the PF back to its driver first.",
)
PROVIDER_REFUSES: ty.Final = finding.Code(
    "VFIO526",
    _ERROR,
    "the vendor's way of making VFs can't do this",
    "sriov-manage makes all VFs of a card or none.",
    '"num_vfs": 4 for an NVIDIA card that makes 16',
    "Write the number that the message names.",
)
IS_QUARANTINED: ty.Final = finding.Code(
    "VFIO527",
    _WARNING,
    "the function is quarantined",
    "A write to it hung or could not be undone; another could hang too.",
    "0000:25:00.4: unbind did not end in 60 seconds",
    "See what the reason says, then run nova-vfio host recover.",
)
NOTHING_MEANT: ty.Final = finding.Code(
    "VFIO528",
    _ERROR,
    "an address on the command line that nothing can be done for",
    "The host has no such function, no entry names it, or it is a VF that is "
    "yet to be made.",
    "nova-vfio host apply --only 0000:99:00.0",
    "Correct the address; name the PF too where a VF is yet to be made.",
)
NOT_OURS: ty.Final = finding.Code(
    "VFIO529",
    _ERROR,
    "somebody else changed the function after host apply",
    "It is on another driver, or has another driver_override, than host apply "
    "left there and than it had before. What others bind is theirs.",
    "0000:25:00.4 is on igbvf, and host apply put it on vfio-pci",
    "Give it back to the driver that host apply put it on, or restore the "
    "other functions by their addresses.",
)
ANOTHER_DEVICE_JOURNALLED: ty.Final = finding.Code(
    "VFIO560",
    _ERROR,
    "another device is at an address that the journal knows",
    "What the device there was before host apply stands in the journal with "
    "its ids, serial number, PF and VF index. These differ now: a card was "
    "put in the place of another, or a card that was added moved the numbers "
    "of others. What was done to the one is not undone on the other.",
    "0000:82:00.0 was 10de:20b0, and is 1000:0097",
    "Put the journalled device back there, or reboot: that undoes all that "
    "host apply did, and a new journal is begun.",
)
HAS_VGPU_TYPE: ty.Final = finding.Code(
    "VFIO561",
    _ERROR,
    "a VF that is a vGPU would lose its type",
    "The VF has a vGPU type (nvidia/current_vgpu_type is not 0). It is gone "
    "with the driver, or with the PF's number of VFs, what the VFs beside it "
    "can be changes with it, and nothing here brings it back.",
    "0000:41:00.4 has vGPU type 470",
    "Leave the VF on its driver, and its PF's VFs as they are; whoever gave "
    "it the type takes it away first: write 0 to current_vgpu_type.",
)
