# SPDX-License-Identifier: Apache-2.0
"""Checking and explaining what is declared: what ``config`` commands call."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.declaration import gathering
from nova_vfio_variant.node import placement_side

if ty.TYPE_CHECKING:
    from nova_vfio_variant import finding
    from nova_vfio_variant.check import outcome
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.node import context
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import matching


class Checking:
    """What is to be said of a node's configuration.

    :param on: what one call sees of the node
    """

    def __init__(self, on: context.Context) -> None:
        self._context = on

    def check(
        self, *, offline: bool = False, kernel: str | None = None
    ) -> tuple[finding.Finding, ...]:
        """All findings, in order of their places.

        Where a value can't be used neither the store nor Placement is asked:
        which they are may hang on it.

        :param kernel: release of an installed kernel that may be booted next
        :raises ConfigError: a file can't be read
        :raises HostError: there is no such kernel
        """
        from nova_vfio_variant.check import engine
        from nova_vfio_variant.host.observe import kernels

        next_kernel = (
            None
            if kernel is None
            else kernels.read(self._context.tree, kernel)
        )

        try:
            try:
                given = self._for_check(offline=offline)
            except exception.HostError as error:
                given = dataclasses.replace(
                    gathering.gather(self._context.survey),
                    unseen=error.message,
                )
        except exception.ConfigError as error:
            if not error.findings:
                raise
            return error.findings
        given = dataclasses.replace(given, next_kernel=next_kernel)
        conf = self._context.survey
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
            return self._all(offline=offline)
        except exception.ConfigError:
            if not self._context.survey.faults:
                raise
            return gathering.gather(
                self._context.survey,
                None if offline else lambda: self._context.scan,
            )

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
            parse.entries(
                located.values(self._context.conf, "pci", "device_spec")
            )
        )
        specs = tuple(made for made, _ in entries if made is not None)
        scan = gathering.with_serial_numbers(self._context.scan, specs)
        matches = iter(
            matching.Matcher(specs, scan.functions).explain(
                scan.get(address) or self._context.function(address)
            )
        )
        return tuple(
            tuple(
                problem
                for problem in found
                if problem.severity is finding.Severity.ERROR
            )
            if made is None
            else next(matches)
            for made, found in entries
        )

    def outcome(
        self, address: pci_address.PciAddress
    ) -> outcome.Outcome | None:
        """What the entry that takes a function makes of it.

        :returns: None where none does
        :raises HostError: the host can't be seen
        :raises ConfigError: a value can't be used
        """
        from nova_vfio_variant.check import outcome

        return outcome.of(
            gathering.gather(self._context.conf, lambda: self._context.scan),
            address,
        )

    def suggest(self) -> str:
        """Configuration for the VFs of this host, as text."""
        from nova_vfio_variant.check import beside, suggest
        from nova_vfio_variant.declaration import verdicts

        # What is declared today is no reason for what is to be declared.
        return suggest.text(
            verdicts.Verdicts(
                self._context.verdicts.facts, self._context.verdicts.records
            ),
            beside.Written(self._readable()),
        )

    def _readable(self) -> facts.CheckInput | None:
        """What the files say, as far as it can be used; None without any."""
        if not self._context.is_configured:
            return None
        try:
            given = gathering.gather(
                self._context.survey, lambda: self._context.scan
            )
        except exception.ConfigError:
            return None
        try:
            return self._context.with_records(given)
        except exception.StoreError:
            return given

    def _all(self, *, offline: bool) -> facts.CheckInput:
        """What the rules look at, with what Placement holds of it."""
        given = self._context.given(offline=offline)
        if offline:
            return given
        given = dataclasses.replace(given, adopted=self._adopted())
        return placement_side.PlacementSide(self._context).held(given)

    def _adopted(self) -> dict[str, str]:
        """The instances that Nova gave mediated devices, by their UUIDs."""
        if not self._context.has_state:
            return {}
        from nova_vfio_variant.tracker import claim_records

        with self._context.open_store(read_only=True) as store:
            records = store.claim_records.all().values()
        return claim_records.adopted_mdevs(records)
