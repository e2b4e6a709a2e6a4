# SPDX-License-Identifier: Apache-2.0
"""Findings that need more than one account."""

# Longer than 400 lines: it is one table, in which an id is looked up.

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING
_INFO = finding.Severity.INFO

UNKNOWN_OPTION: ty.Final = finding.Code(
    "VFIO140",
    _WARNING,
    "an option that exists nowhere",
    "oslo.config passes over options that nobody registered: the line has no"
    " effect, and Nova starts. The live-migration example of Nova's"
    " pci-passthrough page says dev_spec and works nowhere.",
    '[pci]\ndev_spec = {"vendor_id": "10de"}',
    "Write the option, and its group, as the message names them.",
)
DEPRECATED_OPTION: ty.Final = finding.Code(
    "VFIO141",
    _WARNING,
    "an option by its old name",
    "Nova still reads it. Of options with many values it puts what stands"
    " under old names before what stands under the new one, file by file. A"
    " later Nova drops the name.",
    "[pci]\npassthrough_whitelist = {}",
    "Write the new name; mind that the order of matching may change.",
)
NO_FILE: ty.Final = finding.Code(
    "VFIO142",
    _WARNING,
    "no configuration file was read",
    "Neither Nova's default files nor ours are there, and none was named:"
    " there is nothing to check.",
    "/etc/nova/nova.conf does not exist",
    "Name the file with --config-file.",
)
RULE_BROKE: ty.Final = finding.Code(
    "VFIO143",
    _WARNING,
    "a rule could not be asked",
    "A mistake in this program: what the rule looks for is not known. All"
    " other rules were asked.",
    "a rule that ends with KeyError",
    "Report it with the output of 'nova-vfio --debug config check', and with a"
    " recording of the host ('nova-vfio host snapshot').",
)
MATCHES_EVERYTHING: ty.Final = finding.Code(
    "VFIO201",
    _WARNING,
    "a device_spec matches every device of the host",
    "An address that is missing, empty or null is *:*:*.*, and without ids "
    "nothing else is asked (nova/pci/devspec.py). Network cards, disks and "
    "bridges of the host are given to guests as well.",
    'device_spec = { "address": "" }',
    "Name the devices by vendor_id and product_id, or by address.",
)
LOOSE_REGEX: ty.Final = finding.Code(
    "VFIO202",
    _WARNING,
    "a regular expression matches more than it seems to",
    "Nova asks whether the expression fits the beginning of a field "
    "(re.match), not the whole field.",
    'device_spec = { "address": { "bus": "2" } } matches buses 20 to 2f',
    "End the expression with $, or write all digits.",
)
SHADOWED: ty.Final = finding.Code(
    "VFIO203",
    _WARNING,
    "a device_spec never wins a device",
    "The first entry that matches a device wins, however exact a later one "
    "is (nova/pci/whitelist.py). Earlier entries take all that this one "
    "matches, so that its tags apply to nothing.",
    'device_spec = { "vendor_id": "8086" } before { "vendor_id": "8086", '
    '"product_id": "10ca", "managed": "no" }',
    "Put the more exact entry first.",
)
PARTLY_SHADOWED: ty.Final = finding.Code(
    "VFIO204",
    _WARNING,
    "a device_spec loses some of its devices to an earlier one",
    "The first entry that matches a device wins (nova/pci/whitelist.py).",
    'device_spec = { "address": "*:25:00.4" } before '
    '{ "product_id": "25b6", "managed": "no" }',
    "Put the more exact entry first, or let the entries not overlap.",
)
DUPLICATE_SPEC: ty.Final = finding.Code(
    "VFIO205",
    _WARNING,
    "a device_spec matches exactly what an earlier one matches",
    "The first entry that matches a device wins (nova/pci/whitelist.py); "
    "the second has no effect, whatever its tags say.",
    'the same "address" in two entries',
    "Remove one of them.",
)
POOL_SPLIT: ty.Final = finding.Code(
    "VFIO206",
    _WARNING,
    "VFs of one PF differ in a tag that splits their pool",
    "Every tag but resource_class and traits makes a pool of its own, while "
    "Placement has one provider for the PF. Two pools on one provider make "
    "Nova refuse every request through Placement for these VFs, with no "
    "more than a line in the log (_assert_one_pool_per_rp_uuid in "
    "nova/pci/stats.py).",
    'device_spec = [{ "address": "0000:25:00.4", "managed": "no" }, '
    '{ "address": "0000:25:00.5" }]',
    "Give all VFs of the PF the same tags.",
)
ONE_TIME_USE_UNPUBLISHED: ty.Final = finding.Code(
    "VFIO207",
    _ERROR,
    "one_time_use without PCI in Placement",
    "A device for one time is kept from the next guest by its inventory in "
    "Placement, so that nova-compute refuses to start without [pci] "
    "report_in_placement (PciConfigInvalidSpec in nova/pci/devspec.py).",
    '[pci]\ndevice_spec = { "address": "0000:43:00.0", '
    '"one_time_use": "yes" }',
    "Set [pci] report_in_placement = true, which can't be undone, or remove "
    "one_time_use.",
)
NETWORK_AND_MIGRATABLE: ty.Final = finding.Code(
    "VFIO208",
    _WARNING,
    "live_migratable beside physical_network",
    "Neutron's ports detach before a migration; Nova ignores "
    "live_migratable for them (https://launchpad.net/bugs/2102161).",
    'device_spec = { "address": "0000:25:00.4", "physical_network": "p", '
    '"live_migratable": "yes" }',
    "Remove one of the two.",
)
NAME_CHANGES: ty.Final = finding.Code(
    "VFIO209",
    _INFO,
    "a name is published under another",
    "A resource class or trait that is no standard one is made upper case, "
    "each run of other signs than A-Z, 0-9 and _ becomes one _, and CUSTOM_ "
    "is put in front (nova/compute/pci_placement_translator.py).",
    '"resource_class": "A16-16A" is published as CUSTOM_A16_16A',
    "Nothing; or write the name that is published, to find it again.",
)
STANDARD_TRAIT_CASE: ty.Final = finding.Code(
    "VFIO211",
    _WARNING,
    "a standard trait in the wrong case",
    "os-traits knows its names in capitals alone; in any other case the "
    "trait becomes a CUSTOM_ one that nobody asks for "
    "(_normalize_traits in nova/compute/pci_placement_translator.py).",
    '"traits": "hw_gpu_api_vulkan" is published as CUSTOM_HW_GPU_API_VULKAN',
    "Write it in capitals.",
)
NOVA_NAMES_OTHERWISE: ty.Final = finding.Code(
    "VFIO212",
    _WARNING,
    "a name that Nova makes something else of",
    'Nova does not strip the names in traits: that in "blue, big", its own '
    "example, becomes CUSTOM__BIG. A name that begins with CUSTOM_ it does "
    "not clean at all, so that Placement refuses CUSTOM_a-b.",
    '"traits": "blue, big"',
    "Write the names without spaces, and with A-Z, 0-9 and _ alone.",
)
WOULD_BE_REFUSED: ty.Final = finding.Code(
    "VFIO213",
    _WARNING,
    "devices that Nova can't publish",
    "[pci] report_in_placement is off, so that Nova starts with this; it "
    "would refuse to once the option is on. Placement can't describe it "
    "either way, so claims of these devices and all inventory commands "
    "refuse it as it is. Or [vfio] provider_layout is per_class, which "
    "publishes what Nova refuses.",
    "a PF and its VFs both match",
    "Mend it before the devices are published.",
)
NETWORK_AND_MANAGED: ty.Final = finding.Code(
    "VFIO214",
    _WARNING,
    "managed no beside physical_network",
    "The hostdev of a Neutron port is always managed, whatever the spec "
    "says (LibvirtConfigGuestInterface in nova/virt/libvirt/config.py): "
    "libvirt takes the device from its driver and gives it back.",
    'device_spec = { "address": "0000:25:00.4", "physical_network": "p", '
    '"managed": "no" }',
    "Remove one of the two.",
)
PERHAPS_MIXED: ty.Final = finding.Code(
    "VFIO215",
    _INFO,
    "neighbours with different resource classes or traits",
    "The devices are not here to be looked at; if they are VFs of one PF, "
    "Nova refuses to publish them (the same as VFIO282 and VFIO283). The "
    "example for several types of VFs in Nova's documentation does so.",
    'device_spec = [{ "address": "0000:25:00.4", '
    '"resource_class": "A16_16A" }, { "address": "0000:25:00.5", '
    '"resource_class": "A16_8A" }]',
    "Check the file on the host that has the devices.",
)
ALIAS_UNSATISFIED: ty.Final = finding.Code(
    "VFIO220",
    _WARNING,
    "no device of this host satisfies an alias",
    "An alias asks for ids, a type, a resource class, traits or "
    "live_migratable that no device has which device_spec names. A guest "
    "that asks for it is scheduled elsewhere or nowhere.",
    'alias = { "name": "A", "resource_class": "A16_16A" } where every '
    'device_spec says "A16-16-A"',
    "Nothing, if other hosts have such devices; else correct the field that "
    "the message names.",
)
ALIAS_ACROSS_NUMA: ty.Final = finding.Code(
    "VFIO221",
    _WARNING,
    "an alias that is satisfied across NUMA nodes only",
    "With numa_policy required or socket a guest with NUMA nodes takes only "
    "devices of its own nodes, and none whose node isn't known "
    "(_filter_pools_for_numa_cells in nova/pci/stats.py).",
    'alias = { "name": "A", "numa_policy": "required", ... } and devices '
    "whose numa_node is -1",
    "Use preferred, or have the firmware tell the nodes.",
)
ALIAS_TAKES_PF: ty.Final = finding.Code(
    "VFIO222",
    _WARNING,
    "an alias also matches PFs",
    "Without device_type an alias means plain functions and VFs; Placement "
    "knows no type, offers the PF's provider too, and the scheduler throws "
    "such candidates away (_filter_pools_for_unrequested_pfs in "
    "nova/pci/stats.py).",
    'alias = { "name": "A", "resource_class": "X" } and a PF of class X',
    'Add "device_type", or give PFs and VFs different resource classes.',
)
POST_COPY: ty.Final = finding.Code(
    "VFIO223",
    _WARNING,
    "post-copy is permitted beside migratable devices",
    "A VFIO device can't be migrated with post-copy: its state isn't there "
    "when the guest goes on at the destination (Nova's pci-passthrough "
    "page asks for it to be off).",
    "[libvirt]\nlive_migration_permit_post_copy = true",
    "Set [libvirt] live_migration_permit_post_copy = false.",
)
WIDE_TREE: ty.Final = finding.Code(
    "VFIO224",
    _INFO,
    "many providers of one resource class",
    "Placement tries each provider for each device that a guest asks for: 8 "
    "providers and a flavor with 6 devices make 262,144 candidates "
    "(https://launchpad.net/bugs/2070257, "
    "https://launchpad.net/bugs/2126751).",
    "8 cards whose VFs all have one resource class",
    "In Placement's configuration set [placement] "
    "max_allocation_candidates = 1000 and "
    "allocation_candidates_generation_strategy = breadth-first, and, for "
    "flavors with more than 4 devices, [workarounds] "
    "optimize_for_wide_provider_trees = true; or give the cards different "
    "resource classes.",
)
ALIAS_SOME_NODES: ty.Final = finding.Code(
    "VFIO225",
    _INFO,
    "an alias that guests on some NUMA nodes can't have",
    "With numa_policy required a guest with NUMA nodes takes only devices of "
    "its own nodes, with socket also those of their sockets "
    "(_filter_pools_for_numa_cells in nova/pci/stats.py). All devices of the "
    "alias are near some of the host's nodes; a guest on another one is "
    "refused, whatever is free.",
    'alias = { "name": "A", "numa_policy": "required", ... } and devices on '
    "node 0 alone of a host with nodes 0 and 1",
    "Nothing, if that is meant; else use preferred.",
)
ALIASES_ALONE: ty.Final = finding.Code(
    "VFIO226",
    _INFO,
    "aliases without any device_spec",
    "nova-api and the scheduler read aliases and have no devices; a "
    "nova-compute with such a file tracks none.",
    'alias = { "name": "A", ... } and no device_spec',
    "Nothing, on a controller; on a compute node name its devices in "
    "device_spec (config suggest writes the lines).",
)
PF_ALONE: ty.Final = finding.Code(
    "VFIO227",
    _INFO,
    "a PF is named and its VFs are not",
    "The entry takes the PF alone, and no entry takes the VFs that it has. "
    "They vanish when a guest gets the PF, and nobody can have them before. "
    "Mostly the VFs were meant: they have a product_id of their own.",
    'device_spec = { "address": "0000:3b:00.0", "product_id": "101b" }, the '
    "address and the product of a PF that has 4 VFs",
    "Nothing, if the PF is meant; else write the product_id of its VFs.",
)
FILTER_MISSING: ty.Final = finding.Code(
    "VFIO228",
    _WARNING,
    "the scheduler doesn't look for PCI devices",
    "enabled_filters names the filters of nova-scheduler, and not "
    "PciPassthroughFilter, which Nova's default doesn't have either: guests "
    "are sent to hosts without the devices, and the claim fails there.",
    "[filter_scheduler]\nenabled_filters = ComputeFilter,ImagePropertiesFilter"
    "\nand an alias",
    "Add PciPassthroughFilter to [filter_scheduler] enabled_filters in the "
    "file of nova-scheduler.",
)
ASKED_AND_UNPUBLISHED: ty.Final = finding.Code(
    "VFIO229",
    _WARNING,
    "flavors ask Placement for what Nova doesn't publish",
    "With [filter_scheduler] pci_in_placement a flavor with an alias asks "
    "Placement for the alias's resource class. Nova publishes the devices of "
    "a host only with [pci] report_in_placement in that host's file: without, "
    "there is no valid host.",
    "[filter_scheduler]\npci_in_placement = true\nwithout [pci] "
    "report_in_placement",
    "Set [pci] report_in_placement = true on each host that has the devices; "
    "it can't be undone. Where nova-vfio publishes and Nova doesn't, write "
    "[vfio] placement.",
)
ALSO_ELSEWHERE: ty.Final = finding.Code(
    "VFIO230",
    _INFO,
    "options that other services have to read too",
    "nova-scheduler and nova-conductor ask Placement by pci_in_placement, and "
    "nova-api reads the aliases that a flavor names; in the file of "
    "nova-compute alone neither does anything for a new guest.",
    "[filter_scheduler]\npci_in_placement = true in nova-compute's file",
    "Write pci_in_placement and the same aliases in the files of nova-api, "
    "nova-scheduler and nova-conductor, if they aren't there.",
)
PUBLISHED_AND_UNASKED: ty.Final = finding.Code(
    "VFIO231",
    _INFO,
    "devices are published, and flavors don't ask Placement for them",
    "[pci] report_in_placement publishes the devices; without "
    "[filter_scheduler] pci_in_placement flavors don't ask Placement for "
    "them, and resource_class and traits of an alias mean nothing. Nova "
    "corrects the allocations afterwards.",
    "[pci]\nreport_in_placement = true\nwithout [filter_scheduler] "
    "pci_in_placement",
    "Once every host publishes, set [filter_scheduler] pci_in_placement = "
    "true for nova-api, nova-scheduler, nova-conductor and nova-compute.",
)
NULL_TAG_POOLED: ty.Final = finding.Code(
    "VFIO232",
    _WARNING,
    "a tag that is null puts devices into another tag's pool",
    "Nova compares the tags of one side only, and a missing one equals null: "
    "of VFs of one PF with as many tags it makes one pool, and a request for "
    "the one kind is given the other (_find_pool in nova/pci/stats.py).",
    '"trusted": null for one VF, and "physical_network": "p" for another one '
    "of its PF",
    "Leave the tag out, or give it a value.",
)
ALIAS_CLASS_IGNORED: ty.Final = finding.Code(
    "VFIO233",
    _WARNING,
    "Nova ignores what an alias asks for",
    "Without [filter_scheduler] pci_in_placement Nova compares neither "
    "resource_class nor traits of an alias (ignored_pool_tags in "
    "nova/pci/stats.py): devices of the same ids and another class are given "
    "out as well. Claims of nova-vfio honour both.",
    'alias = { "name": "A", "vendor_id": "10de", "product_id": "25b6", '
    '"resource_class": "A16_16A" } and VFs of other classes with those ids',
    "Publish with [pci] report_in_placement, which can't be undone, and set "
    "[filter_scheduler] pci_in_placement = true.",
)
WIDE_DOMAIN: ty.Final = finding.Code(
    "VFIO234",
    _WARNING,
    "Nova skips a device in a PCI domain above ffff",
    "Devices behind a VMD controller sit in domains from 10000 up. Nova's "
    "database has no room for such an address, so that it passes over them "
    "with a line at level debug (PciDevTracker."
    "update_devices_from_hypervisor_resources).",
    'device_spec = { "vendor_id": "8086", "product_id": "0a54" } and a disk '
    "at 10000:01:00.0",
    "Switch VMD off in the firmware to have the device in domain 0000.",
)
MDEV_AND_SPEC: ty.Final = finding.Code(
    "VFIO235",
    _WARNING,
    "a device is for mediated devices and for passthrough",
    "[devices] enabled_mdev_types has Nova make mediated devices on this "
    "card, and device_spec gives it, its PF or its VFs to guests. Whoever "
    "comes second fails, or takes the other's device away.",
    "[mdev_nvidia-35]\ndevice_addresses = 0000:84:00.0\nand "
    'device_spec = { "address": "0000:84:00.0" }',
    "Remove one of the two.",
)
MDEV_NOT_OFFERED: ty.Final = finding.Code(
    "VFIO236",
    _WARNING,
    "no card of this host offers a type of mediated device",
    "Nova makes no inventory of a type that no card offers in "
    "mdev_supported_types, and says nothing. Vendors' drivers of today give "
    "vGPU types to VFs instead, which have no mediated devices.",
    "[devices]\nenabled_mdev_types = nvidia-35 where /sys/class/mdev_bus is "
    "empty",
    "Correct the type or the address, or remove them; where VFs have vGPU "
    'types, name those in device_spec with "managed": "no".',
)
MDEV_AND_TYPE: ty.Final = finding.Code(
    "VFIO237",
    _WARNING,
    "a device is for mediated devices, and host_spec gives it a vGPU type",
    "A card is divided in one way at a time. [devices] enabled_mdev_types has "
    "Nova make mediated devices of it, and host_spec has its VFs take types of "
    "the vendor's: what its driver has of the two serves, and the other fails.",
    "[mdev_nvidia-35]\ndevice_addresses = 0000:84:00.0\nand "
    'host_spec = { "address": "0000:84:00.0", "vgpu_types": { "A16-4Q": 2 } }',
    "Remove one of the two.",
)
PF_AND_TYPES: ty.Final = finding.Code(
    "VFIO238",
    _WARNING,
    "a card is for passthrough, and host_spec gives its VFs vGPU types",
    "Whoever is given the PF has the whole card: it takes a VFIO driver, and "
    "its VFs, with their types, go.",
    'device_spec = { "address": "0000:84:00.0" } and '
    'host_spec = { "address": "0000:84:00.4", "vgpu_type": "A16-4Q" }',
    "Let device_spec name the VFs, or remove the types.",
)
REMOTE_MANAGED_PF: ty.Final = finding.Code(
    "VFIO288",
    _ERROR,
    "Nova does not start with remote_managed on a PF",
    "Nova 34 looks the PF up by the text of a Python object, and its product "
    "in a file that the kernel never had (get_pci_ids_by_pci_addr in "
    "nova/pci/utils.py): PciDeviceNotFoundById, though the VFs are meant. It "
    "doesn't start with remote_managed on an interface that is missing "
    "either (PciDeviceRemoteManagedNotPresent).",
    'device_spec = { "address": "0000:3b:00.0", "product_id": "101e", '
    '"remote_managed": "yes" }, the address of a PF',
    "Name the VFs by vendor_id and product_id without the address, or by "
    "their own addresses.",
)
DEVNAME_WIDE_DOMAIN: ty.Final = finding.Code(
    "VFIO289",
    _ERROR,
    "Nova does not start with a devname in a domain above ffff",
    "Nova reads the address behind the interface and refuses its domain "
    "(PciConfigInvalidSpec), though it passes over such functions otherwise.",
    'device_spec = { "devname": "eth4" } and eth4 at 10000:01:00.0',
    "Remove the entry: Nova can't give that device to a guest.",
)
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
    '"num_vfs".',
)
VGPU_TYPE_UNSET: ty.Final = finding.Code(
    "VFIO311",
    _WARNING,
    "a VF has no vGPU type",
    "The VF's current_vgpu_type is 0. Nova schedules it like any other, and "
    "the guest fails when it starts.",
    "/sys/bus/pci/devices/0000:25:00.4/nvidia/current_vgpu_type is 0",
    "Declare its type in [vfio] host_spec (vgpu_type), and run nova-vfio host "
    "apply. nova-vfio vgpu types shows what its card has; where that is none, "
    "the vendor's vGPU manager may not be loaded.",
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
NEXT_KERNEL_LACKS_VARIANT: ty.Final = finding.Code(
    "VFIO330",
    _WARNING,
    "the kernel that is to be booted lacks a variant driver",
    "A function that device_spec or host_spec names has a VFIO variant driver "
    "in the kernel that runs, and none, or another one, in the kernel of "
    "--kernel: modules.alias says so. Guests on vfio-pci in its place can't be "
    "migrated, and host_spec with that driver is refused.",
    "config check --kernel 6.1.0-30-amd64 on a host with virtio_vfio_pci",
    "Install the module for that kernel ('dkms autoinstall -k RELEASE' for one "
    "that is built on the host) and run 'depmod RELEASE', or keep the kernel "
    "that runs.",
)
NEXT_KERNEL_GAINS_VARIANT: ty.Final = finding.Code(
    "VFIO331",
    _INFO,
    "the kernel that is to be booted has a variant driver more",
    "The kernel of --kernel has a VFIO variant driver for a function that "
    'device_spec or host_spec names. libvirt chooses it with "managed": "yes", '
    'and host_spec with "driver": "variant".',
    "config check --kernel 6.12.0-1-amd64, which has virtio_vfio_pci",
    "Nothing, or name vfio-pci in host_spec to keep it.",
)
NEXT_KERNEL_LACKS_MODULE: ty.Final = finding.Code(
    "VFIO332",
    _WARNING,
    "the kernel that is to be booted lacks a module",
    "The driver of a function that device_spec or host_spec names, or of its "
    "PF, or vfio_pci itself, is neither in modules.dep nor in modules.builtin "
    "of the kernel of --kernel.",
    "config check --kernel 6.12.0-1-amd64 before DKMS built nvidia for it",
    "Install the module for that kernel ('dkms autoinstall -k RELEASE' for one "
    "that is built on the host) and run 'depmod RELEASE'.",
)
NEXT_KERNEL_MODULES_UNSEEN: ty.Final = finding.Code(
    "VFIO333",
    _INFO,
    "which modules the kernel that is to be booted has can't be seen",
    "Its modules.dep is not there. A recording of a host has of each "
    "installed kernel no more than the lines of its variant drivers.",
    "config check --host-root host.tar.gz --kernel 6.12.0-1-amd64",
    "Run the same command on the host itself; there 'depmod RELEASE' makes a "
    "modules.dep that is missing.",
)
NOVA_DIFFERS: ty.Final = finding.Code(
    "VFIO401",
    _WARNING,
    "what Nova published differs from what this file gives",
    "A provider with the trait OWNER_NOVA has other inventories or traits "
    "than the configuration and the host would give. Nova reads both when "
    "nova-compute starts, and since 34 the host's devices never again.",
    "Nova published 16 VFs of host_0000:25:00.0, and the host has 8",
    "Restart nova-compute, and look into its log if that doesn't help.",
)
ALLOCATED_TO_ANOTHER: ty.Final = finding.Code(
    "VFIO402",
    _WARNING,
    "Placement gives a device to another than the store does",
    "The consumers of a provider in Placement are not the instances that "
    "have its devices in the store.",
    "instance A has a VF in the store, and B has the allocation",
    "Find out which guest has the device; nova-vfio claim list and "
    "openstack resource provider allocation show tell both sides.",
)
GUEST_WITHOUT_CLAIM: ty.Final = finding.Code(
    "VFIO403",
    _WARNING,
    "a guest has a device that nobody claimed",
    "A guest runs with this device, by libvirt's files or by what its process "
    "has open, and neither the store nor Placement knows of it: the next claim "
    "may give it to a second guest (compare CVE-2026-46448).",
    "a hostdev of 0000:25:00.4 in /run/libvirt/qemu/guest.xml",
    "Claim it for that guest, or take it away from the guest.",
)
PLACEMENT_UNREACHABLE: ty.Final = finding.Code(
    "VFIO404",
    _WARNING,
    "Placement could not be asked",
    "What Placement holds was not compared with this host, because it can't "
    "be reached or refuses us. An embedded one answers only the user who made "
    "the state path, and root.",
    "[placement] endpoint_override names a port that nothing listens on",
    "Mend [placement], or give --offline to leave such rules out.",
)
CLOUD_NOT_ASKED: ty.Final = finding.Code(
    "VFIO407",
    _INFO,
    "the cloud's Placement was not asked",
    "[placement] has credentials for the cloud's Placement, and [vfio] "
    "placement is embedded, which is the default: what the cloud holds of this "
    "host was compared with nothing.",
    "[placement]\nauth_type = password\nand no [vfio] placement",
    "Ask it with nova-vfio config check --placement service; where this "
    "project is to use it, set [vfio] placement = service.",
)
CORDONED: ty.Final = finding.Code(
    "VFIO408",
    _INFO,
    "a cordoned device",
    "No new claim gets it, nor its VFs where it is a PF, and it is reserved in "
    "Placement, until somebody lifts that.",
    "nova-vfio device cordon 0000:41:00.0 --reason 'ECC errors'",
    "Once it may be given away again: nova-vfio device uncordon ADDRESS.",
)
CORDON_OF_ANOTHER: ty.Final = finding.Code(
    "VFIO409",
    _WARNING,
    "a cordon of a device that isn't there any more",
    "What stands at the address differs from what was cordoned there in its "
    "ids, its serial number, its PF or its number among that one's VFs. It is "
    "given to guests like any other.",
    "an A16 was cordoned at 0000:41:00.0, and there is another one",
    "nova-vfio device uncordon ADDRESS; where this one is not to be given away "
    "either, nova-vfio device cordon ADDRESS.",
)
REPORT_SWITCHED_OFF: ty.Final = finding.Code(
    "VFIO405",
    _ERROR,
    "PCI in Placement was on, and is off",
    "Once a provider below the node has the trait "
    "COMPUTE_MANAGED_PCI_DEVICE, nova-compute refuses to start without [pci] "
    "report_in_placement (ensure_tracking_was_not_enabled_before in "
    "nova/compute/pci_placement_translator.py).",
    "[pci]\nreport_in_placement = false\nwhile Placement has n1_0000:25:00.0",
    "Set [pci] report_in_placement = true again: Nova knows no way back.",
)
TYPES_ON_DEMAND: ty.Final = finding.Code(
    "VFIO592",
    _WARNING,
    "a vGPU type that is to be set on demand beside nova-compute",
    "A claim of ours sets the type on a VF that can take it. nova-compute makes "
    "its claims by itself and sets no type, so that there nobody does: a guest "
    "with such a VF fails when it starts. Nor does it attach a VF for what an "
    "instance has of CUSTOM_VGPU_FB_MIB and CUSTOM_VGPU_VF.",
    'alias = { "name": "q8", ..., "resource_class": "A16_8Q" }\n'
    "while no VF has the type NVIDIA A16-8Q",
    "Declare the types in host_spec (vgpu_type, or vgpu_types of a card), and "
    "run nova-vfio host apply before nova-compute starts.",
)
CLASS_UNKNOWN_TO_NOVA: ty.Final = finding.Code(
    "VFIO593",
    _WARNING,
    "a resource class that nova-compute does not see",
    "resource_class_from_type is an option of ours: a device_spec without a "
    "resource_class is of the class of its ids to nova-compute, which publishes "
    "that and gives no VF to an alias that asks for the type's.",
    "[vfio]\nresource_class_from_type = true\nand a device_spec without a class",
    "Write the classes into the entries: nova-vfio config suggest prints them.",
)
