# SPDX-License-Identifier: Apache-2.0
"""Where this project means to differ from Nova, one row each.

Everywhere else it means the same as Nova 34: the conformance tests ask both
sides the same questions, fail on a difference that no row here explains, and
fail when a row has nothing left to explain.
"""

# Longer than 400 lines: it is one table, in which a difference is looked up.

from __future__ import annotations

import dataclasses

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes
from nova_vfio_variant.conf import codes as conf_codes
from nova_vfio_variant.pci import codes as pci_codes
from nova_vfio_variant.placement import codes as placement_codes


@dataclasses.dataclass(frozen=True, slots=True)
class Deviation:
    """One intended difference.

    :param id: a stable name, lower case
    :param what: what Nova does, and what we do
    :param why: why ours is better for the operator
    :param nova: where it stands in Nova, or the number of the bug
    :param findings: what ``config check`` says where it applies
    :param silent: where it says nothing, why
    """

    id: str
    what: str
    why: str
    nova: str
    findings: tuple[finding.Code, ...] = ()
    silent: str = ""


BORROWED_OPTION = Deviation(
    "borrowed-option",
    "Nova takes a $name that is an option of its own, set or not; we take "
    "one that a file sets.",
    "Where there is no Nova nobody knows all of its options, nor what a "
    "default such as my_ip is on this host.",
    "oslo_config.cfg.ConfigOpts._substitute",
    findings=(conf_codes.INTERPOLATION,),
)
UNKNOWN_KEY = Deviation(
    "unknown-key",
    "Nova takes any key in device_spec as a tag; to us one that nobody knows "
    "is an error, though the entry still matches what it says.",
    "A misspelt managed or resource_class is silently without effect.",
    "nova.pci.devspec.PciDeviceSpec._init_dev_details",
    findings=(pci_codes.UNKNOWN_KEY,),
)
UNKNOWN_ADDRESS_KEY = Deviation(
    "unknown-address-key",
    "Nova ignores a field of an address object that it doesn't know; to us "
    "it is an error.",
    'With "func" in place of "function" the entry matches every function.',
    "nova.pci.devspec.PciAddressRegexSpec",
    findings=(pci_codes.UNKNOWN_ADDRESS_KEY,),
)
LATE_TYPE = Deviation(
    "late-type",
    "Nova takes a number or a list as resource_class, traits, trusted, "
    "physical_network or devname, and 0, false or [] as address; to us a "
    "wrong type is an error.",
    "Nova stumbles over it later, without a place, or never finds a match.",
    "nova.pci.devspec.PciDeviceSpec._init_dev_details",
    findings=(pci_codes.WRONG_TYPE,),
)
LENIENT_REMOTE_MANAGED = Deviation(
    "lenient-remote-managed",
    "Nova reads a remote_managed that is neither yes nor no as no; to us it "
    "is an error, as with every other boolean.",
    'A "treu" would hand a card that is managed remotely to any guest.',
    "nova.pci.devspec.PciDeviceSpec._init_dev_details",
    findings=(pci_codes.NOT_BOOLEAN,),
)
SLOW_REGEX = Deviation(
    "slow-regex",
    "Nova takes a regular expression that may take for ever, and then hangs "
    "on the first device; to us it is an error.",
    "Four repeats inside each other take half a second a field, five take "
    "minutes, and the service does nothing else meanwhile.",
    "nova.pci.devspec.PciAddressRegexSpec.match",
    findings=(pci_codes.SLOW_REGEX,),
)
LARGE_REGEX = Deviation(
    "large-regex",
    "Nova takes a regular expression of any length, with repeats inside "
    "repeats of any number; to us one of more than 512 characters, or of "
    "more than 65,535 parts with its repeats written out, is an error.",
    "What Python makes of (a{65535}){65535} takes gigabytes, and a field "
    "has four digits at most.",
    "nova.pci.devspec.PciAddressRegexSpec",
    findings=(pci_codes.LARGE_REGEX,),
)
REMOTE_MANAGED_PF = Deviation(
    "remote-managed-pf",
    "Nova refuses every remote_managed entry that names a PF, for its "
    "VFs as well, and every one with an interface that is missing now; we "
    "know which VFs it means, and say that Nova does not start.",
    "Nova looks up the PF by the text of a Python object, and its product "
    "in a file that the kernel never had; what it wanted to refuse is "
    "seldom what it refuses.",
    "nova.pci.utils.get_pci_ids_by_pci_addr",
    findings=(codes.REMOTE_MANAGED_PF,),
)
DEVNAME_WIDE_DOMAIN = Deviation(
    "devname-wide-domain",
    "Nova does not start on a devname whose function sits in a domain above "
    "ffff; to us such an entry matches nothing.",
    "It skips such a function wherever else it meets one, and says nothing "
    "of devname.",
    "nova.pci.devspec.PhysicalPciAddress",
    findings=(codes.DEVNAME_WIDE_DOMAIN,),
)
ALIAS_ID_NEWLINE = Deviation(
    "alias-id-newline",
    "Nova takes a line break behind the four digits of an alias's id; we "
    "refuse it.",
    "No device has an id with a line break, so the alias would find none.",
    "nova.pci.utils.PCI_VENDOR_PATTERN",
    findings=(pci_codes.BAD_ID,),
)
ALIAS_BLANK_NAME = Deviation(
    "alias-blank-name",
    "Nova takes an alias whose name is blanks alone, and strips it to "
    "nothing; we refuse it.",
    "The API lets no flavor ask for a name that is empty.",
    "nova.pci.request.get_alias_from_config",
    findings=(pci_codes.ALIAS_WITHOUT_NAME,),
)
ALIAS_EMPTY_CLASS = Deviation(
    "alias-empty-class",
    "With PCI in Placement Nova takes an alias with an empty resource_class "
    "and no ids; we refuse it.",
    "Nova then asks Placement for CUSTOM_PCI_NONE_NONE, which nobody has.",
    "nova.pci.request._validate_required_ids",
    findings=(pci_codes.ALIAS_WITHOUT_IDS,),
)
FLAVOR_COUNT = Deviation(
    "flavor-count",
    "Nova takes a count of 0, a negative one, and all else that Python's "
    "int() takes, such as 1_0; we take whole numbers from 1.",
    "A count of 0 boots an instance without the device that it was made for.",
    "nova.pci.request._translate_alias_to_requests",
    silent="It stands in a flavor, of which 'flavor check' says it (VFIO150).",
)
PF_LATER = Deviation(
    "pf-later",
    "Whether an address is a PF's, and so covers its VFs, Nova looks up when "
    "it starts, and never again; we look at each sync.",
    "An entry would miss all VFs of a card that was plugged, or whose VFs "
    "could be made, only after nova-compute had started.",
    "nova.pci.devspec.WhitelistPciAddress._check_physical_function",
    findings=(
        codes.MATCHES_NOTHING,
        codes.FEWER_VFS,
    ),
)
INTERFACE_GONE = Deviation(
    "interface-gone",
    "When the interface that a devname names vanishes with its devices, Nova "
    "doesn't find their pool: it goes on giving them out, or its sync fails, "
    "until it restarts; we stop to track them.",
    "A guest would be given a device that isn't there.",
    "nova.pci.stats.PciDeviceStats.remove_device",
    silent="It happens while nova-compute runs; the files are the same.",
)
CAME_BACK = Deviation(
    "came-back",
    "A device that vanished while in use and came back Nova removes all the "
    "same when it is freed, until the next sync; we keep it.",
    "It is there, and the configuration asks for it.",
    "nova.pci.manager.PciDevTracker.to_be_removed_when_freed",
    silent="It happens while nova-compute runs; the files are the same.",
)
PF_STAYS_BLOCKED = Deviation(
    "pf-stays-blocked",
    "When a VF that vanished is freed together with others of its PF, Nova "
    "leaves the PF blocked, though none of its VFs is in use; we free it.",
    "Nobody could have the PF until another of its VFs is claimed and freed.",
    "nova.objects.pci_device.PciDevice.free",
    silent="It happens while nova-compute runs; the files are the same.",
)
FAMILY_IN_NO_POOL = Deviation(
    "family-in-no-pool",
    "When a device that vanished is freed, Nova makes the rest of its family "
    "available, and gives it to nobody until it restarts; we give it at once.",
    "A free PF is refused to everybody.",
    "nova.pci.manager.PciDevTracker._free_device",
    silent="It happens while nova-compute runs; the files are the same.",
)
SECOND_CLAIM = Deviation(
    "second-claim",
    "Nova grants an instance a second claim and then forgets its first one, "
    "which stays claimed until a restart; we refuse a second claim.",
    "A guest would have devices that nobody takes for its own.",
    "nova.pci.manager.PciDevTracker.claim_instance",
    silent="It happens while nova-compute runs; the files are the same.",
)
CLAIM_OF_NOTHING = Deviation(
    "claim-of-nothing",
    "On a host that tracks no device Nova grants every claim, with no "
    "device; we refuse it.",
    "The instance would start without the device that it was made for.",
    "nova.pci.manager.PciDevTracker.claim_instance",
    findings=(
        codes.ALIASES_ALONE,
        codes.ALIAS_UNSATISFIED,
    ),
)
NEWCOMER_BLOCKED = Deviation(
    "newcomer-blocked",
    "Nova makes a newly tracked VF or PF available whatever its family "
    "does; we block it while its PF, or one of its VFs, is in use.",
    "The scheduler would give out a device that can't be used.",
    "nova.objects.pci_device.PciDevice.create",
    silent="It happens while nova-compute runs; the files are the same.",
)
FREED_FROM_OWNER = Deviation(
    "freed-from-owner",
    "When a PF is freed Nova makes all its VFs available, and when the last "
    "VF is freed its PF, even if somebody has them; we free only what was "
    "blocked.",
    "After a crash, or by bug 1969496, both may be in use, and a device that "
    "a guest has would be given to a second one.",
    "nova.objects.pci_device.PciDevice.free",
    silent="It happens while nova-compute runs; the files are the same.",
)
ORDER_AFTER_FREE = Deviation(
    "order-after-free",
    "Within a pool Nova gives out first what was freed last, until it "
    "restarts; we always give out the highest address first.",
    "The same claims on the same host then give the same devices, whatever "
    "happened before.",
    "nova.pci.stats.PciDeviceStats.add_device",
    silent="It happens while nova-compute runs; the files are the same.",
)
FAILED_CLAIM = Deviation(
    "failed-claim",
    "When the second request of a claim fails, Nova gives back the devices "
    "of the first, but not the PF or the VFs that left the pools with them, "
    "until it restarts; we give back all.",
    "A free PF is refused to everybody.",
    "nova.pci.stats.PciDeviceStats.consume_requests",
    silent="It happens while nova-compute runs; the files are the same.",
)
NULL_TAG = Deviation(
    "null-tag",
    "Nova puts a device whose tag is null into a pool that has another tag "
    "in its place, if both have the same number of tags; we do not.",
    "A device without physical_network would be given out as a trusted one, "
    "and the other way round.",
    "nova.pci.stats.PciDeviceStats._find_pool",
    findings=(
        codes.NULL_TAG_POOLED,
        codes.POOL_SPLIT,
    ),
)
PARENT_IFNAME = Deviation(
    "parent-ifname",
    "Nova knows the interface of a VF's PF only while the VF has one of its "
    "own; we know it always.",
    "It is a key of the pool, which would change whenever the VF goes from "
    "its host driver to vfio-pci and back.",
    "nova.virt.libvirt.host.Host._get_pcidev_info",
    silent="It changes no device that a guest is given.",
)
MANAGED_ALWAYS = Deviation(
    "managed-always",
    "Nova leaves managed out of extra_info where device_spec doesn't say; "
    "ours always says true or false.",
    "Who reads a device need not know the default.",
    "nova.pci.devspec.PciDeviceSpec.enhanced_pci_device_with_spec_tags",
    silent="It changes no device that a guest is given.",
)
DRIVER_TOLD = Deviation(
    "driver-told",
    "Nova knows neither driver nor IOMMU group of a device; our extra_info "
    "holds driver, vfio_driver and iommu_group, as seen at the last sync even "
    "while somebody has the device.",
    "A wrong managed shows before a guest fails for it.",
    "nova.virt.libvirt.host.Host._get_pcidev_info",
    silent="It changes no device that a guest is given.",
)
PLACE_WAITS = Deviation(
    "place-waits",
    "When the type or the PF of a blocked device changes, Nova takes it over "
    "at once; ours waits until the device is free.",
    "A VF whose physfn can't be read for a moment would be given out beside "
    "its PF.",
    "nova.objects.pci_device.PciDevice.update_device",
    silent="It happens while nova-compute runs; the files are the same.",
)
HOST_AFRESH = Deviation(
    "host-afresh",
    "Nova asks libvirt for the host's devices once in the life of "
    "nova-compute, since release 34; we look at each sync.",
    "A card that was plugged, or VFs that were made, later would be missed "
    "until a restart.",
    "nova.virt.libvirt.driver.LibvirtDriver._get_pci_passthrough_devices",
    silent="It happens while nova-compute runs; the files are the same.",
)
CLAIM_BY_CLASS = Deviation(
    "claim-by-class",
    "Without pci_in_placement Nova ignores resource_class and traits of an "
    "alias; a claim of ours honours them always.",
    "What differs in class or traits alone, such as vGPU types, would be "
    "given out at random.",
    "nova.pci.stats.PciDeviceStats.ignored_pool_tags",
    findings=(codes.ALIAS_CLASS_IGNORED,),
)
CLAIM_OF_SPLIT = Deviation(
    "claim-of-split",
    "With PCI in Placement Nova refuses requests for a PF whose VFs "
    "differ in a tag such as managed; a claim of ours takes them.",
    "A claim chooses the devices themselves and need not guess which of a "
    "provider's pools is meant.",
    "nova.pci.stats.PciDeviceStats._assert_one_pool_per_rp_uuid",
    findings=(codes.POOL_SPLIT,),
)
NEAR_OF_ANOTHER_CLASS = Deviation(
    "near-of-another-class",
    "With PCI in Placement Nova looks for devices near the guest before it "
    "looks which Placement chose, and refuses those if nearer ones of "
    "another class would have sufficed; we look among those of the class.",
    "The policy allows the devices that Placement chose, and there are none "
    "nearer that the alias means.",
    "nova.pci.stats.PciDeviceStats._filter_pools",
    silent="It depends on the nodes of a guest, which are in no file.",
)
CUSTOM_CLEANED = Deviation(
    "custom-cleaned",
    "Nova leaves a name that starts with CUSTOM_ as it is; we replace each "
    "run of other characters by _, as in every other name.",
    "Placement refuses CUSTOM_A-B, and the compute node then reports "
    "nothing at all.",
    "nova.compute.pci_placement_translator._normalize_resource_class",
    findings=(codes.NOVA_NAMES_OTHERWISE,),
)
TRAITS_STRIPPED = Deviation(
    "traits-stripped",
    "Nova strips nothing around the commas of traits and takes an empty "
    "name for CUSTOM_; we strip, and drop what is empty.",
    'The example in Nova\'s own help, "blue, big", would ask for CUSTOM__BIG.',
    "nova.compute.pci_placement_translator.get_traits",
    findings=(codes.NOVA_NAMES_OTHERWISE,),
)
OWNER_TRAIT = Deviation(
    "owner-trait",
    "Nova gives its providers the trait OWNER_NOVA; ours don't have it.",
    "It says whose they are, and ours are not Nova's.",
    "nova.compute.pci_placement_translator.PciResourceProvider",
    silent="It says whose a provider is, and changes no device.",
)
HELD_UNTIL_FREED = Deviation(
    "held-until-freed",
    "When the configuration of a device in use changes, Nova publishes the "
    "new class and traits at once, and counts a device that is no longer "
    "named only where there are too few others; we publish what the device "
    "has until it is freed.",
    "Placement refuses to take a class away that is allocated, and the "
    "compute node then reports nothing at all.",
    "nova.compute.pci_placement_translator.PlacementView.process_dev",
    silent="It happens while nova-compute runs; the files are the same.",
)
PER_CLASS = Deviation(
    "per-class",
    "Nova refuses VFs of one PF with different resource classes; with "
    "[vfio] provider_layout = per_class we publish a provider for each.",
    "A card that serves several vGPU types has VFs of several classes.",
    "nova.compute.pci_placement_translator.PciResourceProvider.add_child",
    findings=(
        placement_codes.MIXED_RESOURCE_CLASSES,
        codes.WOULD_BE_REFUSED,
    ),
)
EMBEDDED_ALWAYS = Deviation(
    "embedded-always",
    "Nova publishes nothing while [pci] report_in_placement is off; to an "
    "embedded Placement we publish always.",
    "It is ours alone, and claims are kept there.",
    "nova.compute.pci_placement_translator.update_provider_tree_for_pci",
    silent="Nova doesn't see an embedded Placement.",
)
INVENTORY_KEPT = Deviation(
    "inventory-kept",
    "When a total changes, Nova sets reserved, min_unit, step_size and "
    "allocation_ratio back to their defaults; we keep what is there.",
    "An operator set it, and nothing says that it was undone.",
    "nova.compute.pci_placement_translator.PciResourceProvider."
    "_get_inventories",
    silent="It happens while nova-compute runs; the files are the same.",
)
OTHERS_LEFT = Deviation(
    "others-left",
    "Nova deletes every provider below its root that has the trait "
    "COMPUTE_MANAGED_PCI_DEVICE and no device; with [vfio] placement = "
    "service we delete only what we made.",
    "Whoever made it may still need it.",
    "nova.compute.pci_placement_translator.PlacementView."
    "_remove_managed_rps_from_tree_not_in_view",
    findings=(codes.NOVA_DIFFERS,),
)
HEALING = Deviation(
    "healing",
    "Nova changes allocations in Placement that don't say what its devices "
    "say; we change them by a claim alone, and report such a difference.",
    "Which of the two is right a program can't know.",
    "nova.compute.pci_placement_translator.PlacementView.update_allocations",
    findings=(codes.ALLOCATED_TO_ANOTHER,),
)
HOSTDEV_DRIVER = Deviation(
    "hostdev-driver",
    "Nova's <hostdev> names no driver; ours says <driver name='vfio'/>.",
    "libvirt adds the element when it reads the device back, so what was put "
    "in and what comes out are the same text.",
    "nova.virt.libvirt.config.LibvirtConfigGuestHostdevPCI.format_dom",
    silent="libvirt makes the same of both.",
)
HOSTDEV_WIDE_DOMAIN = Deviation(
    "hostdev-wide-domain",
    "Nova refuses to make a <hostdev> for a PCI domain above ffff "
    "(PciDeviceWrongAddressFormat); we make it.",
    "Devices behind a VMD controller sit in domains from 10000 up, and "
    "libvirt takes them.",
    "nova.pci.utils.parse_address",
    findings=(codes.WIDE_DOMAIN,),
)
MIGRATE_AT_ONCE = Deviation(
    "migrate-at-once",
    "Nova rewrites one address after another in the same document, so that "
    "A to B and B to C sends A's device to C; we rewrite all at once.",
    "Hosts of one kind have the same addresses, so chains are the usual "
    "case, and a swapped pair sends one device's state into another.",
    "nova.virt.libvirt.migration._update_pci_dev_xml",
    silent="It is about a guest that moves, and in no file of this host.",
)
MIGRATE_MANAGED = Deviation(
    "migrate-managed",
    "Nova leaves the source's managed in the destination's XML; we write the "
    "destination's own.",
    "With the wrong one libvirt takes a device from its variant driver, or "
    "refuses one that still has its host driver.",
    "nova.virt.libvirt.migration._update_hostdev_address",
    silent="It is about a guest that moves, and in no file of this host.",
)
MIGRATE_BY_VALUE = Deviation(
    "migrate-by-value",
    "Nova finds a source address, or the UUID of an mdev, only if it is "
    "spelled as Nova spells it; we compare what it means.",
    "An operator's XML may hold 0xAB, or leave the domain out; both are right "
    "to libvirt.",
    "nova.virt.libvirt.migration._address_matches",
    silent="It is about a guest that moves, and in no file of this host.",
)
MDEV_CAPPED = Deviation(
    "mdev-capped",
    "Nova drops a card whole, with the devices that it has, where it would "
    "bring a type above its max_instances; we reserve what is above it.",
    "Of two cards of 16 and a limit of 20 four devices are left, and a guest "
    "that has one keeps its unit.",
    "nova.virt.libvirt.driver.LibvirtDriver._get_gpu_inventories",
    silent="Where Nova is, its own numbers are shown and compared.",
)
MDEV_TOTALS = Deviation(
    "mdev-totals",
    "Nova's total of a parent is what there is and what could be made at the "
    "moment, and a parent of which nothing can be made has no provider; ours "
    "is what it takes when it is empty, as far as that is told, and what "
    "can't be made now, or is there and no claim of ours has it, is reserved.",
    "When siblings fill a card, providers would go and come, and allocations "
    "with them.",
    "nova.virt.libvirt.driver.LibvirtDriver._get_gpu_inventories",
    silent="Where Nova is, its own numbers are shown and compared.",
)

TABLE: tuple[Deviation, ...] = tuple(
    row for row in globals().values() if isinstance(row, Deviation)
)
