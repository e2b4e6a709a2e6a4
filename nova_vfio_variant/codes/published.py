# SPDX-License-Identifier: Apache-2.0
"""VFIO4xx: Placement or guests and this host tell different tales."""

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING

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
    "libvirt runs a guest with this device, and neither the store nor "
    "Placement knows of it: the next claim may give it to a second guest "
    "(compare CVE-2026-46448).",
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
