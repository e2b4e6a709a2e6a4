# SPDX-License-Identifier: Apache-2.0
"""What other lines, and other files, have to say beside suggested ones."""

from __future__ import annotations

import typing as ty

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts, vgpu_classes
    from nova_vfio_variant.host.observe import host_scan
    from nova_vfio_variant.pci import address as pci_address

#: Where neutron-sriov-nic-agent is told of them, in a file of its own
#: (neutron.conf.plugins.ml2.drivers.agent_mech_driver, sriov_nic.py).
_MAPPINGS: ty.Final = ("sriov_nic", "physical_device_mappings")

_FILTER: ty.Final = "PciPassthroughFilter"


class Written:
    """What the files say that were read, as far as a suggestion needs it.

    :param given: the configuration; None where there is none
    """

    def __init__(self, given: facts.CheckInput | None = None) -> None:
        self.given = given

    def is_set(self, group: str, option: str, value: object = True) -> bool:
        """Whether an option has this value."""
        return (
            self.given is not None
            and self.given.options.get((group, option)) == value
        )

    @property
    def vgpu_types(self) -> vgpu_classes.Types:
        """The vGPU types that cards are remembered to have."""
        return {} if self.given is None else self.given.vgpu_types

    @property
    def has_filter(self) -> bool:
        """Whether the scheduler's filter for PCI devices is named."""
        given = self.given
        if given is None:
            return False
        named = given.options.get(("filter_scheduler", "enabled_filters"))
        return _FILTER in (named or ())

    def networks(
        self, scan: host_scan.HostScan
    ) -> dict[pci_address.PciAddress, str]:
        """The physical network of each function that a file names one for.

        A device_spec of nova.conf says so, or the mappings of Neutron's agent
        for SR-IOV, which name the interface of a PF.
        """
        if self.given is None:
            return {}
        found: dict[pci_address.PciAddress, str] = {}
        by_interface = dict(self._mappings())
        for seen in scan.functions:
            for name in seen.netdevs:
                if name in by_interface:
                    found[seen.address] = by_interface[name]
        for seen in scan.functions:
            if seen.physfn in found:
                found[seen.address] = found[seen.physfn]
        for seen, spec in self.given.winners:
            network = spec.tags.get("physical_network")
            if network:
                found[seen.address] = str(network)
        return found

    def _mappings(self) -> ty.Iterator[tuple[str, str]]:
        """Each interface with its network: ``physnet2:ens785f0,...``."""
        assert self.given is not None
        for text in self.given.written:
            if (text.group.lower(), text.option) == _MAPPINGS:
                for pair in text.text.split(","):
                    network, _, interface = pair.strip().partition(":")
                    if network and interface:
                        yield interface, network


def told(
    written: Written, aliases: ty.Sequence[str], *, by_class: bool
) -> list[str]:
    """Comment lines: what nova-api and others need, and what is missing here.

    :param aliases: the alias lines that are suggested
    :param by_class: they ask for resource classes
    """
    if not aliases:
        return []
    lines = [
        "",
        "# nova-api's file needs the same aliases:",
        "#   [pci]",
        *(f"#   {line}" for line in aliases),
    ]
    if not written.has_filter:
        lines += [
            "# nova-scheduler's file needs the filter for them:",
            "#   [filter_scheduler]",
            f"#   enabled_filters = (those that it has),{_FILTER}",
        ]
    if not by_class:
        return lines
    missing: list[str] = []
    if not written.is_set("pci", "report_in_placement"):
        missing += [
            "#   [pci]",
            "#   report_in_placement = true",
            "# (which can't be undone)",
        ]
    if not written.is_set("filter_scheduler", "pci_in_placement"):
        missing += [
            "#   [filter_scheduler]",
            "#   pci_in_placement = true",
            "# (in those of nova-api, nova-scheduler and nova-conductor, too)",
        ]
    if missing:
        lines.append(
            "# Missing in the files that were read, for classes to count:"
        )
    return lines + missing
