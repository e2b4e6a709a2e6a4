# SPDX-License-Identifier: Apache-2.0
"""Findings about what Placement can hold."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING

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
