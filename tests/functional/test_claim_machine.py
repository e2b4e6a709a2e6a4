# SPDX-License-Identifier: Apache-2.0
"""Claims in any order of events, beside the real Placement, and with bugs."""

import functools
import logging
import pathlib
import typing as ty

import hypothesis
from hypothesis import stateful
from testtools import content

from nova_vfio_variant.testing import placement
from tests import base
from tests.stress import machine, planted

_DATABASE: ty.Final = "placement.sqlite"
#: The same runs each time: others are for "tox -e soak".
_SEED: ty.Final = 1
_SETTINGS = hypothesis.settings(
    max_examples=60,
    stateful_step_count=5,
    deadline=None,
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


@functools.cache
def _nothing_published() -> bytes:
    """The database of a Placement that was never told anything."""
    with placement.EmbeddedPlacement() as fresh:
        assert fresh.client is not None
        return pathlib.Path(fresh.state_path, _DATABASE).read_bytes()


class BesidePlacement(machine.ClaimsMachine):
    """The same, beside the real Placement."""

    def placement(self) -> None:
        """It is that of the state path."""
        state = self.folder / "state"
        kept = _nothing_published()
        state.mkdir(mode=0o700)
        (state / _DATABASE).write_bytes(kept)
        self.stack.enter_context(placement.EmbeddedPlacement(str(state)))


class ClaimMachineTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)

    def test_nothing_is_lost_beside_the_real_placement(self) -> None:
        self.addDetail("seed", content.text_content(str(_SEED)))
        stateful.run_state_machine_as_test(
            hypothesis.seed(_SEED)(BesidePlacement), settings=_SETTINGS
        )


class PlantedBugsTest(base.TestCase):
    def test_the_bugs_that_are_found_soon_fail_the_run(self) -> None:
        for name, bug, ran in planted.runs(planted.QUICK):
            self.assertEqual(1, ran.status, f"{name}: {ran.stderr}")
            self.assertIn(bug.question, ran.stderr, name)
