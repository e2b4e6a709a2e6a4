# SPDX-License-Identifier: Apache-2.0
"""What is to be done so that a host becomes what ``host_spec`` declares.

Pure. Modules and VFs come first, then vGPU types, then drivers.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import (
    apply_drivers,
    apply_vgpus,
    companions,
    host_spec,
    plan,
    planning,
    selection,
)
from nova_vfio_variant.host.decide import wishes as host_wishes
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed


def decision(
    specs: ty.Sequence[host_spec.HostSpec],
    facts: host_facts.HostFacts,
    only: ty.Collection[pci_address.PciAddress] = (),
) -> planning.Decision:
    """The plan that makes the host what the entries say, or what is against.

    :param only: the functions to look at; all if empty
    """
    return _Planner(specs, facts, frozenset(only)).decision()


class _Planner:
    def __init__(
        self,
        specs: ty.Sequence[host_spec.HostSpec],
        facts: host_facts.HostFacts,
        only: frozenset[pci_address.PciAddress],
    ) -> None:
        self._specs = specs
        self._facts = facts
        self._only = only
        self._refusals: list[finding.Finding] = []
        self._findings: list[finding.Finding] = []
        #: VFs that would be, by PF; None where they can't be told.
        self._future: dict[
            pci_address.PciAddress,
            tuple[observed.PciFunction, ...] | None,
        ] = {}

    def decision(self) -> planning.Decision:
        facts = self._facts
        here = facts.scan.functions
        # Where entries disagree is told below, where all are looked at.
        wishes, _ = host_wishes.gather(
            [spec for spec in self._specs if spec.num_vfs is not None], here
        )
        for pf in here:
            wish = wishes.get(pf.address)
            wanted = wish.num_vfs if wish else None
            if (
                wanted is not None
                and wanted != pf.sriov_numvfs
                and self._meant(pf)
            ):
                self._future[pf.address] = planning.predicted(
                    facts, pf, wanted
                )
        functions = [
            function
            for function in here
            if function.physfn not in self._future
        ]
        for vfs in self._future.values():
            functions += vfs or ()
        functions.sort(key=lambda one: one.address)
        wishes, _ = host_wishes.gather(self._specs, functions)
        self._look_at_entries(functions)
        vfs_changes = self._vfs_changes(wishes)
        vgpus = apply_vgpus.VgpuChanges(facts, self._only, self._future)
        vgpu_changes = vgpus.changes(wishes, functions)
        drivers = apply_drivers.DriverChanges(facts, self._only, self._future)
        driver_changes = drivers.changes(wishes, functions)
        return planning.Decision(
            plan.Plan(
                (
                    *drivers.modules.values(),
                    *vfs_changes,
                    *vgpu_changes,
                    *driver_changes,
                )
            ),
            tuple(
                companions.hinted(
                    dict.fromkeys(
                        (
                            *self._refusals,
                            *vgpus.refusals,
                            *drivers.refusals,
                        )
                    ),
                    drivers.blocked,
                    facts,
                )
            ),
            (*self._findings, *vgpus.findings, *drivers.findings),
            drivers.unbound,
            tuple(vgpus.notes),
            vgpus.types,
        )

    def _look_at_entries(
        self, functions: ty.Sequence[observed.PciFunction]
    ) -> None:
        """Note what is wrong with the entries of whatever is meant."""
        meant = [one for one in functions if self._meant(one)]
        _, conflicts = host_wishes.gather(self._specs, meant)
        self._findings += conflicts
        unknown = None in self._future.values()
        for spec in self._specs:
            if self._only and not any(map(spec.selects, meant)):
                continue
            hidden = selection.unread(spec, self._facts)
            self._refusals += hidden
            if not hidden:
                self._findings += selection.absent(
                    spec, functions, unknown=unknown
                )
            self._refusals += selection.no_pf(spec, functions, self._facts)
        self._refusals += selection.in_vain(
            self._only, self._specs, functions, self._facts
        )

    def _meant(self, function: observed.PciFunction) -> bool:
        return not self._only or function.address in self._only

    def _vfs_changes(
        self,
        wishes: host_wishes.Wishes,
    ) -> list[plan.Change]:
        changes = []
        for pf in self._facts.scan.functions:
            if pf.address not in self._future:
                continue
            count = wishes[pf.address].num_vfs
            assert count is not None
            against = tuple(planning.vfs_refusals(self._facts, pf, count))
            self._refusals += against
            if not against:
                changes.append(self._vfs_change(pf, count, wishes))
        return changes

    def _vfs_change(
        self,
        pf: observed.PciFunction,
        count: int,
        wishes: host_wishes.Wishes,
    ) -> plan.Change:
        now = self._facts.states[pf.address]
        future = self._future[pf.address]
        probes: list[pci_address.PciAddress] = []
        if future is None:
            # Where the VFs will be isn't known; an entry that names nothing
            # yet most likely names them.
            quietly = any(
                spec.driver not in (None, host_spec.HOST)
                and not any(map(spec.selects, self._facts.scan.functions))
                for spec in self._specs
            )
        else:
            left = [
                vf.address
                for vf in future
                if (wish := wishes.get(vf.address)) is None
                or wish.driver in (None, host_spec.HOST)
            ]
            quietly = len(left) < len(future)
            if quietly and now.autoprobe:
                probes = left
        return planning.vfs_change(
            self._facts,
            pf,
            function_state.State(
                now.driver, now.override, count, now.autoprobe
            ),
            f"host_spec asks for {count} VFs, and there are {now.numvfs}",
            quietly=quietly,
            probes=probes,
        )
