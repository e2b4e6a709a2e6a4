# SPDX-License-Identifier: Apache-2.0
"""``[pci]`` lines for the VFs that a host really has.

What would be a finding of ``config check`` is not suggested: the reason
stands there in its place.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import textwrap
import typing as ty

from nova_vfio_variant.check import beside, binding, demanded, places
from nova_vfio_variant.declaration import verdicts, vgpu_classes
from nova_vfio_variant.host.decide import assignability, codes
from nova_vfio_variant.host.observe import drivers, groups, host_scan
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import names, pattern

_HEAD = """\
# VFs of this host, grouped by PF, type and NUMA node.
# What stands behind # is no configuration.
"""

_VFIO = """
[vfio]
# VFs of one PF differ in their type, which Nova's layout can't publish: with
# [pci] report_in_placement nova-compute would not start on these lines.
provider_layout = per_class
"""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class _Kind:
    """What a flavor asks for.

    :param vgpu_type: name of the vGPU type, empty for a VF without types
    """

    vendor_id: str
    product_id: str
    vgpu_type: str = ""

    @property
    def alias(self) -> str:
        """The alias's name: hex ids, or the type."""
        if self.vgpu_type:
            return self.resource_class.removeprefix("CUSTOM_")
        return f"vf_{self.vendor_id}_{self.product_id}"

    def has_ids_of(self, seen: host_function.PciFunction) -> bool:
        """Whether vendor and product are those of a function."""
        return (seen.vendor_id, seen.product_id) == (
            self.vendor_id,
            self.product_id,
        )

    @property
    def resource_class(self) -> str:
        """The class that its devices are published as."""
        return names.resource_class(
            self.vgpu_type, self.vendor_id, self.product_id
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Group:
    """VFs that one entry names.

    :param whole: they are all VFs of the PF with these ids
    :param network: the physical network that they are on: they are for ports
    :param on_demand: claims set their vGPU types
    """

    pf: pci_address.PciAddress
    kind: _Kind
    numa_node: int | None
    vfs: tuple[host_function.PciFunction, ...]
    managed: bool
    whole: bool
    network: str | None = None
    on_demand: bool = False

    @property
    def for_aliases(self) -> bool:
        """Whether an alias asks for them as they are."""
        return self.network is None and not self.on_demand


#: What a remark is about, and what it says of it.
_Remark = tuple[str, str]


def text(
    host: verdicts.Verdicts, written: beside.Written | None = None
) -> str:
    """A nova.conf fragment; flavor lines stand in it as comments.

    :param host: with nothing declared of it
    :param written: what the files say that were read, if there are any
    """
    written = written or beside.Written()
    scan = host.facts.scan
    families = collections.defaultdict(list)
    for seen in scan.functions:
        if seen.physfn is not None:
            families[seen.physfn].append(seen)
    lines = [_HEAD]
    groups: list[_Group] = []
    remarks: list[_Remark] = []
    networks = written.networks(scan)
    type_names = _type_names(host, written)
    cards = demanded.Cards(host, written)
    for pf in sorted(families):
        some, said = _groups(
            host, pf, families[pf], networks, type_names, cards.get(pf)
        )
        groups += some
        remarks += said
    for seen in scan.functions:
        if seen.sriov_totalvfs and seen.address not in families:
            remarks.append(
                (
                    f"PF {seen.address}",
                    f"could have {seen.sriov_totalvfs} VFs, and has none",
                )
            )
    for_aliases = [group for group in groups if group.for_aliases]
    by_pf = itertools.groupby(for_aliases, lambda entry: entry.pf)
    if any(
        len({entry.kind for entry in some}) > 1 for _, some in by_pf
    ) and not written.is_set("vfio", "provider_layout", "per_class"):
        lines.append(_VFIO)
    lines.append("\n[pci]\n")
    lines += [_spec_lines(scan, group) for group in groups]
    aliases = []
    for kind, of_kind in itertools.groupby(
        sorted(for_aliases, key=lambda entry: entry.kind),
        lambda entry: entry.kind,
    ):
        aliases.append(_alias(kind))
        lines.append(_alias_lines(kind, list(of_kind)))
    lines += cards.lines(group.pf for group in groups if group.on_demand)
    lines += _remark_lines(remarks)
    told = beside.told(
        written,
        aliases,
        by_class=any(group.kind.vgpu_type for group in for_aliases),
    )
    lines += [f"{line}\n" for line in told]
    return "".join(lines)


def _remark_lines(remarks: list[_Remark]) -> ty.Iterator[str]:
    """What is not suggested, reason by reason."""
    by_reason: dict[str, list[str]] = {}
    for about, reason in remarks:
        by_reason.setdefault(reason, []).append(about)
    for reason, those in by_reason.items():
        if len(those) == 1:
            yield f"# not suggested: {those[0]} {reason}\n"
            continue
        yield f"# not suggested, since each {reason}:\n"
        for line in textwrap.wrap(", ".join(those), 75):
            yield f"#   {line}\n"


def _groups(
    host: verdicts.Verdicts,
    pf: pci_address.PciAddress,
    vfs: list[host_function.PciFunction],
    networks: ty.Mapping[pci_address.PciAddress, str],
    type_names: ty.Mapping[str, str],
    card: demanded.Card | None,
) -> tuple[list[_Group], list[_Remark]]:
    """The VFs of a PF that can be given away, and why others can't.

    :param card: where claims set their types
    """
    scan = host.facts.scan
    remarks: list[_Remark] = []
    fit = []
    for seen in vfs:
        why = _unfit(host, seen, card)
        if why is None:
            fit.append(seen)
        else:
            remarks.append((str(seen.address), why))
    on_variant = [
        seen for seen in fit if card or seen.variant_driver is not None
    ]
    if on_variant and len(on_variant) < len(fit):
        # All VFs of a PF are managed alike, or Nova refuses requests.
        remarks += [
            (
                str(seen.address),
                f"is on no variant driver, as others of {pf} are",
            )
            for seen in fit
            if seen.variant_driver is None
        ]
        fit = on_variant
    is_left = all(seen.vfio and not _better(scan, seen) for seen in fit)
    managed = card is None and not is_left
    found: dict[tuple[_Kind, int, str], list[host_function.PciFunction]] = {}
    for seen in fit:
        node = -1 if seen.numa_node is None else seen.numa_node
        # A port's device is managed: it would lose its variant driver.
        network = "" if on_variant else networks.get(seen.address, "")
        kind = _kind(host, seen, type_names if card is None else None)
        found.setdefault((kind, node, network), []).append(seen)
    return [
        _Group(
            pf,
            kind,
            None if node < 0 else node,
            tuple(some),
            managed,
            _is_named_apart(scan, pf, kind)
            and some == [seen for seen in vfs if kind.has_ids_of(seen)],
            network or None,
            card is not None,
        )
        for (kind, node, network), some in sorted(found.items())
    ], remarks


def _is_named_apart(
    scan: host_scan.HostScan, pf: pci_address.PciAddress, kind: _Kind
) -> bool:
    """Whether the ids tell the VFs from their PF, whose address is given."""
    seen = scan.get(pf)
    return (
        pf.domain <= pattern.MAX_DOMAIN
        and seen is not None
        and not kind.has_ids_of(seen)
    )


def _unfit(
    host: verdicts.Verdicts,
    seen: host_function.PciFunction,
    card: demanded.Card | None,
) -> str | None:
    """Why a VF is not suggested.

    Who has it now is no reason: what is suggested is to last.
    """
    if seen.address.domain > pattern.MAX_DOMAIN:
        return f"is in a domain above {pattern.MAX_DOMAIN:x}: Nova skips it"
    answer = host.of(seen, vgpu_type=card.types[0].id if card else None)
    for obstacle in (*answer.blocking, *answer.unknown):
        if obstacle.code in binding.USES and not seen.vfio:
            return f"is in use by the host ({obstacle.message})"
        if obstacle.code not in {
            *assignability.MOMENTARY,
            codes.OTHER_VGPU_TYPE,
        }:
            return obstacle.message.removeprefix("it ")
    others = [
        function
        for function in groups.members(host.facts.scan, seen)
        if not function.is_any_bridge
    ]
    if others:
        return (
            f"shares IOMMU group {seen.iommu_group} with {others[0].address}"
        )
    return None


def _better(scan: host_scan.HostScan, seen: host_function.PciFunction) -> bool:
    """Whether libvirt would find a better VFIO driver than the bound one."""
    module = binding.made_for(scan, seen)
    return (
        module is not None
        and seen.driver is not None
        and not drivers.same_name(module, seen.driver)
    )


def _kind(
    host: verdicts.Verdicts,
    seen: host_function.PciFunction,
    type_names: ty.Mapping[str, str] | None,
) -> _Kind:
    """What a VF is; of those whose types come and go without its type."""
    vgpu = host.facts.vgpus.get(seen.address)
    if vgpu is None or vgpu.current is None or type_names is None:
        return _Kind(seen.vendor_id, seen.product_id)
    name = type_names.get(vgpu.current, f"vgpu_type_{vgpu.current}")
    return _Kind(seen.vendor_id, seen.product_id, name)


def _type_names(
    host: verdicts.Verdicts, written: beside.Written
) -> dict[str, str]:
    """What to call each vGPU type that a card of this host is known to have.

    Types whose classes would be the same have none.
    """
    found = {
        known.id: vgpu_classes.short(known.name)
        for types in vgpu_classes.types(
            host.facts, written.vgpu_types
        ).values()
        for known in types
    }
    classes = collections.Counter(map(vgpu_classes.of_name, found.values()))
    return {
        number: name
        for number, name in found.items()
        if name and classes[vgpu_classes.of_name(name)] == 1
    }


def _spec_lines(scan: host_scan.HostScan, group: _Group) -> str:
    pf = scan.get(group.pf)
    driver = "no driver" if pf is None or not pf.driver else pf.driver
    kind = group.kind
    said = (
        f"\n# PF {group.pf} on {driver}, {_node(group.numa_node)}:"
        f" {len(group.vfs)} {'VF' if len(group.vfs) == 1 else 'VFs'}"
        f" {kind.vendor_id}:{kind.product_id}\n"
    )
    tags = {"managed": "yes" if group.managed else "no"}
    if group.network is not None:
        # Neutron's; managed would mean nothing.
        tags = {"physical_network": group.network}
        said += (
            f"# for ports on {group.network}: openstack port create"
            " --vnic-type direct\n"
        )
    elif group.on_demand:
        said += "# claims set their vGPU types\n"
    elif kind.vgpu_type:
        tags = {"resource_class": kind.resource_class} | tags
    ids = {"vendor_id": kind.vendor_id, "product_id": kind.product_id}
    named = [str(group.pf)] if group.whole else places.of(group.vfs)
    return said + "".join(
        f"device_spec = {_json({**ids, 'address': at, **tags})}\n"
        for at in named
    )


def _alias_lines(kind: _Kind, groups: list[_Group]) -> str:
    by_node: dict[int | None, int] = {}
    for group in groups:
        count = by_node.get(group.numa_node, 0)
        by_node[group.numa_node] = count + len(group.vfs)
    shown = ", ".join(
        f"{count} on {_node(node)}" for node, count in by_node.items()
    )
    needs = (
        "# (types are told apart with [filter_scheduler] pci_in_placement)\n"
        if kind.vgpu_type
        else ""
    )
    return (
        f"\n# {shown}\n{needs}"
        f"{_alias(kind)}\n"
        "# openstack flavor set FLAVOR --property"
        f" pci_passthrough:alias={kind.alias}:1\n"
    )


def _alias(kind: _Kind) -> str:
    alias = {
        "name": kind.alias,
        "vendor_id": kind.vendor_id,
        "product_id": kind.product_id,
        "device_type": "type-VF",
    }
    if kind.vgpu_type:
        alias["resource_class"] = kind.resource_class
    return f"alias = {_json(alias)}"


def _node(node: int | None) -> str:
    return "no NUMA node" if node is None else f"NUMA node {node}"


def _json(fields: ty.Mapping[str, ty.Any]) -> str:
    return f"{{ {json.dumps(fields)[1:-1]} }}"
