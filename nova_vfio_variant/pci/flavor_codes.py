# SPDX-License-Identifier: Apache-2.0
"""VFIO15x: findings about the extra specs of a flavor."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING

BAD_COUNT: ty.Final = finding.Code(
    "VFIO150",
    _ERROR,
    "a flavor asks for no number of an alias",
    "pci_passthrough:alias is ALIAS:COUNT, several of them parted by commas. "
    "Nova takes a count of 0 and boots an instance without the device, and "
    "ends a boot with a ValueError where the text is none of that "
    "(nova/pci/request.py, _translate_alias_to_requests).",
    '{ "pci_passthrough:alias": "A16" }',
    "Write ALIAS:COUNT[,ALIAS:COUNT...], each count at least 1.",
)
UNKNOWN_ALIAS: ty.Final = finding.Code(
    "VFIO151",
    _ERROR,
    "a flavor asks for an alias that isn't defined",
    "Nova refuses to boot such a flavor (PciRequestAliasNotDefined). nova-api "
    "and every compute node have to have the same aliases.",
    '{ "pci_passthrough:alias": "A61:1" }, and [pci] alias has no A61',
    "Ask for one that [pci] alias defines, or define it there.",
)
BAD_POLICY: ty.Final = finding.Code(
    "VFIO152",
    _ERROR,
    "a NUMA policy that nobody knows",
    "hw:pci_numa_affinity_policy is required, legacy, preferred or socket "
    "(InvalidPCINUMAAffinity).",
    '{ "hw:pci_numa_affinity_policy": "strict" }',
    "Write required, legacy, preferred or socket.",
)
MEANS_NOTHING: ty.Final = finding.Code(
    "VFIO153",
    _ERROR,
    "an extra spec that means nothing",
    "The scheduler skips what it can't read of resources, traits and "
    "group_policy, and says so in its log alone: an instance boots without "
    "what was asked for. Since microversion 2.86 nova-api refuses most of it; "
    "flavors that are older, or were set with less, still have it "
    "(nova/scheduler/utils.py, nova/objects/request_spec.py).",
    '{ "resources1:A16": "1" }',
    "Write resourcesN:CLASS=COUNT, traitN:TRAIT=required or forbidden, "
    "group_policy=none or isolate.",
)
TRAITS_ALONE: ty.Final = finding.Code(
    "VFIO154",
    _ERROR,
    "a numbered group with traits and no resource",
    "Placement refuses such a request, so that nothing boots. Whatever stands "
    "between trait and the colon is a group's name: traits:X asks for X in a "
    "group that is called s.",
    '{ "traits:CUSTOM_A16": "required" }',
    "Write trait:NAME for the whole host, or give the group a resource.",
)
NO_GROUP_POLICY: ty.Final = finding.Code(
    "VFIO155",
    _ERROR,
    "several numbered groups without group_policy",
    "Placement refuses a request with more than one numbered group that "
    "doesn't say whether they may be served by one provider. Nova adds none "
    "for groups of a flavor, and says so in the scheduler's log.",
    '{ "resources1:CUSTOM_A16": "1", "resources2:CUSTOM_A16": "1" }',
    "Set group_policy=none, or isolate for a provider each.",
)
NOT_NOVAS: ty.Final = finding.Code(
    "VFIO156",
    _WARNING,
    "an alias for devices that Nova doesn't own",
    "With [filter_scheduler] pci_in_placement Nova 34 asks Placement for an "
    "alias's devices with the trait OWNER_NOVA, which providers that "
    "nova-vfio publishes don't have: there is no valid host. What is asked "
    "for by resource class has no such condition "
    "(nova/scheduler/request_filter.py, owner_nova_filter).",
    '{ "pci_passthrough:alias": "A16_16A:1" }, and nova-vfio publishes them',
    "Ask for the resource class: 'nova-vfio flavor check' prints the lines.",
)
