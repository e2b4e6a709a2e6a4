# SPDX-License-Identifier: Apache-2.0
"""A random host on record, and what the use cases say of it, in memory.

Configuration and store are files, for what reads them needs such; the host
is in memory, and Placement isn't asked.
"""

import contextlib
import dataclasses
import functools
import json
import pathlib
import re
import types
import typing as ty
import uuid
from unittest import mock

from nova_vfio_variant import exception, finding, source
from nova_vfio_variant.check import engine
from nova_vfio_variant.declaration import facts, gathering
from nova_vfio_variant.declaration import verdicts as host_verdicts
from nova_vfio_variant.host import process
from nova_vfio_variant.host.decide import apply as host_apply
from nova_vfio_variant.host.decide import assignability, host_spec
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import host_scan, scanner
from nova_vfio_variant.node import (
    checking,
    context,
    on_record,
    placement_side,
    syncing,
    tracked_devices,
)
from nova_vfio_variant.node import claims as node_claims
from nova_vfio_variant.node import inventory as node_inventory
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed
from nova_vfio_variant.pci import matching, parse
from nova_vfio_variant.testing import placement
from nova_vfio_variant.tracker import allowance, family, mdevs, vgpus
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import sync as tracker_sync
from tests import agreement, random_hosts

#: One function, or a line of several below their reason.
_REMARKED = re.compile(
    r"^#(?: not suggested: (\S+)|   ([0-9a-f]{4,}:.*?),?$)", re.MULTILINE
)
_SPEC = re.compile(r"^device_spec = (.+)$", re.MULTILINE)
_CODE = re.compile(r"\[(VFIO\d+)\]$")
#: An obstacle of another function that has to leave its driver.
_OF_MATES = "has to leave its driver for it"
#: So many claims are tried of one host.
_CLAIMS = 1


def parsed(at: str) -> pci_address.PciAddress:
    return pci_address.PciAddress.parse(at)


def record(
    opened: ty.Any, on: context.Context, host: random_hosts.Host
) -> None:
    """Track a host's devices, and record what is known of them."""
    plan = syncing.plan(on, opened)
    opened.apply(
        dataclasses.replace(
            plan,
            added=tuple(
                dataclasses.replace(
                    tracked_device,
                    product_id="ffff",
                    identity=dataclasses.replace(
                        tracked_device.known, product_id="ffff"
                    ),
                )
                if str(tracked_device.address) in host.exchanged
                else tracked_device
                for tracked_device in plan.added
            ),
        )
    )
    devices = opened.devices()
    families = family.Families(devices)
    mine: dict[str, list[tracked.Device]] = {}
    for at, instance in host.claims:
        device = devices.get(parsed(at))
        if device is not None:
            # A member of its family may be claimed already.
            with contextlib.suppress(exception.InvalidDeviceStatus):
                families.claim(device.address, instance)
                mine.setdefault(instance, []).append(device)
    for instance, some in mine.items():
        request = types.SimpleNamespace(alias_name="any")
        opened.claim(instance, [(request, some)])
        opened.allocate(instance)
    for at in host.quarantined:
        opened.quarantine(parsed(at), "for a test", random_hosts.BOOT)
    for at, code in host.allowed:
        seen = on.scan.get(parsed(at))
        if seen is not None:
            opened.allowances.add(seen.address, code, "why", seen.identity)


def suggested(
    text: str, scan: host_scan.HostScan, said: agreement.Answers
) -> None:
    """Learn what a suggested configuration takes, and what it leaves."""
    texts = [source.SourceText.of(one) for one in _SPEC.findall(text)]
    specs, found = parse.parse_device_specs(texts)
    assert not found, found
    winners = matching.Matcher(specs, scan.functions).winners(scan.functions)
    said.suggested = {
        str(seen.address)
        for seen, spec in zip(scan.functions, winners, strict=True)
        if spec is not None
    }
    said.remarked = {
        at
        for alone, several in _REMARKED.findall(text)
        for at in (alone or several).split(", ")
    }


def codes_of(lines: ty.Iterable[str]) -> frozenset[str]:
    """The codes of obstacles as commands print them."""
    found = (_CODE.search(line) for line in lines)
    return frozenset(one[1] for one in found if one)


def shown(verdict: assignability.Verdict) -> agreement.Shown:
    return agreement.Shown(
        str(verdict.state),
        frozenset(obstacle.code.id for obstacle in verdict.obstacles),
    )


class MemoryStore:
    """As much of a ``tracker.store.Store`` as the use cases ask for."""

    def __init__(self) -> None:
        self._devices: dict[pci_address.PciAddress, tracked.Device] = {}
        self._meta: dict[str, str] = {}
        self._quarantined: dict[pci_address.PciAddress, str] = {}
        self._allowed: list[allowance.Allowance] = []
        self.provider_memory = placement.Memory()
        self.allowances = types.SimpleNamespace(
            all=lambda: tuple(self._allowed), add=self._allow
        )
        # Nobody makes vGPUs here: VFs have a type, or none.
        self.vgpu_reports = types.SimpleNamespace(all=dict)
        self.cordons = types.SimpleNamespace(all=tuple)
        self.mdevs = types.SimpleNamespace(all=dict, of=lambda _: ())
        self.claim_records = types.SimpleNamespace(
            all=lambda _=None: {}, get=lambda _: None, end=lambda _: None
        )
        self.vgpus = types.SimpleNamespace(
            all=tuple, types=tuple, remember_types=list
        )

    def _allow(self, *said: ty.Any) -> None:
        address, code, reason, identity = said
        self._allowed.append(
            allowance.Allowance(address, code, reason, identity, "")
        )

    def devices(self) -> tracked.Devices:
        return tracker_sync.marked(self._devices.values())

    recorded = devices

    def apply(self, plan: tracker_sync.SyncPlan) -> None:
        for device in (*plan.added, *plan.updated, *plan.kept):
            self._devices[device.address] = device
        for device in plan.removed:
            del self._devices[device.address]

    def claims(
        self, instance_uuid: str | None = None
    ) -> tuple[tracked.Claim, ...]:
        return tracked.claims_of(
            device
            for device in self.devices()
            if device.instance_uuid is not None
            and instance_uuid in (None, device.instance_uuid)
        )

    def claim(
        self,
        instance_uuid: str,
        taken: ty.Iterable[ty.Any],
        boot: str | None = None,
        made: ty.Iterable[vgpus.OurVgpu] = (),
        mediated: ty.Iterable[mdevs.OurMdev] = (),
        asked: str | None = None,
    ) -> None:
        families = family.Families(self._devices.values())
        for request, devices in taken:
            for one in devices:
                if one.address in self._quarantined:
                    raise exception.InvalidDeviceStatus(f"{one.address}")
                families.claim(
                    one.address, instance_uuid, "r", request.alias_name
                )
        self._put(families)

    def owned(self, instance_uuid: str) -> list[tracked.Device]:
        return [
            device
            for device in self.devices()
            if device.instance_uuid == instance_uuid
        ]

    def at(
        self, addresses: ty.Collection[pci_address.PciAddress]
    ) -> tracked.Devices:
        return tracker_sync.marked(
            device
            for device in self._devices.values()
            if device.address in addresses
        )

    def taken_first(self, count: int) -> list[tracked.Device]:
        # Of each pool all: more than are asked for are no other choice.
        del count
        return [
            device
            for device in self.devices()
            if device.status == tracked.Status.AVAILABLE
        ]

    def allocate(self, instance_uuid: str) -> tuple[tracked.Claim, ...]:
        return self._end(instance_uuid, family.Families.allocate)

    def free(
        self, instance_uuid: str, gone: ty.Iterable[vgpus.OurVgpu] = ()
    ) -> tuple[tracked.Claim, ...]:
        return self._end(instance_uuid, family.Families.free)

    def _end(
        self, instance_uuid: str, how: ty.Callable[..., None]
    ) -> tuple[tracked.Claim, ...]:
        families = family.Families(self._devices.values())
        for device in self.devices():
            if device.instance_uuid == instance_uuid:
                how(families, device.address, instance_uuid)
        had = self.claims(instance_uuid)
        self._put(families)
        return self.claims(instance_uuid) or had

    def _put(self, families: family.Families) -> None:
        for device in families.changes():
            self._devices[device.address] = device
            if device.status == tracked.Status.REMOVED:
                del self._devices[device.address]

    def meta(self, name: str) -> str | None:
        return self._meta.get(name)

    def set_meta(self, name: str, value: str) -> None:
        self._meta[name] = value

    def quarantined(
        self, _boot: str | None = None
    ) -> dict[pci_address.PciAddress, str]:
        return dict(self._quarantined)

    def quarantine(
        self, address: pci_address.PciAddress, reason: str, _boot: str
    ) -> None:
        self._quarantined[address] = reason


class _Context(context.Context):
    """A node whose host and store are in memory."""

    has_state = True

    def __init__(
        self,
        opened: MemoryStore,
        state: pathlib.Path,
        config: pathlib.Path,
    ) -> None:
        super().__init__([str(config)], state_path=str(state))
        self._opened = opened

    def open_store(self, *, read_only: bool) -> ty.Any:
        del read_only
        return contextlib.nullcontext(self._opened)


def _at_once(work: ty.Callable[[], str], *_: object) -> str:
    """Do what a helper does; of a host in memory nothing is waited for."""
    return work()


class Desk:
    """Where one host after the other is asked about.

    :param folder: for the files of all
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._config = folder / "nova.conf"

    def ask(self, host: random_hosts.Host) -> agreement.Answers:
        """All that the use cases say of a host."""
        self._config.write_text(random_hosts.configuration(host))
        tree = random_hosts.MemoryTree(random_hosts.Files(host))
        kept: dict[str, ty.Any] = {
            "tree": tree,
            "scan": scanner.scan(tree),
        }
        parsed: dict[tuple[str, int], facts.CheckInput] = {}

        def put_together_once(
            how: ty.Callable[..., facts.CheckInput],
        ) -> ty.Callable[..., facts.CheckInput]:
            def answer(*args: ty.Any) -> facts.CheckInput:
                key = how.__name__, len(args)
                if key not in parsed:
                    parsed[key] = how(*args)
                return parsed[key]

            return answer

        opened = MemoryStore()
        once = functools.cache(lambda: real(kept["scan"]))
        real = host_facts.gather
        with (
            mock.patch.object(host_facts, "gather", lambda *_: once()),
            mock.patch.object(
                gathering, "gather", put_together_once(gathering.gather)
            ),
            mock.patch.object(
                gathering, "on_host", put_together_once(gathering.on_host)
            ),
            mock.patch.object(process, "run", _at_once),
            mock.patch.object(node_inventory.Publication, "publish"),
            mock.patch.object(node_inventory.Publication, "allocate"),
        ):
            one = _Asking(
                lambda: _Context(opened, self._folder, self._config),
                kept,
                host,
            )
            record(opened, one.anew(), host)
            return one.answers(opened)


class _Asking:
    """One host, being asked about."""

    def __init__(
        self,
        fresh: ty.Callable[[], context.Context],
        kept: dict[str, ty.Any],
        host: random_hosts.Host,
    ) -> None:
        self._fresh = fresh
        self._kept = kept
        self._host = host
        self._said = agreement.Answers()

    def anew(self) -> context.Context:
        """A node as another command would make it, of the same host."""
        made = self._fresh()
        made.__dict__.update(self._kept)
        self._kept["conf"] = self._kept["survey"] = made.conf
        return made

    def answers(self, opened: MemoryStore) -> agreement.Answers:
        said = self._said
        on = self.anew()
        of_devices(tracked_devices.TrackedDevices(on).devices(), on.scan, said)
        said.states["device list"] = {
            at: str(on.verdicts.at(parsed(at)).state) for at in said.tracked
        }
        self._of_host(self.anew())
        self._check(self.anew())
        self._suggest(self.anew())
        self._plans(self.anew(), opened)
        inventory(
            (
                (name, stock.total, stock.reserved)
                for provider in placement_side.PlacementSide(self.anew())
                .view()
                .desired
                for name, stock in provider.inventories.items()
            ),
            said,
        )
        self._claim(opened)
        self._release()
        return said

    def _of_host(self, on: context.Context) -> None:
        for seen in on.scan.functions:
            verdict = on.verdicts.of(seen)
            self._said.shown[str(seen.address)] = shown(verdict)

    def _check(self, on: context.Context) -> None:
        given = on.given()
        learn(given.spec_of, self._said)
        found = engine.check(given)
        errors = [
            obstacle
            for obstacle in engine.blocking(given)
            if obstacle.severity is finding.Severity.ERROR
        ]
        assert not errors, errors
        told(
            (
                (
                    problem.code.id,
                    problem.subject,
                    None
                    if problem.location is None
                    else problem.location.line,
                )
                for problem in found
            ),
            self._host,
            self._said,
        )

    def _suggest(self, on: context.Context) -> None:
        bare = host_verdicts.Verdicts(on.verdicts.facts, on.verdicts.records)
        for seen in on.scan.functions:
            self._said.undeclared[str(seen.address)] = shown(bare.of(seen))
        suggested(checking.Checking(on).suggest(), on.scan, self._said)

    def _plans(self, on: context.Context, opened: ty.Any) -> None:
        records = on.verdicts.records
        seen_of = dataclasses.replace(
            on.verdicts.facts,
            records=on_record.recorded(opened, on.scan),
        ).knowing(quarantined=opened.quarantined(random_hosts.BOOT))
        for seen in on.scan.functions:
            at = str(seen.address)
            text = source.SourceText.of(json.dumps(to_vfio(self._host, at)))
            specs, _ = host_spec.parse_host_specs([text])
            found = host_apply.decision(specs, seen_of)
            self._said.plans[at] = {
                refusal.code.id
                for refusal in (*found.refusals, *found.findings)
                # Of its companions others are told.
                if refusal.subject == at or refusal in found.findings
            }
            judge = host_verdicts.Verdicts(seen_of, records)
            kept = against_plan(judge, seen, specs[0].companions, self._said)
            if kept and not (found.refusals or found.findings):
                self._said.unplanned.add(at)

    def _claim(self, opened: MemoryStore) -> None:
        for alias, count in wanted(self._host, self._said):
            instance = str(uuid.uuid4())
            given, words = None, ""
            try:
                made = node_claims.Claims(self.anew()).claim(
                    instance, f"{alias_name(alias)}:{count}"
                )
            except exception.ClaimError as error:
                words = error.message
            else:
                given = tuple(
                    str(at) for claim in made for at in claim.addresses
                )
                opened.free(instance)
            self._said.claims.append(
                agreement.Claimed(alias, count, given, words)
            )

    def _release(self) -> None:
        owners = {one.owner for one in self._said.tracked.values()}
        for owner in sorted(one for one in owners if one is not None):
            try:
                node_claims.Claims(self.anew()).release(owner)
            except exception.ClaimError:
                self._said.released[owner] = False
            else:
                self._said.released[owner] = True


def against_plan(
    judge: host_verdicts.Verdicts,
    seen: observed.PciFunction,
    companions: ty.Collection[pci_address.PciAddress],
    said: agreement.Answers,
) -> bool:
    """Learn what speaks against a plan that puts a function on vfio-pci.

    :param companions: that are to be unbound for it
    :returns: whether members of its group can't leave their drivers
    """
    asked = functools.partial(
        assignability.verdict, seen, judge.facts, judge.records
    )
    purpose = assignability.Purpose(driver="vfio-pci", companions=companions)
    said.to_plan[str(seen.address)] = frozenset(
        obstacle.code.id for obstacle in asked(purpose).obstacles
    )
    return any(
        _OF_MATES in obstacle.message
        for obstacle in asked(
            dataclasses.replace(purpose, driver=None)
        ).obstacles
    )


def of_devices(
    devices: ty.Iterable[ty.Any],
    scan: host_scan.HostScan,
    said: agreement.Answers,
) -> None:
    """Learn what is tracked."""
    for one in devices:
        seen = scan.get(one.address)
        said.tracked[str(one.address)] = agreement.Tracked(
            one.resource_class,
            one.dev_type,
            one.instance_uuid,
            bool(one.tags.get("physical_network")),
            seen is None or not tracker_sync.is_exchanged(one, seen.identity),
        )


def learn(
    spec_of: ty.Mapping[pci_address.PciAddress, ty.Any],
    said: agreement.Answers,
) -> None:
    """Learn which entry takes what."""
    for at, spec in spec_of.items():
        said.taken[str(at)] = spec.resource_class
        said.managed[spec.resource_class] = host_verdicts.is_managed(spec)


def told(
    found: ty.Iterable[tuple[str, str | None, int | None]],
    host: random_hosts.Host,
    said: agreement.Answers,
) -> None:
    """Learn what ``config check`` tells: code, subject and line."""
    lines = random_hosts.configuration(host).splitlines()
    at_line = {
        number: spec["resource_class"]
        for number, text in enumerate(lines, start=1)
        for spec in host.specs
        if text == f"device_spec = {json.dumps(spec)}"
    }
    for code, subject, line in found:
        entry = at_line.get(line or 0)
        said.findings[entry].add(code)
        if entry is None and subject is not None:
            said.findings[subject].add(code)
        if code == host_codes.ANOTHER_DEVICE.id and subject is not None:
            said.exchanged.add(subject)


def inventory(
    rows: ty.Iterable[tuple[str, int, int]], said: agreement.Answers
) -> None:
    """Learn what is published: resource class, total and reserved."""
    said.inventory = {}
    for name, total, reserved in rows:
        before = said.inventory.get(name, (0, 0))
        said.inventory[name] = (before[0] + total, before[1] + reserved)


def to_vfio(host: random_hosts.Host, at: str) -> ty.Mapping[str, ty.Any]:
    """A host_spec that asks for vfio-pci for a function."""
    for spec in host.host_specs:
        if spec["address"] == at:
            return spec
    return {"address": at, "driver": "vfio-pci", "allow_pf": True}


def alias_name(alias: tuple[str, str]) -> str:
    resource_class, dev_type = alias
    return (
        f"{resource_class.removeprefix('CUSTOM_')}"
        f"_{dev_type.removeprefix('type-')}"
    )


def wanted(
    host: random_hosts.Host, said: agreement.Answers
) -> ty.Iterator[tuple[tuple[str, str], int]]:
    """What to claim: one, all that are assignable, and one more."""
    aliases = sorted(
        {
            (one.resource_class, one.dev_type)
            for one in said.tracked.values()
            if one.dev_type != "vdpa" and not one.is_port
        }
    )
    turn = host.seed % max(len(aliases), 1)
    for alias in (aliases[turn:] + aliases[:turn])[:_CLAIMS]:
        fit = sum(
            (one.resource_class, one.dev_type) == alias
            and said.shown[at].state in agreement.ASSIGNABLE
            for at, one in said.tracked.items()
        )
        for count in sorted({1, fit, fit + 1} - {0}):
            yield alias, count
