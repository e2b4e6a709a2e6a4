# SPDX-License-Identifier: Apache-2.0
"""Whatever is written and whatever the host is, the checker holds."""

import dataclasses
import pathlib
import tempfile
import typing as ty

import fixtures
import hypothesis
from hypothesis import strategies as st

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes as check_codes
from nova_vfio_variant.check import engine, render
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.observe import scanner
from nova_vfio_variant.host.tree import opening, paths
from nova_vfio_variant.pci import alias_parse, parse
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.source import SourceText
from tests import base
from tests.conformance import hosts, texts

DRIVERS = (None, "vfio-pci", "igbvf", "igb_vfio_pci", "nvidia")


@st.composite
def given(draw: st.DrawFn) -> facts.CheckInput:
    """A host with drivers and groups, and a configuration for it."""
    host = draw(hosts.hosts(wide_domains=True))
    values = draw(texts.device_specs(host, odd=True))
    wanted = draw(texts.wanted(host))
    in_placement = draw(st.booleans())
    specs, found = parse.parse_device_specs(
        [SourceText.of(one, file=f"{n}.conf") for n, one in enumerate(values)]
    )
    aliases, more = alias_parse.parse_aliases(
        [
            SourceText.of(one, file=f"a{n}.conf")
            for n, one in enumerate(wanted)
        ],
        in_placement=in_placement,
    )
    options = {
        ("pci", "report_in_placement"): draw(st.booleans()),
        ("vfio", "provider_layout"): draw(
            st.sampled_from(("nova", "per_class"))
        ),
        ("libvirt", "live_migration_permit_post_copy"): draw(st.booleans()),
    }
    scan = None
    if draw(st.booleans()):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, paths.DEVICES).mkdir(parents=True)
            scan = scanner.scan(opening.open_tree(folder))
        functions = tuple(
            _dressed(draw, seen) for seen in hosts.observed(host)
        )
        scan = dataclasses.replace(scan, functions=functions)
    return facts.CheckInput(
        options=options,
        specs=specs,
        aliases=aliases,
        findings=(*found, *more),
        scan=scan,
    )


def _dressed(
    draw: st.DrawFn, seen: host_function.PciFunction
) -> host_function.PciFunction:
    driver = draw(st.sampled_from(DRIVERS))
    return dataclasses.replace(
        seen,
        driver=driver,
        vfio=driver is not None and "vfio" in driver,
        iommu_group=draw(st.sampled_from((None, 1, 2, 3))),
        modalias="pci:v00008086d00000008sv00000000sd00000000bc03sc02i00",
    )


class Engine(base.TestCase):
    @hypothesis.settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    @hypothesis.given(given())
    def test_every_finding_has_a_true_place_and_can_be_shown(
        self, case: facts.CheckInput
    ) -> None:
        found = engine.check(case)
        for problem in found:
            self.assertIsNot(
                check_codes.RULE_BROKE, problem.code, str(problem)
            )
            render.text([problem])
            if problem.location is not None:
                assert problem.line is not None
                self.assertTrue(
                    1 <= problem.location.column <= len(problem.line) + 1,
                    problem,
                )
        errors = {
            problem
            for problem in found
            if problem.severity is finding.Severity.ERROR
        }
        self.assertEqual(errors, set(engine.blocking(case)))

    @hypothesis.settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    @hypothesis.given(given())
    def test_asking_twice_gives_the_same(self, case: facts.CheckInput) -> None:
        self.assertEqual(
            engine.check(case), engine.check(dataclasses.replace(case))
        )


def _breaks(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """A rule with a mistake that shows after its first finding."""
    del given
    yield finding.Finding(check_codes.NO_FILE, "before it breaks")
    raise KeyError("nothing")


class BrokenRuleTest(base.TestCase):
    def check(self, *rules: facts.Rule) -> list[finding.Finding]:
        self.useFixture(
            fixtures.MonkeyPatch(f"{engine.__name__}.RULES", rules)
        )
        return list(engine.check(facts.CheckInput()))

    def test_it_is_a_finding_and_hides_no_other(self) -> None:
        others = self.check(*engine.RULES)
        found = self.check(_breaks, *engine.RULES)
        (broke,) = (one for one in found if one.code is check_codes.RULE_BROKE)
        self.assertEqual(
            "the rule test_engine._breaks could not be asked: KeyError:"
            " 'nothing'",
            broke.message,
        )
        self.assertIn("Report it", str(broke.hint))
        self.assertIn("before it breaks", [one.message for one in found])
        self.assertLessEqual(set(others), set(found))
