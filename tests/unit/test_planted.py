# SPDX-License-Identifier: Apache-2.0
"""The bugs that runs of inputs must notice can still be planted."""

from tests import base
from tests.conformance import planted
from tests.hostile import planted as hostile_planted


class PlantedTest(base.TestCase):
    def test_each_is_made_of_source_that_stands_there(self) -> None:
        for name, bug in (planted.BUGS | hostile_planted.BUGS).items():
            with self.subTest(name):
                _spec, wrong = planted.source_with(bug)
                compile(wrong, bug.module, "exec")
