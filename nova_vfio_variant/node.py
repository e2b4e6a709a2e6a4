# SPDX-License-Identifier: Apache-2.0
"""One compute node: its configuration, its host, its store, its Placement.

The rooms know nothing of each other's places on disk; here they are put
together, so that a command is gather, decide, show. Every writer holds one
lock in the state path, over store and Placement alike, and begins with a
sync, so that nothing is decided on what was true yesterday.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant import finding, publication
    from nova_vfio_variant.check import facts
    from nova_vfio_variant.conf import located
    from nova_vfio_variant.host import function, pciids
    from nova_vfio_variant.host import scan as host_scan
    from nova_vfio_variant.host import tree as host_tree
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias, matching, spec
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
        self._config_files = config_files
        self._config_dirs = config_dirs
        self._host_root = host_root
        self.state_path = (
            pathlib.Path(state_path) if state_path else default_state_path()
        )

    # What the operator declares and the host shows.

    @functools.cached_property
    def conf(self) -> "located.Config":
        """The configuration, as oslo.config reads it.

        :raises ConfigError: a file is missing or can't be read, or a value
            can't be used
        """
        from nova_vfio_variant.conf import loader

        loader.expect_usable(self._survey)
        return self._survey

    @functools.cached_property
    def _survey(self) -> "located.Config":
        """The configuration without what can't be used of it.

        :raises ConfigError: a file is missing or can't be read
        """
        from nova_vfio_variant.conf import loader

        return loader.survey(self._config_files, self._config_dirs)

    @functools.cached_property
    def tree(self) -> "host_tree.HostTree":
        """The host's files.

        :raises HostError: there is no such folder, or no such recording
        """
        from nova_vfio_variant.host import tree

        return tree.HostTree.open(self._host_root)

    @functools.cached_property
    def scan(self) -> "host_scan.HostScan":
        """What the host has, seen once.

        :raises HostError: see :attr:`tree`
        """
        from nova_vfio_variant.host import scan

        return scan.scan(self.tree)

    @functools.cached_property
    def pci_names(self) -> "pciids.Names":
        """Names of vendors and products, as far as the host knows them."""
        from nova_vfio_variant.host import pciids

        return pciids.Names.load(self.tree)

    def given(
        self, *, offline: bool = False, published: bool = False
    ) -> "facts.CheckInput":
        """All that the rules of ``config check`` look at.

        :param offline: leave out what needs the host or Placement
        :param published: read what Placement holds as well
        :raises ConfigError: a file can't be read, or a value can't be used
        """
        given = self._gather(
            self.conf,
            offline=offline,
            recorded=() if offline else self._recorded(),
        )
        return self._with_published(given) if published else given

    def _gather(
        self,
        conf: "located.Config",
        *,
        offline: bool,
        recorded: "ty.Sequence[tracked.Device]" = (),
    ) -> "facts.CheckInput":
        """What a configuration says, and the host."""
        from nova_vfio_variant.check import facts
        from nova_vfio_variant.conf import located
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
            recorded,
        )

    @functools.cached_property
    def declared(self) -> "facts.CheckInput":
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

    def check(self, *, offline: bool = False) -> "tuple[finding.Finding, ...]":
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

    def _for_check(self, *, offline: bool) -> "facts.CheckInput":
        """What can be had of all that the rules look at."""
        try:
            return self.given(offline=offline, published=not offline)
        except exception.ConfigError:
            if not self._survey.faults:
                raise
            return self._gather(self._survey, offline=offline)

    def explain(
        self, address: "pci_address.PciAddress"
    ) -> "tuple[matching.SpecMatch | tuple[finding.Finding, ...], ...]":
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

        return suggest.text(self.scan)

    def function(
        self, address: "pci_address.PciAddress"
    ) -> "function.PciFunction":
        """One function of the host.

        :raises HostError: there is none at this address
        """
        found = self.scan.get(address)
        if found is None:
            raise exception.HostError(
                f"this host has no PCI function {address}",
                "'nova-vfio host list' shows all",
            )
        return found

    def lost(self) -> "tuple[host_scan.Lost, ...]":
        """What could not be read of the host, as far as specs need it.

        :raises ConfigError: the configuration has errors
        :raises HostError: the host can't be seen at all
        """
        scan = self.declared.scan
        assert scan is not None
        return scan.problems

    @property
    def unread(self) -> "frozenset[pci_address.PciAddress]":
        """The functions of which nobody can say which spec takes them.

        :raises VfioVariantError: as :meth:`lost`
        """
        return self.declared.unread

    # What is tracked.

    @property
    def has_state(self) -> bool:
        """Whether anything was ever tracked here."""
        from nova_vfio_variant.conf import database
        from nova_vfio_variant.tracker import sqlite

        return database.connection(self.conf) is not None or sqlite.exists(
            self.state_path / sqlite.NAME
        )

    def devices(self) -> "tuple[tracked.Device, ...]":
        """The tracked devices, or those that a first sync would track."""
        if not self.has_state:
            return tuple(self.declared.desired)
        return tuple(self._recorded())

    def device(self, address: "pci_address.PciAddress") -> "tracked.Device":
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

    def devices_of(self, instance_uuid: str) -> "tuple[tracked.Device, ...]":
        """The devices that an instance has.

        :raises ClaimError: it has none
        """
        found = tuple(
            device
            for device in self._recorded()
            if device.instance_uuid == instance_uuid
        )
        if not found:
            raise _nothing_claimed(instance_uuid)
        return found

    def sync(self, *, dry_run: bool = False) -> "tracker_sync.SyncPlan":
        """Make the tracker equal to configuration and host.

        :raises ConfigError: the configuration has errors
        """
        if dry_run:
            with self._open(read_only=True) as store:
                return self._decide(store)
        self._stop_on_errors()
        with self._locked() as store:
            return self._sync(store)

    def claims(self) -> "tuple[tracked.Claim, ...]":
        """All claims."""
        with self._open(read_only=True) as store:
            return store.claims()

    def claim(
        self,
        instance_uuid: str,
        wanted: str,
        numa_cells: ty.Sequence[int] | None = None,
        numa_policy: str | None = None,
    ) -> "tuple[tracked.Claim, ...]":
        """Give devices to an instance, in the store and in Placement.

        The claim is on disk before Placement is asked. A crash in between
        leaves it in status claimed: the same call again, or a report,
        finishes it, and :meth:`release` takes it back.

        :param wanted: aliases and counts, ``A:2,B:1``
        :param numa_cells: host NUMA nodes of the guest, None if it has no
            NUMA topology
        :param numa_policy: goes before the aliases' own
        :raises ConfigError: the configuration has errors, or ``wanted``
            names no alias
        :raises NotEnoughDevices: nothing was claimed
        :raises ClaimError: the instance has other claims already
        :raises PlacementError: nothing was claimed, unless it says so
        """
        from nova_vfio_variant.host import numa
        from nova_vfio_variant.pci import flavor, pools

        requests = flavor.parse_request(
            wanted, self.declared.aliases, numa_policy
        )
        with self._locked() as store:
            self._sync(store)
            claims = store.claims(instance_uuid)
            if claims:
                _expect_unfinished(claims, requests)
            else:
                gone = self._publication(store).spent()
                free = pools.Pools.of(
                    [
                        device
                        for device in self._available(store)
                        if device.address not in gone
                    ],
                    by_class=True,
                )
                try:
                    taken = free.consume(
                        requests, numa_cells, numa.sockets(self.tree)
                    )
                except exception.NotEnoughDevices as error:
                    if gone:
                        error.hint = spent(gone)
                    raise
                store.claim(instance_uuid, taken)
            return self._allocate(
                store, self._publication(store), instance_uuid
            )

    def release(self, instance_uuid: str) -> "tuple[tracked.Claim, ...]":
        """Give an instance's devices back, in Placement and in the store.

        What waited for the devices to be freed takes effect.

        :raises ClaimError: it has none
        :raises PlacementError: nothing was given back
        """
        with self._locked() as store:
            claims = store.claims(instance_uuid)
            if not claims:
                raise _nothing_claimed(instance_uuid)
            # Errors in the configuration don't keep anything from being
            # given back: nothing of it is needed but which Placement.
            published = self._publication(store, (), self.given(offline=True))
            published.release(instance_uuid)
            store.free(instance_uuid)
            return claims

    # What is published.

    def inventory(self) -> "publication.View":
        """The desired providers with their usage."""
        with self._observed() as published:
            return published.view()

    def inventory_diff(self) -> "report.Result":
        """Where Placement differs, and what would stay when it is reported.

        :raises PlacementError: Placement can't be asked
        """
        with self._observed() as published:
            return published.compare()

    def report(self, *, dry_run: bool = False) -> "report.Result":
        """Make Placement equal to :meth:`inventory`.

        Claims that a crash left half way are finished, and claims on
        providers that were not there get their allocations again.

        :raises ConfigError: the configuration has errors
        :raises PlacementError: see :meth:`Publication.report`
        """
        if dry_run:
            with self._observed() as published:
                return published.report(dry_run=True)
        self._stop_on_errors()
        with self._locked() as store:
            self._sync(store)
            published = self._publication(store)
            result = published.report()
            made = {
                one.provider for one in result.changes if one.change == "add"
            }
            finished = []
            for instance_uuid, devices in _by_owner(store.devices()).items():
                if devices[0].status == "claimed":
                    self._allocate(store, published, instance_uuid)
                    finished.append(instance_uuid)
                elif made & published.providers_of(devices):
                    # Placement was lost, or somebody removed a provider.
                    published.allocate(instance_uuid, devices)
            return dataclasses.replace(result, finished=tuple(finished))

    def placement_microversion(self) -> str | None:
        """The newest microversion that Placement speaks.

        :returns: None for an embedded one that isn't there yet
        :raises PlacementError: it can't be asked
        """
        with self._beside_writers() as store:
            published = self._publication(store, (), self.given(offline=True))
            return published.microversion()

    # How the above is put together.

    def _scan_for(
        self, specs: "ty.Sequence[spec.DeviceSpec]"
    ) -> "host_scan.HostScan":
        """The scan, with serial numbers where a spec asks for them."""
        from nova_vfio_variant.pci import matching

        remote = [one for one in specs if matching.remote_managed(one)]
        if not remote:
            return self.scan
        from nova_vfio_variant.host import vpd

        return vpd.with_serial_numbers(
            self.scan,
            lambda function: any(
                one.vendor_id in {None, function.vendor_id}
                and one.product_id in {None, function.product_id}
                for one in remote
            ),
        )

    def _open(self, *, read_only: bool) -> "tracker_store.Store":
        from nova_vfio_variant.conf import database
        from nova_vfio_variant.tracker import store

        return store.Store.open(
            self.state_path,
            database.connection(self.conf),
            read_only=read_only,
        )

    def _stop_on_errors(self) -> None:
        """Look for errors before anything is made.

        :raises ConfigError: the configuration has errors
        """
        assert self.declared

    @contextlib.contextmanager
    def _locked(self) -> "ty.Iterator[tracker_store.Store]":
        """The store, to be written. It is made if there is none."""
        from nova_vfio_variant.tracker import lock

        with (
            lock.state_lock(self.state_path, LOCK_TIMEOUT),
            self._open(read_only=False) as store,
        ):
            yield store

    def _with_published(self, given: "facts.CheckInput") -> "facts.CheckInput":
        """The same, with what Placement holds; or with why it doesn't say."""
        try:
            with self._beside_writers() as store:
                return dataclasses.replace(
                    given, published=self._publication(store, (), given).held()
                )
        except exception.PlacementError as error:
            return dataclasses.replace(given, unreachable=error)

    @contextlib.contextmanager
    def _beside_writers(self) -> "ty.Iterator[tracker_store.Store]":
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
            yield stack.enter_context(self._open(read_only=True))

    @contextlib.contextmanager
    def _observed(self) -> "ty.Iterator[publication.Publication]":
        """What a sync and a report would publish; nothing is written."""
        with self._beside_writers() as store:
            plan = self._decide(store)
            devices = sorted(
                (
                    *plan.unchanged,
                    *plan.updated,
                    *plan.added,
                    *plan.kept,
                    *plan.unread,
                ),
                key=lambda device: device.address,
            )
            yield self._publication(store, devices)

    def _recorded(self) -> "tuple[tracked.Device, ...]":
        with self._open(read_only=True) as store:
            return tuple(store.devices())

    def _decide(self, store: "tracker_store.Store") -> "tracker_sync.SyncPlan":
        from nova_vfio_variant.tracker import sync

        return sync.decide(
            store.recorded(), self.declared.desired, self.declared.unread
        )

    def _sync(self, store: "tracker_store.Store") -> "tracker_sync.SyncPlan":
        plan = self._decide(store)
        store.apply(plan)
        return plan

    def _available(
        self, store: "tracker_store.Store"
    ) -> "list[tracked.Device]":
        """All devices but those that nobody may have.

        What could not be read now counts as in use, and so does what the
        host's preparation was killed in the middle of.
        """
        unsettled = self._unsettled()
        kept = {*store.quarantined(), *self.declared.unread, *unsettled}
        return [
            device
            for device in store.devices()
            if device.address not in kept
            and device.parent_addr not in unsettled
        ]

    def _unsettled(self) -> "set[pci_address.PciAddress]":
        """Functions that a change of the host concerns that hasn't ended.

        :raises JournalError: the journal is damaged
        """
        from nova_vfio_variant.host import journal, observe
        from nova_vfio_variant.pci import address

        if not (self.state_path / journal.NAME).exists():
            return set()
        known = journal.Journal.open(
            self.state_path, observe.boot_id(self.tree)
        )
        return set(map(address.PciAddress.parse, known.unsettled))

    def _publication(
        self,
        store: "tracker_store.Store",
        devices: "ty.Sequence[tracked.Device] | None" = None,
        given: "facts.CheckInput | None" = None,
    ) -> "publication.Publication":
        from nova_vfio_variant import publication

        return publication.Publication(
            self.conf,
            self.state_path,
            tuple(store.devices()) if devices is None else devices,
            given or self.declared,
            store.provider_memory,
        )

    def _allocate(
        self,
        store: "tracker_store.Store",
        published: "publication.Publication",
        instance_uuid: str,
    ) -> "tuple[tracked.Claim, ...]":
        """Finish a claim in Placement, or take it back."""
        devices = [
            device
            for device in store.devices()
            if device.instance_uuid == instance_uuid
        ]
        try:
            published.publish(devices)
        except exception.VfioVariantError:
            store.free(instance_uuid)
            raise
        try:
            published.allocate(instance_uuid, devices)
            if any("one_time_use" in device.tags for device in devices):
                self._spend(store, devices)
        except exception.PlacementError as error:
            try:
                published.release(instance_uuid)
            except exception.PlacementError:
                raise type(error)(
                    f"{error.message}; whether instance {instance_uuid} has"
                    " its allocation is not known, so its claim is kept",
                    "the same claim again finishes it, 'claim delete' takes"
                    " it back",
                ) from error
            store.free(instance_uuid)
            raise
        return store.allocate(instance_uuid)

    def _spend(
        self,
        store: "tracker_store.Store",
        devices: "ty.Sequence[tracked.Device]",
    ) -> None:
        """Reserve devices for one time, now that they are allocated.

        Before the store calls them allocated: given back without that, they
        would be free for another instance.
        """
        spent = {device.address for device in devices}
        self._publication(
            store,
            [
                dataclasses.replace(device, status=tracked.Status.ALLOCATED)
                if device.address in spent
                else device
                for device in store.devices()
            ],
        ).publish(devices)


def spent(devices: "ty.Sequence[pci_address.PciAddress]") -> str:
    """What is to be said of devices for one time that had it."""
    return (
        f"used once and reserved since: {', '.join(map(str, devices))}; once"
        " clean, set reserved to 0 in Placement"
    )


def _by_owner(
    devices: "ty.Iterable[tracked.Device]",
) -> "dict[str, list[tracked.Device]]":
    """The devices of each instance that has any."""
    found: dict[str, list[tracked.Device]] = {}
    for device in devices:
        if device.instance_uuid is not None:
            found.setdefault(device.instance_uuid, []).append(device)
    return found


def _nothing_claimed(instance_uuid: str) -> exception.ClaimError:
    return exception.ClaimError(
        f"instance {instance_uuid} has claimed nothing",
        "'nova-vfio claim list' shows all claims",
    )


def _expect_unfinished(
    claims: "ty.Sequence[tracked.Claim]",
    requests: "ty.Sequence[alias.PciRequest]",
) -> None:
    """An instance claims once; only what a crash left may be finished."""
    has = sorted((claim.alias_name, len(claim.addresses)) for claim in claims)
    wants = sorted((request.alias_name, request.count) for request in requests)
    unfinished = all(claim.status == "claimed" for claim in claims)
    if not unfinished or has != wants:
        raise exception.ClaimError(
            f"instance {claims[0].instance_uuid} already has "
            + ", ".join(f"{name}:{count}" for name, count in has),
            "'nova-vfio claim delete' gives it back",
        )
