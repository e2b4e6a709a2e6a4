# SPDX-License-Identifier: Apache-2.0
"""VFIO2xx: the text can be read, and means trouble."""

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING
_INFO = finding.Severity.INFO

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
NAME_TOO_LONG: ty.Final = finding.Code(
    "VFIO210",
    _WARNING,
    "a name that Placement doesn't take",
    "Placement takes names of resource classes and traits of at most 255 "
    "characters, CUSTOM_ among them. Nova does not look, and fails each "
    "time it publishes.",
    '"resource_class" with 250 characters',
    "Write a shorter name.",
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
    "refuse it as it is. "
    "Or [vfio] provider_layout is per_class, which publishes what Nova "
    "refuses.",
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
PF_AND_VF_MATCHED: ty.Final = finding.Code(
    "VFIO281",
    _ERROR,
    "a PF and its VFs both match",
    "A PF that is given away takes its VFs with it, so Nova refuses to "
    "publish both (PlacementPciDependentDeviceException in "
    "nova/compute/pci_placement_translator.py). The whole address of a PF "
    "means its VFs as well (nova/pci/devspec.py).",
    'device_spec = { "address": "0000:25:00.0" }, the address of a PF',
    "Add the product_id of the VFs, or that of the PF. Where both have the "
    "same ids, give the VFs' own addresses, as config suggest writes them.",
)
MIXED_RESOURCE_CLASSES: ty.Final = finding.Code(
    "VFIO282",
    _ERROR,
    "VFs of one PF have different resource classes",
    "Nova publishes one provider for each PF with one resource class "
    "(PlacementPciMixedResourceClassException), whatever its documentation "
    "shows.",
    'device_spec = [{ "address": "0000:25:00.4", '
    '"resource_class": "A16_16A" }, { "address": "0000:25:00.5", '
    '"resource_class": "A16_8A" }]',
    "Give all VFs of one PF one resource class; without Nova, "
    "[vfio] provider_layout = per_class publishes a provider for each.",
)
MIXED_TRAITS: ty.Final = finding.Code(
    "VFIO283",
    _ERROR,
    "VFs of one PF have different traits",
    "The VFs of one PF share a provider, and traits belong to the provider "
    "(PlacementPciMixedTraitsException). live_migratable is a trait too.",
    'device_spec = [{ "address": "0000:25:00.4", "traits": "fast" }, '
    '{ "address": "0000:25:00.5" }]',
    "Give all VFs of one PF the same traits and live_migratable, or "
    "different resource classes and [vfio] provider_layout = per_class.",
)
ONE_TIME_USE_ON_VF: ty.Final = finding.Code(
    "VFIO284",
    _ERROR,
    "one_time_use is set on a VF",
    "Nova takes one_time_use on whole functions only, and refuses even "
    '"no" on a VF (PlacementPciException in PciResourceProvider.add_child).',
    'device_spec = { "product_id": "10ca", "one_time_use": "no" }',
    "Remove one_time_use, or name the PF in place of its VFs.",
)
DEVNAME_WITH_PLACEMENT: ty.Final = finding.Code(
    "VFIO285",
    _ERROR,
    "devname can't be published",
    "With [pci] report_in_placement nova-compute refuses to start on any "
    "spec by devname (ensure_no_dev_spec_with_devname in "
    "nova/compute/pci_placement_translator.py).",
    'device_spec = { "devname": "eth0" }',
    "Name the device by its PCI address.",
)
VF_WITHOUT_PARENT: ty.Final = finding.Code(
    "VFIO286",
    _ERROR,
    "a VF has no known PF",
    "A VF is published below its PF's address, so Nova refuses one without "
    "(PlacementPciException in PlacementView._get_rp_name_for_child).",
    "/sys/bus/pci/devices/0000:25:00.4/physfn can't be read",
    "Look why its physfn link can't be read, and sync again.",
)
PROVIDER_NAME_TOO_LONG: ty.Final = finding.Code(
    "VFIO287",
    _ERROR,
    "a provider's name is too long",
    "Placement takes names of at most 200 characters "
    "(placement/schemas/resource_provider.py).",
    "[vfio] provider_root with 200 characters",
    "Set a shorter [vfio] provider_root.",
)
