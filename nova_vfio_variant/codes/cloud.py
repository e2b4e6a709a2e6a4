# SPDX-License-Identifier: Apache-2.0
"""VFIO227 to 238, 288 to 291: what Nova makes of it, and other services."""

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING
_INFO = finding.Severity.INFO

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
