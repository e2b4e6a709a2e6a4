# SPDX-License-Identifier: Apache-2.0
"""3,000 random hosts, on which no command contradicts another.

Each has a seed, which a failure names, and is shown as small as it could be
made. See :mod:`tests.agreement` for what agreement is.
"""

import dataclasses
import pathlib
import tempfile
import types
import typing as ty
from unittest import mock

from nova_vfio_variant.check import binding, engine, suggest
from nova_vfio_variant.check import codes as check_codes
from nova_vfio_variant.check import host as check_host
from nova_vfio_variant.declaration import facts as check_facts
from nova_vfio_variant.declaration import verdicts as host_verdicts
from nova_vfio_variant.host.decide import (
    apply,
    apply_drivers,
    assignability,
    refusal,
)
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.observe import holders
from nova_vfio_variant.node import choosing, claim_choice, placement_side
from tests import agreement, agreement_asked, base, random_hosts, sample_hosts

_HOSTS = 3000
_PARTS = 4
#: A contradiction has to show in so many hosts.
_ENOUGH = 500


class AgreementCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory(dir=sample_hosts.MEMORY)
        self.addCleanup(folder.cleanup)
        self.desk = agreement_asked.Desk(pathlib.Path(folder.name))

    def disagreements(self, host: random_hosts.Host) -> list[str]:
        return agreement.disagreements(host, self.desk.ask(host))


class AgreementTest(AgreementCase):
    """All use cases, in memory."""

    def agree(self, part: int) -> None:
        for seed in range(part, _HOSTS, _PARTS):
            host = random_hosts.random_host(seed)
            if self.disagreements(host):
                host = random_hosts.shrunk(
                    host, lambda less: bool(self.disagreements(less))
                )
                said = "\n".join(self.disagreements(host))
                self.fail(f"{host}\n{said}")

    def test_first_part(self) -> None:
        self.agree(0)

    def test_second_part(self) -> None:
        self.agree(1)

    def test_third_part(self) -> None:
        self.agree(2)

    def test_fourth_part(self) -> None:
        self.agree(3)


def _without(
    verdict: assignability.Verdict, *forgotten: ty.Any
) -> assignability.Verdict:
    return dataclasses.replace(
        verdict,
        blocking=tuple(
            obstacle
            for obstacle in verdict.blocking
            if obstacle.code not in forgotten
        ),
        unknown=tuple(
            obstacle
            for obstacle in verdict.unknown
            if obstacle.code not in forgotten
        ),
    )


def _claim_forgets(*forgotten: ty.Any) -> ty.Any:
    """Claims whose verdicts lack some obstacles."""
    real = claim_choice.verdicts

    def verdicts(*given: ty.Any) -> ty.Any:
        return {
            at: _without(one, *forgotten) for at, one in real(*given).items()
        }

    return mock.patch.object(claim_choice, "verdicts", verdicts)


def _plan_forgets(*forgotten: ty.Any) -> ty.Any:
    """Plans whose verdicts lack some obstacles."""

    def verdict(*given: ty.Any) -> assignability.Verdict:
        return _without(assignability.verdict(*given), *forgotten)

    own = types.SimpleNamespace(verdict=verdict, Purpose=assignability.Purpose)
    return mock.patch.object(apply_drivers, "assignability", own)


def _rule(name: str, planted: check_facts.Rule) -> ty.Any:
    """A rule of config check that says something else."""
    return mock.patch.object(
        engine,
        "RULES",
        tuple(
            planted if one.__name__ == name else one for one in engine.RULES
        ),
    )


class PlantedTest(AgreementCase):
    """Contradictions that are planted into one command are found."""

    def found(self, planted: ty.Any, word: str) -> None:
        """Some host shows it, and doesn't without it."""
        for seed in range(_ENOUGH):
            host = random_hosts.random_host(seed)
            with planted:
                said = self.disagreements(host)
            if any(one.startswith(word) for one in said):
                self.assertEqual([], self.disagreements(host))
                return
        self.fail(f"{_ENOUGH} hosts didn't show it")

    def test_claim_forgets_quarantines(self) -> None:
        self.found(_claim_forgets(host_codes.IS_QUARANTINED), "claim create")

    def test_claim_forgets_vgpu_types(self) -> None:
        self.found(_claim_forgets(host_codes.NO_VGPU_TYPE), "claim create")

    def test_claim_forgets_groups_of_others(self) -> None:
        self.found(_claim_forgets(host_codes.GROUP_CLAIMED), "claim create")

    def test_claim_forgets_who_has_it_open(self) -> None:
        self.found(_claim_forgets(host_codes.IS_OPEN), "claim create")

    def test_claim_gives_what_is_preparable_first(self) -> None:
        real = choosing.choose

        def choose(devices: ty.Any, verdicts: ty.Any, *more: ty.Any) -> ty.Any:
            alike = {
                at: assignability.Verdict()
                for at, one in verdicts.items()
                if one.is_assignable
            }
            return real(devices, alike, *more)

        self.found(
            mock.patch.object(choosing, "choose", choose), "claim create"
        )

    def test_claim_gives_no_reason(self) -> None:
        self.found(
            mock.patch.object(choosing, "_why_not", lambda *_: ""),
            "claim create",
        )

    def test_release_forgets_processes(self) -> None:
        self.found(
            mock.patch.object(holders, "of_claim", lambda *_: ()),
            "claim delete",
        )

    def test_check_has_its_own_vfio_drivers(self) -> None:
        def not_prepared(given: check_facts.CheckInput) -> ty.Any:
            for spec, found in given.of_guests(managed=False):
                if any(
                    "vfio" not in (function.driver or "") for function in found
                ):
                    yield check_facts.on_spec(
                        check_codes.NOT_PREPARED, "", spec
                    )

        self.found(_rule("not_prepared", not_prepared), "config check")

    def test_check_forgets_a_use(self) -> None:
        self.found(
            mock.patch.object(
                binding, "USES", binding.USES - {host_codes.NETWORK_IN_USE}
            ),
            "config check",
        )

    def test_check_forgets_quarantines(self) -> None:
        told = check_host._TOLD_AS_THEY_ARE - {host_codes.IS_QUARANTINED}
        self.found(
            mock.patch.object(check_host, "_TOLD_AS_THEY_ARE", told),
            "config check",
        )

    def test_check_forgets_groups(self) -> None:
        self.found(_rule("shared_groups", lambda _: ()), "config check")

    def test_check_forgets_that_there_is_no_vfio_pci(self) -> None:
        self.found(_rule("no_vfio_module", lambda _: ()), "config check")

    def test_suggest_forgets_tokens(self) -> None:
        more = assignability.MOMENTARY | {host_codes.VF_TOKEN}
        self.found(
            mock.patch.object(assignability, "MOMENTARY", more),
            "config suggest",
        )

    def test_suggest_keeps_its_reasons_to_itself(self) -> None:
        real = suggest._groups

        def groups(*given: ty.Any) -> ty.Any:
            return real(*given)[0], []

        self.found(
            mock.patch.object(suggest, "_groups", groups), "config suggest"
        )

    def test_plan_forgets_uses(self) -> None:
        self.found(_plan_forgets(host_codes.STORAGE_IN_USE), "host plan")

    def test_plan_forgets_groups(self) -> None:
        self.found(_plan_forgets(host_codes.GROUP_COMPANIONS), "host plan")

    def test_plan_forgets_what_is_unreadable(self) -> None:
        self.found(_plan_forgets(host_codes.NOT_KNOWN), "host plan")

    def test_plan_has_its_own_vfio_drivers(self) -> None:
        self.found(
            mock.patch.object(refusal, "is_vfio", lambda *_: False),
            "host plan",
        )

    def test_plan_forgets_claims(self) -> None:
        self.found(_plan_forgets(host_codes.IS_CLAIMED), "host plan")

    def test_plan_forgets_what_was_overruled(self) -> None:
        real = apply.decision

        def decision(specs: ty.Any, seen: ty.Any, *more: ty.Any) -> ty.Any:
            nothing = assignability.NOTHING_RECORDED
            bare = dataclasses.replace(seen, records=nothing)
            return real(specs, bare, *more)

        self.found(mock.patch.object(apply, "decision", decision), "host plan")

    def test_inventory_forgets_all_obstacles(self) -> None:
        self.found(
            mock.patch.object(
                placement_side.PlacementSide,
                "_unassignable",
                lambda *_: placement_side._Unassignable(set(), set(), set()),
            ),
            "inventory show",
        )

    def test_inventory_forgets_one_obstacle(self) -> None:
        less = assignability.LASTING - {host_codes.GROUP_COMPANIONS}
        self.found(
            mock.patch.object(assignability, "LASTING", less), "inventory show"
        )

    def test_list_forgets_what_is_recorded(self) -> None:
        def at(judge: ty.Any, address: ty.Any, *_: ty.Any) -> ty.Any:
            function = judge.facts.scan.get(address)
            if function is None:
                return assignability.vanished(address, judge.facts)
            return assignability.verdict(function, judge.facts)

        self.found(
            mock.patch.object(host_verdicts.Verdicts, "at", at), "device list"
        )
