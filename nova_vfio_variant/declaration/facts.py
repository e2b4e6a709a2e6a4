# SPDX-License-Identifier: Apache-2.0
"""All that the rules look at, gathered beforehand, and what they share."""

from __future__ import annotations

import collections
import dataclasses
import functools
import typing as ty

from nova_vfio_variant import exception, finding, source
from nova_vfio_variant.conf import located
from nova_vfio_variant.declaration import verdicts as host_verdicts
from nova_vfio_variant.declaration import vgpu_classes
from nova_vfio_variant.host.decide import assignability
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import host_scan, kernels, nova_compute
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import alias as pci_alias
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import jsontext, matching
from nova_vfio_variant.pci import spec as pci_spec
from nova_vfio_variant.placement import provider, tree
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import mdevs as tracked_mdevs
from nova_vfio_variant.tracker import sync
from nova_vfio_variant.tracker import vgpus as tracked_vgpus

Aliases = ty.Mapping[str, tuple[pci_alias.Alias, ...]]
Pairs = list[tuple[host_function.PciFunction, pci_spec.DeviceSpec]]

#: How many addresses a sentence names before it counts the others.
_NAMED = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """What Placement holds below the root provider.

    :param providers: by name
    :param consumers: provider's name -> consumer -> resource class -> units
    :param ours: the names of those that we made
    """

    providers: ty.Mapping[str, provider.Published]
    consumers: ty.Mapping[str, ty.Mapping[str, ty.Mapping[str, int]]]
    ours: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class CheckInput:
    """What is declared, observed, recorded and published.

    :param written: every assignment of the configuration files
    :param options: values of single options by (group, name), as far as they
        can be used
    :param places: where those stand that a file sets
    :param specs: entries of device_spec that can be used
    :param aliases: by name
    :param findings: what the parsers said already
    :param scan: None to leave out what needs the host
    :param recorded: devices in the store
    :param was_synced: whether the store was ever made equal to configuration
        and host: who acts on the host makes one without that
    :param published: None to leave out what needs Placement
    :param unreachable: why Placement could not be asked, None if it was
    :param unseen: why the host could not be looked at, None if it was
    :param records: what is recorded of the host's functions
    :param host_specs: the values of ``[vfio] host_spec``
    :param next_kernel: an installed one that may be booted next; None to
        leave out what needs it
    :param files: names of the configuration files; None where there are none
        to be named
    :param vgpu_types: those that cards are remembered to have
    :param vgpus: those that we made; None if nobody asked
    :param adopted: instances by the mediated devices that Nova gave them
    """

    written: located.Written = ()
    options: ty.Mapping[tuple[str, str], ty.Any] = dataclasses.field(
        default_factory=dict
    )
    places: ty.Mapping[tuple[str, str], source.SourceText] = dataclasses.field(
        default_factory=dict
    )
    specs: tuple[pci_spec.DeviceSpec, ...] = ()
    aliases: Aliases = dataclasses.field(default_factory=dict)
    findings: tuple[finding.Finding, ...] = ()
    scan: host_scan.HostScan | None = None
    recorded: ty.Sequence[tracked.Device] = ()
    was_synced: bool = False
    published: Published | None = None
    unreachable: exception.PlacementError | None = None
    host_specs: tuple[source.SourceText, ...] = ()
    files: tuple[str, ...] | None = None
    unseen: str | None = None
    next_kernel: kernels.Kernel | None = None
    records: assignability.Records = assignability.NOTHING_RECORDED
    vgpu_types: vgpu_classes.Types = dataclasses.field(default_factory=dict)
    vgpus: tuple[tracked_vgpus.OurVgpu, ...] | None = None
    mdevs: tuple[tracked_mdevs.OurMdev, ...] = ()
    adopted: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        conf: located.Config,
        specs: tuple[pci_spec.DeviceSpec, ...],
        aliases: Aliases,
        findings: tuple[finding.Finding, ...],
        scan: host_scan.HostScan | None = None,
    ) -> CheckInput:
        """Take what the rules need from a configuration."""
        options = {
            key: conf.lookup(*key)
            for key, opt in conf.registered.items()
            if not (opt.multi or opt.secret or key in conf.at_fault)
        }
        places = {key: located.place(conf, *key) for key in options}
        return cls(
            tuple(text for file in conf.files for text in file),
            options,
            {key: text for key, text in places.items() if text is not None},
            specs,
            aliases,
            findings,
            scan,
            host_specs=located.values(conf, "vfio", "host_spec"),
            files=tuple(conf.config_file or ()),
        )

    @property
    def report_in_placement(self) -> bool:
        """``[pci] report_in_placement``: Nova publishes the devices."""
        return bool(self.options.get(("pci", "report_in_placement")))

    @property
    def in_placement(self) -> bool:
        """``[filter_scheduler] pci_in_placement``: flavors ask Placement."""
        return bool(self.options.get(("filter_scheduler", "pci_in_placement")))

    @functools.cached_property
    def nova_seen(self) -> str | None:
        """What of nova-compute is seen on the host; None for nothing."""
        return nova_compute.seen(self.scan.tree) if self.scan else None

    @property
    def root(self) -> str:
        """Name of the root provider."""
        return str(self.options.get(("vfio", "provider_root"), "host"))

    @property
    def layout(self) -> tree.Layout:
        """How VFs are grouped into providers."""
        chosen = self.options.get(("vfio", "provider_layout"))
        return "per_class" if chosen == "per_class" else "nova"

    @property
    def functions(self) -> tuple[host_function.PciFunction, ...]:
        """All of the host; none where the host is left out."""
        return self.scan.functions if self.scan else ()

    @functools.cached_property
    def unread(self) -> frozenset[pci_address.PciAddress]:
        """The functions of which nobody can say which spec takes them.

        What a spec asks of them, or of the PF of theirs, could not be read.
        """
        if self.scan is None:
            return frozenset()
        hidden = set(self.scan.unread)
        asked = {
            fact
            for fact, asks in (
                ("net", lambda spec: spec.devname is not None),
                ("vpd", matching.remote_managed),
            )
            if any(map(asks, self.specs))
        }
        if asked:
            hidden |= {
                seen.address
                for seen in self.functions
                if not asked.isdisjoint(seen.lost)
            }
        if hidden:
            hidden |= {
                seen.address
                for seen in self.functions
                if seen.physfn in hidden
            }
        return frozenset(hidden)

    @functools.cached_property
    def winners(self) -> Pairs:
        """The functions that a spec takes, each with its spec."""
        found = matching.Matcher(self.specs, self.functions)
        pairs = zip(self.functions, found.winners(self.functions), strict=True)
        return [(seen, spec) for seen, spec in pairs if spec is not None]

    @functools.cached_property
    def matched(self) -> list[frozenset[pci_address.PciAddress]]:
        """For each spec all that it matches, won or not."""
        return matching.Matcher(self.specs, self.functions).matched(
            self.functions
        )

    @functools.cached_property
    def by_spec(self) -> dict[int, list[host_function.PciFunction]]:
        """Index of a spec -> the functions that it takes."""
        found = collections.defaultdict(list)
        for seen, spec in self.winners:
            found[spec.index].append(seen)
        return dict(found)

    def of_guests(
        self, *, managed: bool | None = None
    ) -> ty.Iterator[
        tuple[pci_spec.DeviceSpec, list[host_function.PciFunction]]
    ]:
        """Each spec with the functions that it gives to guests.

        :param managed: only specs that say so, where not saying is yes
        """
        for spec in self.specs:
            says = host_verdicts.is_managed(spec)
            if managed in (None, says) and spec.index in self.by_spec:
                yield spec, self.by_spec[spec.index]

    @functools.cached_property
    def vfs_of(
        self,
    ) -> dict[pci_address.PciAddress, list[host_function.PciFunction]]:
        """The VFs that a PF has."""
        found = collections.defaultdict(list)
        for seen in self.functions:
            if seen.physfn is not None:
                found[seen.physfn].append(seen)
        return dict(found)

    @functools.cached_property
    def spec_of(self) -> dict[pci_address.PciAddress, pci_spec.DeviceSpec]:
        """The spec that takes a function."""
        return {seen.address: spec for seen, spec in self.winners}

    @functools.cached_property
    def verdicts(self) -> host_verdicts.Verdicts | None:
        """What every rule about a device asks; None without a host."""
        if self.scan is None:
            return None
        return self.judging(self.records)

    def judging(
        self, records: assignability.Records
    ) -> host_verdicts.Verdicts:
        """The same, with records of another moment."""
        return host_verdicts.Verdicts(
            self.host_facts, records, self.spec_of, self.host_specs
        )

    @functools.cached_property
    def host_facts(self) -> host_facts.HostFacts:
        """All that is seen of the host's functions."""
        assert self.scan is not None
        return host_facts.gather(self.scan)

    @functools.cached_property
    def desired(self) -> ty.Sequence[tracked.Device]:
        """The devices that configuration and host ask for."""
        return sync.desired(self.specs, self.functions, type_classes(self))

    @functools.cached_property
    def alike(self) -> list[list[tracked.Device]]:
        """The desired devices in groups of which an alias takes all or none.

        Nodes are among what they have in common.
        """
        groups: dict[str, list[tracked.Device]] = {}
        for device in self.desired:
            key = repr(
                (
                    device.vendor_id,
                    device.product_id,
                    device.dev_type,
                    device.numa_node,
                    device.resource_class,
                    device.traits,
                    sorted(device.tags.items()),
                )
            )
            groups.setdefault(key, []).append(device)
        return list(groups.values())

    @functools.cached_property
    def tree(
        self,
    ) -> tuple[tuple[provider.Provider, ...], tuple[finding.Finding, ...]]:
        """The providers that they make, and what stands against them."""
        return tree.build(self.desired, self.root, self.layout, self.spec_of)


def type_classes(given: CheckInput) -> dict[pci_address.PciAddress, str]:
    """The classes that vGPU types give: ``resource_class_from_type``.

    None as long as the store wasn't asked which vGPUs are whose.
    """
    option = ("vfio", "resource_class_from_type")
    judge = given.verdicts
    if judge is None or given.vgpus is None or not given.options.get(option):
        return {}
    return vgpu_classes.of_functions(
        judge, given.vgpu_types, given.vgpus, given.spec_of
    )


Rule = ty.Callable[[CheckInput], ty.Iterable[finding.Finding]]


def on_spec(
    code: finding.Code,
    message: str,
    spec: pci_spec.DeviceSpec,
    key: str | None = None,
    subject: str | None = None,
    hint: str | None = None,
) -> finding.Finding:
    """A finding at the value of a spec's key, or at the whole entry."""
    start, end = spec.start, spec.end
    if key is not None and key in spec.keys:
        start, end = spec.keys[key][2:]
    return finding.Finding.on(
        code,
        message,
        spec.text,
        start,
        end,
        subject or spec.text.option,
        hint,
    )


def on_alias(
    code: finding.Code,
    message: str,
    alias: pci_alias.Alias,
    key: str | None,
    hint: str | None = None,
) -> finding.Finding:
    """A finding at the value of an alias's key, or at all of it."""
    node, _ = jsontext.parse(alias.text)
    start, end = 0, len(alias.text.text)
    if node is not None:
        start, end = node.start, node.end
        members = node.keys()
        if key in members:
            start, end = members[key].node.start, members[key].node.end
    return finding.Finding.on(
        code, message, alias.text, start, end, alias.name, hint
    )


def on_option(
    code: finding.Code,
    message: str,
    text: source.SourceText | None,
    subject: str,
    hint: str | None = None,
) -> finding.Finding:
    """A finding at the value of an option, or without a place."""
    if text is None:
        return finding.Finding(code, message, subject=subject, hint=hint)
    return finding.Finding.on(code, message, text, subject=subject, hint=hint)


def listed(addresses: ty.Iterable[pci_address.PciAddress]) -> str:
    """Addresses as a sentence names them: three, and how many more."""
    found = [str(address) for address in sorted(addresses)]
    if len(found) <= _NAMED + 1:
        return ", ".join(found)
    return f"{', '.join(found[:_NAMED])} and {len(found) - _NAMED} more"


def named(found: ty.Iterable[host_function.PciFunction]) -> str:
    """Functions by their addresses, as :func:`listed` names them."""
    return listed(seen.address for seen in found)


def are(found: ty.Sequence[host_function.PciFunction]) -> str:
    """The verb of a sentence about what they are."""
    return "is" if len(found) == 1 else "are"


def have(found: ty.Sequence[host_function.PciFunction]) -> str:
    """The verb of a sentence about what they have."""
    return "has" if len(found) == 1 else "have"


def it(found: ty.Sequence[host_function.PciFunction]) -> str:
    """How a sentence calls them once they are named."""
    return "it" if len(found) == 1 else "them"
