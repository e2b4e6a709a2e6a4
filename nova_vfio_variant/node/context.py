# SPDX-License-Identifier: Apache-2.0
"""One compute node: its configuration, its host, its store.

The rooms know nothing of each other's places on disk; here they are put
together, once for a command, for the use cases that stand beside this. What
is here only reads.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import os
import pathlib
import typing as ty

from nova_vfio_variant import exception, own_files

if ty.TYPE_CHECKING:
    from nova_vfio_variant.conf import located
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.host.observe import host_scan, pciids
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function
    from nova_vfio_variant.tracker import store as tracker_store

#: How long a writer waits for another one, in seconds.
LOCK_TIMEOUT = 120.0

#: What a context remembers of what it saw of the host.
_OF_THE_HOST: ty.Final = (
    "scan",
    "observed",
    "_at_once",
    "declared",
    "sound",
    "verdicts",
)


def default_state_path() -> pathlib.Path:
    """Where state is kept when nobody says: it depends on who we are."""
    if os.geteuid() == 0:
        return pathlib.Path("/var/lib/nova-vfio")
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return pathlib.Path(home).expanduser() / "nova-vfio"


class Context:
    """What one call sees of a compute node: each thing is looked at once.

    Nothing is opened before it is needed, and what only reads creates
    nothing. Whoever lives longer than a call makes one for each, as
    :class:`nova_vfio_variant.node.node.Node` does.

    :param config_files: None for Nova's default files
    :param config_dirs: None for Nova's default drop-ins
    :param host_root: ``/``, another folder, or a recorded host
    :param state_path: None for the default
    """

    # Longer than 250 lines: each is one thing that a call sees of the node.

    def __init__(
        self,
        config_files: ty.Sequence[str] | None = None,
        config_dirs: ty.Sequence[str] | None = None,
        host_root: str = "/",
        state_path: str | None = None,
        placement: str | None = None,
    ) -> None:
        #: Why the configuration could not be used for a verdict.
        self.undeclared: str | None = None
        #: The functions that are looked at, by name; None for all.
        self.only: frozenset[pci_address.PciAddress] | None = None
        self._store_of_caller: tracker_store.Store | None = None
        self._config_files = config_files
        self._config_dirs = config_dirs
        self._host_root = host_root
        self._placement = placement
        self.state_path = (
            pathlib.Path(state_path) if state_path else default_state_path()
        )

    def looking_at(
        self,
        only: ty.Iterable[pci_address.PciAddress] | None,
        store: tracker_store.Store,
    ) -> Context:
        """The same node, whose host is seen anew, or of it some functions.

        :param only: their addresses, those of all that a verdict on one of
            them looks at among them; None for all functions
        :param store: what is recorded is read from it
        """
        narrow = copy.copy(self)
        narrow.only = None if only is None else frozenset(only)
        narrow._store_of_caller = store  # noqa: SLF001 - of this class
        for name in _OF_THE_HOST:
            narrow.__dict__.pop(name, None)
        return narrow

    def elsewhere(
        self, host_root: str, config_files: ty.Sequence[str] | None = None
    ) -> Context:
        """Another host, of which nothing is recorded here.

        :param host_root: as for the class
        :param config_files: its own; None where they are the same as here
        """
        there = copy.copy(self)
        if config_files is not None:
            there._config_files = config_files  # noqa: SLF001 - of this class
            there._config_dirs = None  # noqa: SLF001 - likewise
            for name in ("conf", "survey", "state", "_configured"):
                there.__dict__.pop(name, None)
        there._host_root = host_root  # noqa: SLF001 - likewise
        for name in ("tree", "pci_names", *_OF_THE_HOST):
            there.__dict__.pop(name, None)
        return there

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

        loader.expect_usable(self.survey)
        return self.survey

    @functools.cached_property
    def survey(self) -> located.Config:
        """The configuration without what can't be used of it.

        :raises ConfigError: a file is missing or can't be read
        """
        from nova_vfio_variant.conf import loader

        return loader.survey(
            self._config_files, self._config_dirs, self._placement
        )

    @functools.cached_property
    def state(self) -> own_files.Place:
        """The state path, and with whom it is shared.

        :raises ConfigError: a file is missing or can't be read, or there is
            no such group
        """
        from nova_vfio_variant.conf import state

        return own_files.Place(self.state_path, state.group_id(self.survey))

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

        return scanner.scan(
            self.tree, None if self.only is None else {*map(str, self.only)}
        )

    @functools.cached_property
    def pci_names(self) -> pciids.Names:
        """Names of vendors and products, as far as the host knows them."""
        from nova_vfio_variant.host.observe import pciids

        return pciids.Names.load(self.tree)

    def given(self, *, offline: bool = False) -> facts.CheckInput:
        """What is declared, observed and recorded, as it is.

        :param offline: leave out what needs the host
        :raises ConfigError: a file can't be read, or a value can't be used
        """
        return self._configured if offline else self._at_once

    @functools.cached_property
    def _configured(self) -> facts.CheckInput:
        """What is declared, as it is, without the host."""
        from nova_vfio_variant.declaration import gathering

        return gathering.gather(self.conf)

    @functools.cached_property
    def observed(self) -> facts.CheckInput:
        """What is declared and observed, as it is, without what is recorded.

        :raises ConfigError: a file can't be read, or a value can't be used
        """
        from nova_vfio_variant.declaration import gathering

        return gathering.on_host(self._configured, self.scan)

    @functools.cached_property
    def _at_once(self) -> facts.CheckInput:
        """What is declared, observed and recorded, each looked at once."""
        return self.with_records(self.observed)

    def with_records(self, given: facts.CheckInput) -> facts.CheckInput:
        """The same, with what the store and the journal know.

        :raises StoreError: the store can't be read
        """
        if not self.has_state:
            return dataclasses.replace(given, vgpus=())
        from nova_vfio_variant.node import records, vgpu_catalogue

        assert given.scan is not None
        with (
            self.open_store(read_only=True)
            if self._store_of_caller is None
            else contextlib.nullcontext(self._store_of_caller)
        ) as store:
            devices = tuple(
                store.devices() if self.only is None else store.at(self.only)
            )
            return dataclasses.replace(
                given,
                recorded=devices,
                was_synced=records.was_synced(store, devices),
                records=records.survey(store, devices, given.scan, self.state),
                vgpu_types={
                    card: known.types
                    for card, known in vgpu_catalogue.remembered(
                        store, given.scan
                    ).items()
                },
                vgpus=store.vgpus.all(),
                mdevs=tuple(store.mdevs.all().values()),
            )

    @functools.cached_property
    def declared(self) -> facts.CheckInput:
        """What is declared, observed and recorded, without errors.

        :raises ConfigError: there are errors, all of them in its findings
        :raises StoreError: there are none, and the store can't be read
        """
        _ = self.sound
        given = self._at_once
        if self.conf.vfio.resource_class_from_type:
            # What VFs are called hangs on what is recorded.
            _expect_no_errors(given)
        return given

    @functools.cached_property
    def sound(self) -> facts.CheckInput:
        """What is declared and observed, without errors.

        :raises ConfigError: there are errors, all of them in its findings
        """
        _expect_no_errors(self.observed)
        return self.observed

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
            records = assignability.Records(unreadable=str(error))
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

    @property
    def has_state(self) -> bool:
        """Whether anything was ever tracked here."""
        from nova_vfio_variant.tracker import sqlite

        if sqlite.exists(self.state.path / sqlite.NAME, self.state.group):
            return True
        if not self.is_configured:
            return False
        from nova_vfio_variant.conf import database

        return database.connection(self.conf) is not None

    def open_store(self, *, read_only: bool) -> tracker_store.Store:
        """The store, to be closed by whoever asks for it.

        :param read_only: make and change nothing
        :raises StoreError: it can't be used
        """
        from nova_vfio_variant.conf import database
        from nova_vfio_variant.tracker import store

        return store.Store.open(
            self.state,
            database.connection(self.conf),
            read_only=read_only,
        )


def _expect_no_errors(given: facts.CheckInput) -> None:
    """Stop what would write.

    :raises ConfigError: there are errors, all of them in its findings
    """
    from nova_vfio_variant.check import engine

    errors = engine.blocking(given)
    if errors:
        number = "an error" if len(errors) == 1 else f"{len(errors)} errors"
        raise exception.ConfigError(
            f"the configuration has {number}; nothing was changed",
            "'nova-vfio config check' shows warnings as well",
            errors,
        )
