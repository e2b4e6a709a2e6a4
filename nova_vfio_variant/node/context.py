# SPDX-License-Identifier: Apache-2.0
"""One compute node: its configuration, its host, its store, its Placement.

The rooms know nothing of each other's places on disk; here they are put
together, so that a command is gather, decide, show. What is here only reads:
``tracking`` gives devices to instances, ``preparation`` changes the host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant import finding
    from nova_vfio_variant.conf import located
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.host.decide import assignability
    from nova_vfio_variant.host.observe import host_scan, pciids
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.node import inventory as node_inventory
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function, matching, spec
    from nova_vfio_variant.placement import report
    from nova_vfio_variant.tracker import store as tracker_store
    from nova_vfio_variant.tracker import sync as tracker_sync

#: How long a writer waits for another one, in seconds.
LOCK_TIMEOUT = 120.0


def default_state_path() -> pathlib.Path:
    """Where state is kept when nobody says: it depends on who we are."""
    if os.geteuid() == 0:
        return pathlib.Path("/var/lib/nova-vfio")
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return pathlib.Path(home).expanduser() / "nova-vfio"


class Node:
    """A compute node, read and changed through its rooms.

    Nothing is opened before it is needed, and what only reads creates
    nothing.

    :param config_files: None for Nova's default files
    :param config_dirs: None for Nova's default drop-ins
    :param host_root: ``/``, another folder, or a recorded host
    :param state_path: None for the default
    """

    def __init__(
        self,
        config_files: ty.Sequence[str] | None = None,
        config_dirs: ty.Sequence[str] | None = None,
        host_root: str = "/",
        state_path: str | None = None,
    ) -> None:
        #: Why the configuration could not be used for a verdict.
        self.undeclared: str | None = None
        self._config_files = config_files
        self._config_dirs = config_dirs
        self._host_root = host_root
        self.state_path = (
            pathlib.Path(state_path) if state_path else default_state_path()
        )

    # What the operator declares and the host shows.

    @property
    def is_configured(self) -> bool:
        """Whether any file, or the environment, may say anything."""
        from nova_vfio_variant.conf import files

        return (
            self._config_files is not None
            or self._config_dirs is not None
            or files.is_any_option_set()
        )

    @functools.cached_property
    def conf(self) -> located.Config:
        """The configuration, as oslo.config reads it.

        :raises ConfigError: a file is missing or can't be read, or a value
            can't be used
        """
        from nova_vfio_variant.conf import loader

        loader.expect_usable(self._survey)
        return self._survey

    @functools.cached_property
    def _survey(self) -> located.Config:
        """The configuration without what can't be used of it.

        :raises ConfigError: a file is missing or can't be read
        """
        from nova_vfio_variant.conf import loader

        return loader.survey(self._config_files, self._config_dirs)

    @functools.cached_property
    def tree(self) -> host_tree.HostTree:
        """The host's files.

        :raises HostError: there is no such folder, or no such recording
        """
        from nova_vfio_variant.host.tree import opening

        return opening.open_tree(self._host_root)

    @functools.cached_property
    def scan(self) -> host_scan.HostScan:
        """What the host has, seen once.

        :raises HostError: see :attr:`tree`
        """
        from nova_vfio_variant.host.observe import scanner

        return scanner.scan(self.tree)

    @functools.cached_property
    def pci_names(self) -> pciids.Names:
        """Names of vendors and products, as far as the host knows them."""
        from nova_vfio_variant.host.observe import pciids

        return pciids.Names.load(self.tree)

    def given(
        self, *, offline: bool = False, published: bool = False
    ) -> facts.CheckInput:
        """All that the rules of ``config check`` look at.

        :param offline: leave out what needs the host or Placement
        :param published: read what Placement holds as well
        :raises ConfigError: a file can't be read, or a value can't be used
        """
        if offline:
            return self._gather(self.conf, offline=True)
        given = self._at_once
        return self._with_published(given) if published else given

    @functools.cached_property
    def _at_once(self) -> facts.CheckInput:
        """What is declared, observed and recorded, each looked at once."""
        return self._with_records(self._gather(self.conf, offline=False))

    def _with_records(self, given: facts.CheckInput) -> facts.CheckInput:
        """The same, with what the store and the journal know."""
        if not self.has_state:
            return given
        from nova_vfio_variant.node import records

        assert given.scan is not None
        with self.open_store(read_only=True) as store:
            devices = tuple(store.devices())
            return dataclasses.replace(
                given,
                recorded=devices,
                records=records.survey(
                    store, devices, given.scan, self.state_path
                ),
            )

    def _gather(
        self, conf: located.Config, *, offline: bool
    ) -> facts.CheckInput:
        """What a configuration says, and the host."""
        from nova_vfio_variant.conf import located
        from nova_vfio_variant.declaration import facts
        from nova_vfio_variant.pci import alias_parse, parse

        specs, spec_findings = parse.parse_device_specs(
            located.values(conf, "pci", "device_spec")
        )
        in_placement = ("filter_scheduler", "pci_in_placement")
        aliases, alias_findings = alias_parse.parse_aliases(
            # What is right in an alias hangs on that option.
            ()
            if in_placement in conf.at_fault
            else located.values(conf, "pci", "alias"),
            in_placement=conf.lookup(*in_placement),
        )
        return facts.CheckInput.of(
            conf,
            specs,
            aliases,
            (*conf.faults, *spec_findings, *alias_findings),
            None if offline else self._scan_for(specs),
        )

    @functools.cached_property
    def declared(self) -> facts.CheckInput:
        """What is declared and observed, without errors.

        :raises ConfigError: there are errors, all of them in its findings
        """
        from nova_vfio_variant.check import engine

        given = self.given()
        errors = engine.blocking(given)
        if errors:
            number = (
                "an error" if len(errors) == 1 else f"{len(errors)} errors"
            )
            raise exception.ConfigError(
                f"the configuration has {number}; nothing was changed",
                "'nova-vfio config check' shows warnings as well",
                errors,
            )
        return given

    def check(self, *, offline: bool = False) -> tuple[finding.Finding, ...]:
        """All findings, in order of their places.

        Where a value can't be used neither the store nor Placement is asked:
        which they are may hang on it.

        :raises ConfigError: a file can't be read
        """
        from nova_vfio_variant.check import engine

        try:
            try:
                given = self._for_check(offline=offline)
            except exception.HostError as error:
                given = dataclasses.replace(
                    self._gather(self._survey, offline=True),
                    unseen=error.message,
                )
        except exception.ConfigError as error:
            if not error.findings:
                raise
            return error.findings
        conf = self._survey
        # What an option says that can't be read, other rules may hang on.
        return engine.check(
            given,
            text_only=not all(
                conf.registered[option].multi for option in conf.at_fault
            ),
        )

    def _for_check(self, *, offline: bool) -> facts.CheckInput:
        """What can be had of all that the rules look at."""
        try:
            return self.given(offline=offline, published=not offline)
        except exception.ConfigError:
            if not self._survey.faults:
                raise
            return self._gather(self._survey, offline=offline)

    def explain(
        self, address: pci_address.PciAddress
    ) -> tuple[matching.SpecMatch | tuple[finding.Finding, ...], ...]:
        """What each device_spec entry makes of a function.

        :returns: in the order of the entries; for one that can't be used
            its errors
        :raises HostError: the host has no such function
        """
        from nova_vfio_variant import finding
        from nova_vfio_variant.conf import located
        from nova_vfio_variant.pci import matching, parse

        entries = tuple(
            parse.entries(located.values(self.conf, "pci", "device_spec"))
        )
        specs = tuple(made for made, _ in entries if made is not None)
        scan = self._scan_for(specs)
        matches = iter(
            matching.Matcher(specs, scan.functions).explain(
                scan.get(address) or self.function(address)
            )
        )
        return tuple(
            tuple(
                one for one in found if one.severity is finding.Severity.ERROR
            )
            if made is None
            else next(matches)
            for made, found in entries
        )

    def suggest(self) -> str:
        """Configuration for the VFs of this host, as text."""
        from nova_vfio_variant.check import suggest
        from nova_vfio_variant.declaration import verdicts

        # What is declared today is no reason for what is to be declared.
        return suggest.text(
            verdicts.Verdicts(self.verdicts.facts, self.verdicts.records)
        )

    @functools.cached_property
    def verdicts(self) -> host_verdicts.Verdicts:
        """The verdict on each function, with all that is known of it.

        A configuration, or a store, that can't be used costs its part alone.

        :raises HostError: the host can't be seen at all
        """
        from nova_vfio_variant.declaration import verdicts as host_verdicts
        from nova_vfio_variant.host.decide import assignability
        from nova_vfio_variant.host.observe import facts as host_facts

        records = assignability.NOTHING_RECORDED
        try:
            if self.is_configured or self.has_state:
                given = self.given()
                return given.judging(given.records)
        except exception.StoreError as error:
            records = assignability.Records(unreadable=error.message)
        except exception.ConfigError as error:
            self.undeclared = error.message
        return host_verdicts.Verdicts(host_facts.gather(self.scan), records)

    def function(
        self, address: pci_address.PciAddress
    ) -> function.PciFunction:
        """One function of the host.

        :raises HostError: there is none at this address
        """
        found = self.scan.get(address)
        if found is None and address in self.scan.unread:
            raise exception.HostError(
                f"PCI function {address} is there, and can't be read",
                "'nova-vfio host list' says why",
            )
        if found is None:
            raise exception.HostError(
                f"this host has no PCI function {address}",
                "'nova-vfio host list' shows all",
            )
        return found

    def lost(self) -> tuple[host_scan.Lost, ...]:
        """What could not be read of the host, as far as specs need it.

        :raises ConfigError: the configuration has errors
        :raises HostError: the host can't be seen at all
        """
        scan = self.declared.scan
        assert scan is not None
        return scan.problems

    @property
    def unread(self) -> frozenset[pci_address.PciAddress]:
        """The functions of which nobody can say which spec takes them.

        :raises VfioVariantError: as :meth:`lost`
        """
        return self.declared.unread

    # What is tracked.

    @property
    def has_state(self) -> bool:
        """Whether anything was ever tracked here."""
        from nova_vfio_variant.tracker import sqlite

        if sqlite.exists(self.state_path / sqlite.NAME):
            return True
        if not self.is_configured:
            return False
        from nova_vfio_variant.conf import database

        return database.connection(self.conf) is not None

    def devices(self) -> tuple[tracked.Device, ...]:
        """The tracked devices, or those that a first sync would track."""
        if not self.has_state:
            return tuple(self.declared.desired)
        try:
            return tuple(self._at_once.recorded)
        except exception.HostError:
            # What is recorded can be told without the host.
            return self._recorded()

    def device(self, address: pci_address.PciAddress) -> tracked.Device:
        """One of :meth:`devices`.

        :raises DeviceNotFound: it is not among them
        """
        for device in self.devices():
            if device.address == address:
                return device
        raise exception.DeviceNotFound(
            f"device {address} is not tracked",
            f"'nova-vfio config explain {address}' says why",
        )

    def devices_of(self, instance_uuid: str) -> tuple[tracked.Device, ...]:
        """The devices that an instance has.

        :raises ClaimError: it has none
        """
        found = tuple(
            device
            for device in (self.devices() if self.has_state else ())
            if device.instance_uuid == instance_uuid
        )
        if not found:
            raise nothing_claimed(instance_uuid)
        return found

    def claims(self) -> tuple[tracked.Claim, ...]:
        """All claims."""
        with self.open_store(read_only=True) as store:
            return store.claims()

    def verdict(
        self,
        address: pci_address.PciAddress,
        instance_uuid: str | None = None,
        together: ty.Collection[pci_address.PciAddress] | None = None,
    ) -> assignability.Verdict:
        """The verdict on a device; unknown where no host can be seen.

        :param instance_uuid: who is to have it; None for any
        :param together: all devices that its guest gets; None where that
            isn't known yet
        """
        from nova_vfio_variant.host.decide import assignability, obstacles

        try:
            return self.verdicts.at(address, instance_uuid, together)
        except exception.HostError as error:
            return assignability.Verdict(
                unknown=(
                    obstacles.not_known(
                        address, error.message, error.hint or ""
                    ),
                )
            )

    # What is published.

    def inventory(self) -> node_inventory.View:
        """The desired providers with their usage."""
        with self.observed() as (published, _):
            return published.view()

    def inventory_diff(self) -> report.Result:
        """Where Placement differs, and what would stay when it is reported.

        :raises PlacementError: Placement can't be asked
        """
        with self.observed() as (published, plan):
            return dataclasses.replace(
                published.compare(),
                findings=self.exchanged(plan),
                withheld=published.withheld,
            )

    def placement_microversion(self) -> str | None:
        """The newest microversion that Placement speaks.

        :returns: None for an embedded one that isn't there yet
        :raises PlacementError: it can't be asked
        """
        with self._beside_writers() as store:
            published = self.placement(store, (), self.given(offline=True))
            return published.microversion()

    # For the halves that write.

    def open_store(self, *, read_only: bool) -> tracker_store.Store:
        """The store, to be closed by whoever asks for it.

        :param read_only: make and change nothing
        :raises StoreError: it can't be used
        """
        from nova_vfio_variant.conf import database
        from nova_vfio_variant.tracker import store

        return store.Store.open(
            self.state_path,
            database.connection(self.conf),
            read_only=read_only,
        )

    def decide(
        self,
        store: tracker_store.Store,
        accepted: ty.Collection[pci_address.PciAddress] = (),
    ) -> tracker_sync.SyncPlan:
        """What a sync has to do to a store.

        :param accepted: addresses of exchanged devices to be tracked anew
        :raises ConfigError: the configuration has errors
        :raises InvalidDeviceStatus: one of them can't be
        """
        from nova_vfio_variant.tracker import sync

        scan = self.declared.scan
        assert scan is not None
        return sync.decide(
            store.recorded(),
            self.declared.desired,
            self.declared.unread,
            scan.get,
            accepted,
        )

    def exchanged(
        self, plan: tracker_sync.SyncPlan
    ) -> tuple[finding.Finding, ...]:
        """What is to be said of devices that are others now."""
        from nova_vfio_variant.check import exchanged

        known = (
            {
                one.address
                for some in (
                    plan.unchanged,
                    plan.updated,
                    plan.unread,
                    plan.kept,
                )
                for one in some
            }
            if plan.exchanged
            else set()
        )
        return exchanged.findings(
            plan.exchanged, self.declared.functions, known
        )

    def allowances(
        self,
    ) -> dict[pci_address.PciAddress, dict[str, str]]:
        """The obstacles that somebody overruled: address, code, reason.

        Those that were said of another function than the one that is there
        now are left out.

        :raises HostError: see :attr:`tree`
        """
        from nova_vfio_variant.tracker import allowance

        if not self.has_state:
            return {}
        with self.open_store(read_only=True) as store:
            found = store.allowances.all()
        return allowance.standing(found, self.scan.get) if found else {}

    def placement(
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device] | None = None,
        given: facts.CheckInput | None = None,
    ) -> node_inventory.Publication:
        """The side of Placement that is this node's.

        What the verdict blocks for good is reserved there.

        :param store: remembers what is published
        :param devices: those to publish; all in the store if None
        :param given: what is declared; without errors if None
        :raises ConfigError: ``given`` is None, and there are errors
        """
        from nova_vfio_variant.node import inventory as node_inventory

        given = given or self.declared
        if devices is None:
            devices = tuple(store.devices())
        return node_inventory.Publication(
            self.conf,
            self.state_path,
            devices,
            given,
            store.provider_memory,
            *self._unassignable(store, devices, given),
        )

    def _unassignable(
        self,
        store: tracker_store.Store,
        devices: ty.Sequence[tracked.Device],
        given: facts.CheckInput,
    ) -> tuple[
        set[pci_address.PciAddress] | None, set[pci_address.PciAddress]
    ]:
        """The devices that can't be given to anybody, and the unknown ones.

        :returns: None for the first where the host isn't looked at
        """
        from nova_vfio_variant.host.decide import assignability
        from nova_vfio_variant.node import records

        blocked: set[pci_address.PciAddress] = set()
        unknown: set[pci_address.PciAddress] = set()
        if given.scan is None:
            return None, unknown
        if not devices:
            return blocked, unknown
        judge = given.judging(
            records.survey(store, devices, given.scan, self.state_path)
        )
        for device in devices:
            answer = judge.at(device.address)
            if answer.lasting:
                blocked.add(device.address)
            elif answer.state is assignability.State.UNKNOWN:
                unknown.add(device.address)
        return blocked, unknown

    @contextlib.contextmanager
    def observed(
        self,
    ) -> ty.Iterator[tuple[node_inventory.Publication, tracker_sync.SyncPlan]]:
        """What a sync and a report would publish; nothing is written."""
        with self._beside_writers() as store:
            plan = self.decide(store)
            devices = sorted(
                (
                    *plan.unchanged,
                    *plan.updated,
                    *plan.added,
                    *plan.kept,
                    *plan.unread,
                    *(one.device for one in plan.exchanged),
                ),
                key=lambda device: device.address,
            )
            yield self.placement(store, devices), plan

    # How the above is put together.

    def _scan_for(
        self, specs: ty.Sequence[spec.DeviceSpec]
    ) -> host_scan.HostScan:
        """The scan, with serial numbers where a spec asks for them."""
        from nova_vfio_variant.pci import matching

        remote = [one for one in specs if matching.remote_managed(one)]
        if not remote:
            return self.scan
        from nova_vfio_variant.host.observe import vpd

        return vpd.with_serial_numbers(
            self.scan,
            lambda function: any(
                one.vendor_id in {None, function.vendor_id}
                and one.product_id in {None, function.product_id}
                for one in remote
            ),
        )

    def _with_published(self, given: facts.CheckInput) -> facts.CheckInput:
        """The same, with what Placement holds; or with why it doesn't say."""
        try:
            with self._beside_writers() as store:
                return dataclasses.replace(
                    given, published=self.placement(store, (), given).held()
                )
        except exception.PlacementError as error:
            return dataclasses.replace(given, unreachable=error)

    @contextlib.contextmanager
    def _beside_writers(self) -> ty.Iterator[tracker_store.Store]:
        """The store, to be read, and no trouble with the embedded Placement.

        Its application in process is another writer, too, while it starts:
        so the lock is held if there is one. Who may not write here reads
        the store alone, and is told so by whoever asks Placement.
        """
        from nova_vfio_variant.placement import embedded
        from nova_vfio_variant.tracker import lock

        with contextlib.ExitStack() as stack:
            if (
                embedded.database(self.state_path).exists()
                and embedded.unusable(self.state_path) is None
            ):
                stack.enter_context(
                    lock.state_lock(self.state_path, LOCK_TIMEOUT)
                )
            yield stack.enter_context(self.open_store(read_only=True))

    def _recorded(self) -> tuple[tracked.Device, ...]:
        with self.open_store(read_only=True) as store:
            return tuple(store.devices())


def nothing_claimed(instance_uuid: str) -> exception.ClaimError:
    """The error that an instance has no device."""
    return exception.ClaimError(
        f"instance {instance_uuid} has claimed nothing",
        "'nova-vfio claim list' shows all claims",
    )
