# SPDX-License-Identifier: Apache-2.0
"""What is to be done so that a host becomes what ``host_spec`` declares.

Pure. Modules and VFs come first, then drivers; a function's companions come
right before it.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import (
    assignability,
    codes,
    companions,
    host_spec,
    obstacles,
    plan,
    planning,
    refusal,
    selection,
)
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import function_state, groups
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
        self._modules: dict[str, plan.Change] = {}
        #: Companions that are unbound, by the function for which they are.
        self._unbound: dict[str, tuple[str, ...]] = {}
        #: Functions whose groups aren't viable, by address.
        self._blocked: dict[str, companions.Blocked] = {}
        #: VFs that would be, by PF; None where they can't be told.
        self._future: dict[
            pci_address.PciAddress,
            tuple[observed.PciFunction, ...] | None,
        ] = {}

    def decision(self) -> planning.Decision:
        facts = self._facts
        here = facts.scan.functions
        wishes = planning.wishes(
            [spec for spec in self._specs if spec.num_vfs is not None],
            here,
            [],  # told below, where all entries are looked at
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
        functions = [one for one in here if one.physfn not in self._future]
        for vfs in self._future.values():
            functions += vfs or ()
        functions.sort(key=lambda one: one.address)
        wishes = planning.wishes(self._specs, functions, [])
        self._look_at_entries(functions)
        vfs_changes = self._vfs_changes(wishes, functions)
        driver_changes = self._driver_changes(wishes, functions)
        return planning.Decision(
            plan.Plan(
                (*self._modules.values(), *vfs_changes, *driver_changes)
            ),
            tuple(
                companions.hinted(
                    dict.fromkeys(self._refusals), self._blocked, facts
                )
            ),
            tuple(self._findings),
            self._unbound,
        )

    def _look_at_entries(
        self, functions: ty.Sequence[observed.PciFunction]
    ) -> None:
        """Note what is wrong with the entries of whatever is meant."""
        meant = [one for one in functions if self._meant(one)]
        planning.wishes(self._specs, meant, self._findings)
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
        wishes: ty.Mapping[pci_address.PciAddress, planning.Wish],
        functions: ty.Iterable[observed.PciFunction],
    ) -> ty.Iterator[plan.Change]:
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
        return iter(changes)

    def _vfs_change(
        self,
        pf: observed.PciFunction,
        count: int,
        wishes: ty.Mapping[pci_address.PciAddress, planning.Wish],
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

    def _driver_changes(
        self,
        wishes: ty.Mapping[pci_address.PciAddress, planning.Wish],
        functions: ty.Sequence[observed.PciFunction],
    ) -> tuple[plan.Change, ...]:
        going = companions.going(self._facts, wishes, functions)
        changes: dict[str, plan.Change] = {}
        for function in functions:
            wish = wishes.get(function.address)
            if wish is None or wish.driver is None:
                continue
            if not self._meant(function):
                continue
            for change in self._of_function(function, wish, going):
                known = changes.get(change.subject)
                # A companion of several goes with the first that is ready.
                if known is None or known.expected:
                    changes[change.subject] = change
        return tuple(changes.values())

    def _of_function(
        self,
        function: observed.PciFunction,
        wish: planning.Wish,
        going: ty.Mapping[pci_address.PciAddress, bool],
    ) -> ty.Iterator[plan.Change]:
        """The changes of one function's driver, companions first."""
        facts = self._facts
        is_new = function.physfn in self._future
        now = (
            function_state.State()
            if is_new
            else facts.states[function.address]
        )
        # A PF changes its driver once its VFs are as they are to be.
        expected = is_new or function.address in self._future
        if not is_new and expected:
            now = dataclasses.replace(now, numvfs=wish.num_vfs)
        word = wish.driver
        assert word is not None
        if word == host_spec.HOST:
            yield from self._to_host(function, now, expected)
            return
        driver, module = planning.driver_of(facts, function, word)
        if driver is None:
            self._no_driver(function, wish, word)
            return
        if now.driver == driver and not refusal.is_vfio(facts, driver):
            return
        if is_new:
            # All else can only be known once it is there.
            against = refusal.is_somebodys(facts, function, driver)
        else:
            against = self._against(function, wish, now, driver, going)
        others = tuple(self._companions(function, wish, going))
        self._refusals += against
        if against:
            return
        expected = expected or module is not None
        for change in others:
            yield dataclasses.replace(change, expected=expected)
        if now.driver == driver:
            return
        self._unbound[str(function.address)] = tuple(
            change.subject for change in others
        )
        yield self._to_driver(
            function, now, driver, module, word, expected=expected
        )

    def _to_driver(
        self,
        function: observed.PciFunction,
        now: function_state.State,
        driver: str,
        module: str | None,
        word: str,
        *,
        expected: bool,
    ) -> plan.Change:
        """Put a function on a driver, whose module is loaded first."""
        reason = f"host_spec asks for {driver}"
        if word == host_spec.VARIANT:
            reason = f"{driver} is made for it (modules.alias)"
        if module is not None:
            self._modules.setdefault(
                module,
                planning.load_change(module, "its driver is asked for"),
            )
        to = function_state.State(driver, driver, now.numvfs, now.autoprobe)
        return _change(function, now, to, reason, expected=expected)

    def _against(
        self,
        function: observed.PciFunction,
        wish: planning.Wish,
        now: function_state.State,
        driver: str,
        going: ty.Mapping[pci_address.PciAddress, bool],
    ) -> tuple[finding.Finding, ...]:
        """Why a function that is there can't be put on a driver."""
        facts = self._facts
        if function.is_bridge or function.is_host_bridge:
            return (obstacles.is_bridge(function),)
        found: tuple[finding.Finding, ...] = ()
        if now.driver != driver:
            found += self._pf_refusals(function, wish, now)
        if not refusal.is_vfio(facts, driver):
            found += refusal.to_touch(facts, function)
        else:
            allowed = companions.allowed(wish.companions, going)
            verdict = assignability.verdict(
                function,
                facts,
                facts.records,
                assignability.Purpose(companions=allowed, driver=driver),
            )
            found += (*verdict.blocking, *verdict.unknown)
            if now.driver != driver:
                found += obstacles.counting(
                    facts, function, refusal.unseen(facts, function)
                )
            self._blocked[str(function.address)] = companions.Blocked(
                function,
                wish.by["driver"],
                tuple(
                    one
                    for one in groups.in_the_way(facts.scan, function)
                    # A bridge is unbound for nobody, named or not.
                    if one.address not in allowed
                    or one.is_bridge
                    or one.is_host_bridge
                ),
            )
        return found

    def _to_host(
        self,
        function: observed.PciFunction,
        now: function_state.State,
        expected: bool,
    ) -> ty.Iterator[plan.Change]:
        """Give a function back to whatever driver the kernel chooses."""
        if expected or not (function.vfio or now.override):
            return
        against = refusal.to_touch(self._facts, function)
        against += planning.loses_vfs(self._facts, function, now.numvfs)
        if function.is_bridge or function.is_host_bridge:
            against = (obstacles.is_bridge(function),)
        self._refusals += against
        if against:
            return
        to = function_state.State(
            function_state.KERNELS_CHOICE, None, now.numvfs, now.autoprobe
        )
        yield _change(function, now, to, "host_spec leaves it to the kernel")

    def _companions(
        self,
        function: observed.PciFunction,
        wish: planning.Wish,
        going: ty.Mapping[pci_address.PciAddress, bool],
    ) -> ty.Iterator[plan.Change]:
        """Unbind the members of the group that may be unbound."""
        facts = self._facts
        for other in groups.in_the_way(facts.scan, function):
            if other.address not in wish.companions or other.address in going:
                continue
            if other.is_bridge or other.is_host_bridge:
                continue
            now = facts.states[other.address]
            against = self._pf_refusals(other, wish, now)
            against += refusal.to_touch(facts, other)
            self._refusals += against
            if against:
                continue
            to = function_state.State(
                None, now.override, now.numvfs, now.autoprobe
            )
            yield _change(
                other,
                now,
                to,
                f"it is in IOMMU group {other.iommu_group} with "
                f"{function.address}",
            )

    def _pf_refusals(
        self,
        function: observed.PciFunction,
        wish: planning.Wish,
        now: function_state.State,
    ) -> tuple[finding.Finding, ...]:
        """Why a PF may not be taken from its driver; nothing for others.

        :param wish: of the entries that name it, be it as a companion
        """
        if function.kind is not observed.Kind.PF:
            return ()
        if not wish.allow_pf:
            return (
                refusal.because(
                    codes.PF_NOT_ALLOWED,
                    str(function.address),
                    "it is a PF, and the entry that names it doesn't say "
                    "that it may be taken from its driver",
                    'name VFs by their product_id, or add "allow_pf": true',
                ),
            )
        return planning.loses_vfs(self._facts, function, now.numvfs)

    def _no_driver(
        self, function: observed.PciFunction, wish: planning.Wish, word: str
    ) -> None:
        if word == host_spec.VARIANT:
            self._refusals.append(
                refusal.because(
                    codes.NO_VARIANT,
                    str(function.address),
                    "no vfio_pci: line of modules.alias fits it",
                    "install the vendor's module and run depmod",
                )
            )
            return
        found = wish.by["driver"].on(
            codes.NO_SUCH_DRIVER,
            f"no driver and no module of the running kernel is named {word!r}",
            "driver",
            "write variant, vfio-pci, host, or the name of one that is there",
        )
        if found not in self._findings:
            self._findings.append(found)


def _change(
    function: observed.PciFunction,
    now: function_state.State,
    to: function_state.State,
    reason: str,
    *,
    expected: bool = False,
) -> plan.Change:
    """The change of a function's driver."""
    subject = str(function.address)
    return plan.Change(
        subject,
        plan.What.DRIVER,
        now,
        to,
        planning.driver_steps(subject, now, to, reason),
        None if function.physfn is None else str(function.physfn),
        expected=expected,
        identity=function.identity,
    )
