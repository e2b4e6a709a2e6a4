# SPDX-License-Identifier: Apache-2.0
"""Which guest has which device: by libvirt's files, and by processes. Pure.

Not every guest is libvirt's, and a file may say less than what is open.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant.host.observe import use as uses
from nova_vfio_variant.host.observe import vfio

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import domains, facts, records
    from nova_vfio_variant.pci import address as pci_address


@dataclasses.dataclass(frozen=True, slots=True)
class Passed:
    """A device that a guest has, or would be started with.

    :param instance_uuid: the guest's; empty if its file doesn't tell
    :param by: the file that says so, or what a process of the guest has open
    :param name: the guest's; empty if it isn't told
    """

    instance_uuid: str
    by: str
    name: str = ""

    def __str__(self) -> str:
        named = f"{self.name} ({self.instance_uuid})"
        return named if self.name else self.instance_uuid


By = dict["pci_address.PciAddress", dict[str, Passed]]


def functions(
    host: facts.HostFacts,
    files: ty.Iterable[domains.Guest],
    owners: records.Owners,
) -> By:
    """The guests of each function that guests have, by their UUIDs.

    :param files: the guests that libvirt keeps files of
    :param owners: whose functions are: a file of a whole IOMMU group is open
        for the member that a guest is known to have, and for no other one
    """
    found: By = collections.defaultdict(dict)
    for guest in files:
        for at in guest.functions:
            found[at].setdefault(
                guest.instance_uuid,
                Passed(guest.instance_uuid, guest.place, guest.name),
            )
    shared: By = collections.defaultdict(dict)
    for at, used in host.in_use.items():
        function = host.scan.get(at)
        if function is None or not vfio.is_named(host.scan, function):
            continue
        for use, opener in _open(used):
            into = shared if use.shared else found
            into[at].setdefault(opener.instance_uuid, opener)
    has = {(at, uuid) for at, by in found.items() for uuid in by}
    has |= owners.items()
    for at, by in shared.items():
        function = host.scan.get(at)
        group = function and function.iommu_group
        mates = host.scan.iommu_groups.get(group or 0, ())
        for uuid, one in by.items():
            if not any((mate, uuid) in has for mate in mates):
                found[at].setdefault(uuid, one)
    return dict(sorted(found.items()))


def mdevs(
    host: facts.HostFacts, files: ty.Iterable[domains.Guest]
) -> dict[str, dict[str, Passed]]:
    """The same of mediated devices, by the UUIDs of both."""
    found: dict[str, dict[str, Passed]] = collections.defaultdict(dict)
    for guest in files:
        for uuid in guest.mdevs:
            found[uuid].setdefault(
                guest.instance_uuid,
                Passed(guest.instance_uuid, guest.place, guest.name),
            )
    for uuid, used in host.mdev_uses.items():
        for _, opener in _open(used):
            found[uuid].setdefault(opener.instance_uuid, opener)
    return dict(sorted(found.items()))


def _open(
    used: ty.Iterable[uses.Use],
) -> ty.Iterator[tuple[uses.Use, Passed]]:
    """The uses of which it is known that a guest has that very thing open."""
    for use in used:
        uuid = use.holder and use.holder.instance_uuid
        if use.kind is uses.Kind.OPEN and uuid and not use.guessed:
            yield use, Passed(uuid, use.what)
