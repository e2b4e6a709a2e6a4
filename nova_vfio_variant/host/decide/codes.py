# SPDX-License-Identifier: Apache-2.0
"""What decides whether a function may go to a guest, or be touched."""

# Longer than 400 lines: it is a table, a row for each code.

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING
_INFO = finding.Severity.INFO

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
ANOTHER_DEVICE: ty.Final = finding.Code(
    "VFIO406",
    _WARNING,
    "the device behind a tracked address is another one",
    "A card that is added or moved changes the addresses of others, and a "
    "card may be exchanged. What stands at this address differs from what was "
    "tracked there in its ids, its serial number, its PF or its number among "
    "that one's VFs. What is recorded stays as it is: nothing there is given "
    "to anybody or offered as what it was.",
    "an A100 is tracked at 0000:82:00.0, and there is a storage controller",
    "Where the card is back in its old place, nothing is to be done. Else "
    "claim delete takes it back from whoever has it, and device sync --accept "
    "tracks what is there now.",
)
HOST_SPEC_VALUE: ty.Final = finding.Code(
    "VFIO501",
    _ERROR,
    "a value that host_spec can't use",
    "num_vfs is a whole number from 0 on, driver is variant, vfio-pci, host "
    "or a driver's name, companions is a list of full PCI addresses. A key "
    "stands once in an object, and a card's type once among its counts.",
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
    "that is made for PCI functions: by modules.alias for guests, or for a "
    "card of a vendor that this host has; others are not loaded. The kernel "
    "takes any name as driver_override, and then binds nothing.",
    'host_spec = { "address": "0000:25:00.4", "driver": "vfoi-pci" }',
    "Correct the name, or install the module for the running kernel and run "
    "depmod; a module of another kind load by hand.",
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
IS_UNWELL: ty.Final = finding.Code(
    "VFIO580",
    _WARNING,
    "guests failed to start on the vGPU",
    "Whoever runs the guests reported that two of them, each with an "
    "assignment of its own, failed to start on it. A VF can be wedged so that "
    "each further guest fails, too, and no file of the host shows it: NVIDIA's "
    "is, where a guest is killed in its first seconds.",
    "0000:25:00.4: 2 guests failed to start on it",
    "Make the VFs of its card anew once nothing of it is in use: nova-vfio vgpu "
    "recycle; then nova-vfio vgpu clear. Where the guests were to blame, vgpu "
    "clear alone. A success of the last assignment lifts it as well.",
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
MDEV_BELOW: ty.Final = finding.Code(
    "VFIO530",
    _WARNING,
    "mediated devices stand below the function",
    "The driver that made them holds the function. To take it from that "
    "driver waits for ever while one of them is open, and removes the idle "
    "ones without a word.",
    "/sys/bus/pci/devices/0000:25:00.4/UUID is open in process 4711",
    "Remove them first (nova-vfio mdev delete, or the tool that made them: "
    "mdevctl stop, virsh nodedev-destroy), or name another function.",
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
    "Ask for a type (claim create --vgpu-type, or an alias of its class), or "
    "give it one (nova-vfio vgpu set, or vgpu_type in host_spec). nova-vfio "
    "vgpu types shows those that can be made, or why none.",
)
VGPU_TYPE_TO_SET: ty.Final = finding.Code(
    "VFIO590",
    _WARNING,
    "a VF that is to be given its vGPU type yet",
    "It has no type, and is offered the one that is asked for.",
    "0000:41:00.4 has no vGPU type, and can be given 1145",
    "nova-vfio claim create does it on a host without nova-compute; "
    "elsewhere declare it in host_spec.",
)
OTHER_VGPU_TYPE: ty.Final = finding.Code(
    "VFIO591",
    _WARNING,
    "a function that can't be given the vGPU type that is asked for",
    "It has another type, or no vendor's vGPU folder, or its card offers the "
    "type no more: it is full, or holds vGPUs of another framebuffer size.",
    "0000:41:00.4 has vGPU type 1145, and 2164 is asked for",
    "See with nova-vfio vgpu types what the card can be given now, and why.",
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
    "nova-vfio device scrub ADDRESS resets it and gives it free. Or clean it, "
    "and set reserved to 0 in Placement.",
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
IS_CORDONED: ty.Final = finding.Code(
    "VFIO546",
    _WARNING,
    "the function is cordoned",
    "nova-vfio device cordon said so, of it or of its PF: no new claim gets it, "
    "and it is reserved in Placement. Who has it keeps it.",
    "0000:25:00.4 is cordoned: ECC errors",
    "See to the reason, then run nova-vfio device uncordon.",
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
    "Leave the VF on its driver, and its PF's VFs as they are; or take the "
    "type away first: nova-vfio vgpu set ADDRESS none.",
)
NOT_PUT_BACK: ty.Final = finding.Code(
    "VFIO562",
    _ERROR,
    "a driver or an override that could not be put back",
    "What a function's driver_override holds, or its driver is called, is "
    "what no driver is called: it has bytes that are not UTF-8, white space, "
    "or more than 64 characters. Or driver_override can't be read, as where "
    "it is a link below --host-root. It can't be written down here and written "
    "back as it was, so that a change of the function could not be undone.",
    "driver_override of 0000:25:00.4 holds the bytes 63 61 66 e9",
    "Take the override away first, which binds the function anew: driverctl "
    "unset-override 0000:25:00.4. What can't be read nova-vfio host list says, "
    "and why.",
)
NO_SUCH_VGPU_TYPE: ty.Final = finding.Code(
    "VFIO563",
    _ERROR,
    "a word that is no one vGPU type of the card",
    "A type is named by the number or the name that the card's VFs list in "
    "nvidia/creatable_vgpu_types. NVIDIA may be left out, and so may ME, "
    "NOME, MEALL or GFX at the end where one type alone has the rest of the "
    "name. Other cards have other types, and other numbers for them.",
    '"vgpu_type": "NVIDIA L40S-12" for a card that has NVIDIA L40S-12Q',
    "Write a name that nova-vfio vgpu types shows for this card.",
)
VGPU_NOT_ON_OFFER: ty.Final = finding.Code(
    "VFIO564",
    _ERROR,
    "a vGPU type that can't be made now",
    "The card has the type, and none of its VFs that are free lists it: all "
    "VFs are taken, the framebuffer is, the card holds vGPUs of another size "
    "and is not in heterogeneous mode, or it is in MIG mode and has no GPU "
    "instance for it.",
    "NVIDIA L40S-24Q while the card holds two NVIDIA L40S-12Q",
    "Free what is in the way: nova-vfio vgpu set ADDRESS none; nova-vfio vgpu "
    "types says what that is.",
)
NOT_PLAUSIBLE: ty.Final = finding.Code(
    "VFIO565",
    _ERROR,
    "the journal has on record what can't have been",
    "What host apply notes of a function fits it: a VF has no VFs, goes with "
    "its own PF alone, and no bridge is touched. What doesn't fit was written "
    "by somebody else, or for another host, and nothing of it is done.",
    "0000:25:00.4 had 2 VFs on record, and can have none",
    "See who can write the state path. Compare the host with the journal by "
    "hand; a reboot undoes all that host apply did, and a new journal is "
    "begun.",
)
VGPU_COUNTS: ty.Final = finding.Code(
    "VFIO566",
    _ERROR,
    "counts of vGPU types that a card can't hold",
    "Together they need more VFs or more framebuffer than the card has, or "
    "sizes that it holds in heterogeneous mode alone.",
    '"vgpu_types": { "NVIDIA L40S-24Q": 3 } for a card of 48 GiB',
    'Ask for fewer or smaller ones; write "heterogeneous": true for '
    "several sizes.",
)
CARD_HAS_VGPUS: ty.Final = finding.Code(
    "VFIO570",
    _ERROR,
    "a card with vGPUs keeps its mode",
    "Whether a card's vGPUs may be of several sizes is set after its VFs are "
    "made and before the first of them has a type: its driver refuses it then.",
    "0000:41:00.4 has vGPU type 470, and heterogeneous is asked for",
    "Take the types away first: nova-vfio vgpu set ADDRESS none.",
)
NO_VGPU_FOLDER: ty.Final = finding.Code(
    "VFIO571",
    _ERROR,
    "a vGPU type for a function that can have none",
    "NVIDIA's vGPU 17 and newer give each VF a folder nvidia/, on kernels with "
    "VFIO variant drivers, while the VF is on the vendor's driver and the "
    "vGPU manager is loaded. A PF has none, and its VFs have to be made first.",
    "0000:41:00.4 has no nvidia/current_vgpu_type",
    "Name a VF; make VFs with num_vfs, and install the vendor's vGPU manager "
    "where they have no nvidia/.",
)
NO_RESET: ty.Final = finding.Code(
    "VFIO573",
    _ERROR,
    "a function that can't be reset by itself",
    "The kernel resets a function by the first way in its reset_method that "
    "works: by itself (flr, af_flr, device_specific, acpi, pm), or with all of "
    "its bus (bus, cxl_bus), which it refuses where others are on that. VFs go "
    "with a reset of their PF.",
    "nova-vfio device reset 0000:41:00.0, which has VFs",
    "Take the VFs away first; what has no reset of its own is reset when the "
    "host is powered off.",
)
VGPU_DRIVER: ty.Final = finding.Code(
    "VFIO572",
    _ERROR,
    "another driver for a VF that has a vendor's vGPU folder",
    "On another driver, and after it has been on another, the VF takes no "
    "guest until the VFs of its card are made anew.",
    'host_spec = { "address": "0000:41:00.4", "driver": "vfio-pci" } for a VF '
    "with nvidia/",
    "Leave driver out, and declare its vgpu_type; nova-vfio vgpu recycle "
    "makes a card's VFs anew.",
)
