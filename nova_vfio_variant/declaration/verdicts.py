# SPDX-License-Identifier: Apache-2.0
"""The verdict on each function of a host, with what is declared of it.

What a function is wanted for stands in the configuration: ``managed`` and
``physical_network`` in the ``device_spec`` that takes it, companions and
drivers in ``host_spec``.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import source
from nova_vfio_variant.host.decide import assignability, host_spec
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import groups
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed
from nova_vfio_variant.pci import matching
from nova_vfio_variant.pci import spec as pci_spec

Address = pci_address.PciAddress

#: Of an entry of host_spec, those that say which vGPUs there are.
_VGPU_KEYS: ty.Final = frozenset({"vgpu_type", "vgpu_types"})


class Verdicts:
    """What every command asks of a host's functions.

    :param facts: the host as seen
    :param records: what is recorded of its functions
    :param spec_of: the device_spec entry that takes a function
    :param host_specs: the values of ``[vfio] host_spec``
    """

    def __init__(
        self,
        facts: host_facts.HostFacts,
        records: assignability.Records = assignability.NOTHING_RECORDED,
        spec_of: ty.Mapping[Address, pci_spec.DeviceSpec] | None = None,
        host_specs: ty.Sequence[source.SourceText] = (),
    ) -> None:
        self.facts = facts
        self.records = records
        self._spec_of = spec_of or {}
        self._host_specs = host_spec.parse_host_specs(host_specs)[0]
        self._of_anybody: dict[Address, assignability.Verdict] = {}

    @property
    def known(self) -> host_facts.HostFacts:
        """The host as seen, with what is recorded, as whoever acts sees it."""
        return dataclasses.replace(self.facts, records=self.records)

    def at(
        self,
        address: Address,
        instance_uuid: str | None = None,
        together: ty.Collection[Address] | None = None,
        vgpu_type: str | None = None,
    ) -> assignability.Verdict:
        """The verdict on what stands at an address, if anything does.

        :param instance_uuid: who is to have it; None for any
        :param together: as for :meth:`of`
        :param vgpu_type: as for :meth:`of`
        """
        function = self.facts.scan.get(address)
        if function is None:
            return assignability.vanished(address, self.facts, self.records)
        return self.of(function, instance_uuid, together, vgpu_type)

    def of(
        self,
        function: observed.PciFunction,
        instance_uuid: str | None = None,
        together: ty.Collection[Address] | None = None,
        vgpu_type: str | None = None,
    ) -> assignability.Verdict:
        """The verdict on a function, for what it is declared for.

        :param instance_uuid: who is to have it; None for any
        :param together: all functions that its guest gets; None where that
            isn't known yet
        :param vgpu_type: the id of the vGPU type that it is to be given; None
            where it is wanted as it is
        """
        is_anybodys = (instance_uuid, together, vgpu_type) == (None,) * 3
        known = self._of_anybody.get(function.address)
        if known is not None and is_anybodys:
            return known
        purpose = dataclasses.replace(
            self.purpose(function, instance_uuid), vgpu_type=vgpu_type
        )
        if together is not None:
            purpose = dataclasses.replace(
                purpose,
                mates=frozenset(
                    address for address in purpose.mates if address in together
                ),
            )
        answer = assignability.verdict(
            function, self.facts, self.records, purpose
        )
        if is_anybodys:
            self._of_anybody[function.address] = answer
        return answer

    def purpose(
        self,
        function: observed.PciFunction,
        instance_uuid: str | None = None,
    ) -> assignability.Purpose:
        """What a function is declared for."""
        spec = self._spec_of.get(function.address)
        mates = groups.members(self.facts.scan, function)
        companions: set[Address] = set()
        if mates:
            for entry in self._host_specs:
                if entry.companions and entry.selects(function):
                    companions.update(entry.companions)
        return assignability.Purpose(
            None if spec is None else is_managed(spec),
            instance_uuid,
            spec is not None and goes_to_port(spec),
            frozenset(companions),
            frozenset(
                seen.address for seen in mates if self._goes_along(seen)
            ),
        )

    def has_declared_vgpus(self, function: observed.PciFunction) -> bool:
        """Whether host_spec says which vGPU a function is, or its card has."""
        members = [function]
        if function.physfn is not None:
            pf = self.facts.scan.get(function.physfn)
            members += [] if pf is None else [pf]
        return any(
            not _VGPU_KEYS.isdisjoint(entry.keys) and entry.selects(member)
            for entry in self._host_specs
            for member in members
        )

    def _goes_along(self, mate: observed.PciFunction) -> bool:
        """Whether a member of a group leaves its driver for a guest, too.

        libvirt takes all managed devices of a guest from their drivers
        before it looks at their groups.
        """
        spec = self._spec_of.get(mate.address)
        if spec is not None and is_managed(spec):
            return True
        return any(
            entry.driver not in (None, host_spec.HOST)
            and not entry.is_of_pf
            and entry.selects(mate)
            for entry in self._host_specs
        )


def goes_to_port(spec: pci_spec.DeviceSpec) -> bool:
    """Whether its devices are for ports of Neutron's.

    No alias is given those that are ``remote_managed``.
    """
    return bool(spec.tags.get("physical_network")) or matching.remote_managed(
        spec
    )


def is_managed(spec: pci_spec.DeviceSpec) -> bool:
    """What the ``<hostdev>`` of its devices says.

    Neutron ports have hostdevs that are always managed, whatever the spec
    says (``nova.virt.libvirt.config``).
    """
    return spec.managed is not False or goes_to_port(spec)
