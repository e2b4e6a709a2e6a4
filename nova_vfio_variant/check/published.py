# SPDX-License-Identifier: Apache-2.0
"""Rules about what Placement holds and what guests have."""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

import os_traits

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import (
    facts,
    guest_mdevs,
    nova_here,
    nova_mdevs,
    two_sides,
)
from nova_vfio_variant.host.observe import domains, passed
from nova_vfio_variant.host.observe.use import guests
from nova_vfio_variant.placement import diff, tree

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import address as pci_address

#: What says how to log in to a service, first of all.
_CREDENTIALS: ty.Final = frozenset({"auth_type", "auth_section"})


def switched_off(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Nova never goes back from PCI in Placement.

    It looks for the trait alone, whoever published the provider; an embedded
    Placement it doesn't see.
    """
    if (
        given.published is None
        or given.report_in_placement
        or given.options.get(("vfio", "placement")) != "service"
    ):
        return
    names = sorted(
        name
        for name, published in given.published.providers.items()
        if os_traits.COMPUTE_MANAGED_PCI_DEVICE in published.traits
    )
    if names:
        key = ("pci", "report_in_placement")
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield facts.on_option(
            codes.REPORT_SWITCHED_OFF,
            "report_in_placement is off, and PCI devices of this node are"
            f" published: {names[0]}{more}",
            given.places.get(key),
            "[pci] report_in_placement",
        )


def nova_differs(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Nova's own providers against those that this file would give."""
    if given.published is None or given.scan is None:
        return
    of_nova = {
        name: dataclasses.replace(
            published,
            traits=tuple(
                trait
                for trait in published.traits
                if trait != nova_here.OWNER_NOVA
            ),
        )
        for name, published in given.published.providers.items()
        if nova_here.OWNER_NOVA in published.traits
        and os_traits.COMPUTE_MANAGED_PCI_DEVICE in published.traits
    }
    if not of_nova:
        return
    desired, _ = tree.build(given.desired, given.root)
    changes = collections.defaultdict(list)
    for change in diff.difference(of_nova, desired):
        if change.provider not in given.published.providers or (
            change.provider in of_nova
        ):
            changes[change.provider].append(change)
    for name, those in changes.items():
        yield finding.Finding(
            codes.NOVA_DIFFERS,
            "; ".join(
                f"{changed.field} {_shown(changed.published)} is published, and"
                f" {_shown(changed.desired)} would be"
                for changed in those
            )
            if those[0].change != "delete"
            else "is published, and no device of this host makes it",
            subject=name,
        )


def _shown(value: diff.Value) -> str:
    if value is None:
        return "none"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def allocated_to_another(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """Consumers in Placement against owners in the store."""
    for one in two_sides.differences(given):
        yield finding.Finding(
            codes.ALLOCATED_TO_ANOTHER,
            f"instance {one.instance_uuid} has {one.recorded} of its devices"
            f" in the store, and {one.published} in Placement",
            subject=one.provider,
        )


def guest_without_claim(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """Devices of running guests that neither side has a claim for."""
    of_mdevs = guest_mdevs.owners(given.mdevs, given.adopted)
    if given.scan is None or not (
        given.recorded or given.published or of_mdevs
    ):
        return
    files = tuple(domains.every(given.scan.tree, guests.STATES))
    for uuid, guest, owner in guest_mdevs.unclaimed(
        given.host_facts,
        files,
        of_mdevs,
        {device.address for device in given.recorded},
        nova_mdevs.handed_out(given),
    ):
        yield _unclaimed(uuid, guest, owner)
    recorded = {
        tracked_device.address: tracked_device
        for tracked_device in given.recorded
    }
    has = passed.functions(given.host_facts, files, given.records.owners)
    for address, guest in (
        (address, guest)
        for address, by in has.items()
        for guest in by.values()
    ):
        device = recorded.get(address)
        if device is None and address not in given.spec_of:
            continue
        owner = device.instance_uuid if device else None
        if device is not None and owner == guest.instance_uuid:
            continue
        if _allocated(given, guest, address):
            continue
        yield _unclaimed(str(address), guest, owner)


def _unclaimed(
    subject: str, guest: passed.Passed, owner: str | None
) -> finding.Finding:
    return finding.Finding(
        codes.GUEST_WITHOUT_CLAIM,
        f"guest {guest} has {subject} ({guest.by}), which "
        + (f"instance {owner} claimed" if owner else "nobody claimed"),
        subject=subject,
    )


def _allocated(
    given: facts.CheckInput,
    guest: passed.Passed,
    address: pci_address.PciAddress,
) -> bool:
    """Whether Nova, which has no store of ours, has it allocated."""
    if given.published is None:
        return False
    providers, _ = tree.build(given.desired, given.root, given.layout)
    return any(
        guest.instance_uuid in given.published.consumers.get(provider.name, {})
        for provider in providers
        if str(address) in provider.devices
    )


def cloud_not_asked(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Credentials for a Placement that isn't the one that was asked."""
    asked = given.options.get(("vfio", "placement"))
    # Without the host Placement isn't asked either (--offline).
    if given.scan is None or asked != "embedded":
        return
    for text in given.written:
        # As oslo.config, which compares groups without case.
        if text.group.lower() == "placement" and text.option in _CREDENTIALS:
            yield facts.on_option(
                codes.CLOUD_NOT_ASKED,
                "the Placement that this names was not asked: [vfio] placement"
                " is embedded",
                text,
                "[placement]",
            )
            return


def unreachable(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Rules that could not be asked because Placement could not."""
    why = given.unreachable
    if why is not None:
        yield finding.Finding(
            codes.PLACEMENT_UNREACHABLE,
            why.message,
            subject="[vfio] placement",
            hint=f"{why.hint[:1].upper()}{why.hint[1:]}, or give --offline to"
            " leave such rules out."
            if why.hint
            else None,
        )


RULES: tuple[facts.Rule, ...] = (
    unreachable,
    cloud_not_asked,
    switched_off,
    nova_differs,
    allocated_to_another,
    guest_without_claim,
)
