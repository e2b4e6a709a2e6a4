# SPDX-License-Identifier: Apache-2.0
"""Which functions change their drivers, so that a host is as declared. Pure.

A function's companions come right before it.
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
)
from nova_vfio_variant.host.decide import wishes as host_wishes
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import function_state, groups
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed


class DriverChanges:
    """The changes of drivers on one host, and what is against others.

    :param only: the functions to look at; all if empty
    :param coming: the PFs whose number of VFs changes first
    """

    def __init__(
        self,
        facts: host_facts.HostFacts,
        only: frozenset[pci_address.PciAddress],
        coming: ty.Collection[pci_address.PciAddress],
    ) -> None:
        self._facts = facts
        self._only = only
        self._coming = coming
        #: Why some don't change.
        self.refusals: list[finding.Finding] = []
        #: What is wrong with entries on this host.
        self.findings: list[finding.Finding] = []
        #: The modules to load first, by name.
        self.modules: dict[str, plan.Change] = {}
        #: Companions that are unbound, by the function for which they are.
        self.unbound: dict[str, tuple[str, ...]] = {}
        #: Functions whose groups aren't viable, by address.
        self.blocked: dict[str, companions.Blocked] = {}

    def changes(
        self,
        wishes: host_wishes.Wishes,
        functions: ty.Sequence[observed.PciFunction],
    ) -> tuple[plan.Change, ...]:
        """The changes that are wished, the companions' before each."""
        going = companions.going(self._facts, wishes, functions)
        changes: dict[str, plan.Change] = {}
        for function in functions:
            wish = wishes.get(function.address)
            if wish is None or wish.driver is None:
                continue
            if self._only and function.address not in self._only:
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
        wish: host_wishes.Wish,
        going: ty.Mapping[pci_address.PciAddress, bool],
    ) -> ty.Iterator[plan.Change]:
        """The changes of one function's driver, companions first."""
        facts = self._facts
        is_new = function.physfn in self._coming
        now = (
            function_state.State()
            if is_new
            else facts.states[function.address]
        )
        # A PF changes its driver once its VFs are as they are to be.
        expected = is_new or function.address in self._coming
        if not is_new and expected:
            now = dataclasses.replace(now, numvfs=wish.num_vfs)
        word = wish.driver
        assert word is not None
        rebound = tuple(obstacles.of_vgpu_folder(facts, function))
        if rebound:
            # It is on the driver that the host chose.
            self.refusals += () if word == host_spec.HOST else rebound
            return
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
        self.refusals += against
        if against:
            return
        expected = expected or module is not None
        for change in others:
            yield dataclasses.replace(change, expected=expected)
        if now.driver == driver:
            return
        self.unbound[str(function.address)] = tuple(
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
            self.modules.setdefault(
                module,
                planning.load_change(module, "its driver is asked for"),
            )
        to = function_state.State(driver, driver, now.numvfs, now.autoprobe)
        return _change(function, now, to, reason, expected=expected)

    def _against(
        self,
        function: observed.PciFunction,
        wish: host_wishes.Wish,
        now: function_state.State,
        driver: str,
        going: ty.Mapping[pci_address.PciAddress, bool],
    ) -> tuple[finding.Finding, ...]:
        """Why a function that is there can't be put on a driver."""
        facts = self._facts
        if function.is_any_bridge:
            return (obstacles.is_bridge(function),)
        found: tuple[finding.Finding, ...] = ()
        if now.driver != driver:
            found += _of_pf(self._facts, function, wish, now)
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
                found += tuple(refusal.not_put_back(function))
            self.blocked[str(function.address)] = companions.Blocked(
                function,
                wish.by["driver"],
                tuple(
                    one
                    for one in groups.in_the_way(facts.scan, function)
                    # A bridge is unbound for nobody, named or not.
                    if one.address not in allowed or one.is_any_bridge
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
        if function.is_any_bridge:
            against = (obstacles.is_bridge(function),)
        self.refusals += against
        if against:
            return
        to = function_state.State(
            function_state.KERNELS_CHOICE, None, now.numvfs, now.autoprobe
        )
        yield _change(function, now, to, "host_spec leaves it to the kernel")

    def _companions(
        self,
        function: observed.PciFunction,
        wish: host_wishes.Wish,
        going: ty.Mapping[pci_address.PciAddress, bool],
    ) -> ty.Iterator[plan.Change]:
        """Unbind the members of the group that may be unbound."""
        facts = self._facts
        for other in groups.in_the_way(facts.scan, function):
            if other.address not in wish.companions or other.address in going:
                continue
            if other.is_any_bridge:
                continue
            now = facts.states[other.address]
            against = _of_pf(self._facts, other, wish, now)
            against += refusal.to_unbind(facts, other)
            self.refusals += against
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

    def _no_driver(
        self, function: observed.PciFunction, wish: host_wishes.Wish, word: str
    ) -> None:
        if word == host_spec.VARIANT:
            self.refusals.append(
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
            f"no driver is named {word!r}, and no module of the running kernel"
            " that is made for PCI functions",
            "driver",
            "write variant, vfio-pci, host, or the name of one that is there",
        )
        if found not in self.findings:
            self.findings.append(found)


def _of_pf(
    facts: host_facts.HostFacts,
    function: observed.PciFunction,
    wish: host_wishes.Wish,
    now: function_state.State,
) -> tuple[finding.Finding, ...]:
    """Why a PF may not be taken from its driver; nothing for others.

    :param wish: of the entries that name it, be it as a companion
    """
    if function.kind is not observed.Kind.PF:
        return ()
    if not wish.allow_pf:
        by_options = wish.by["driver"].by_options
        mend = host_spec.more(allow_pf=True, by_options=by_options)
        return (
            refusal.because(
                codes.PF_NOT_ALLOWED,
                str(function.address),
                "it is a PF, and nothing says that it may be taken from its"
                " driver",
                f"add {mend}"
                if by_options
                else f"name VFs by their product_id, or add {mend}",
            ),
        )
    return planning.loses_vfs(facts, function, now.numvfs)


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
