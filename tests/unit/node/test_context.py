# SPDX-License-Identifier: Apache-2.0
"""What one call sees of a node."""

import pathlib

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.node import context, placement_side
from nova_vfio_variant.tracker import lock
from tests import base


class ContextTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def context(self, text: str = "") -> context.Context:
        path = self.folder / "nova.conf"
        path.write_text(text)
        return context.Context(
            [str(path)], [], state_path=str(self.folder / "state")
        )

    def test_files_folders_or_the_environment_configure_it(self) -> None:
        self.assertFalse(context.Context().is_configured)
        self.assertTrue(context.Context(config_files=[]).is_configured)
        self.assertTrue(context.Context(config_dirs=[]).is_configured)
        self.useFixture(
            fixtures.EnvironmentVariable("OS_VFIO__PLACEMENT", "service")
        )
        self.assertTrue(context.Context().is_configured)

    def test_a_value_that_can_not_be_used_is_an_error(self) -> None:
        wrong = self.context("[vfio]\nplacement = nowhere\n")
        error = self.assertRaises(
            exception.ConfigError, getattr, wrong, "conf"
        )
        self.assertTrue(error.findings)
        # What can be used of it is there all the same.
        self.assertEqual(1, len(wrong.survey.faults))

    def test_whoever_reads_beside_a_writer_to_placement_waits(self) -> None:
        state = self.folder / "state"
        on = self.context("[DEFAULT]\nhost = n1\n")
        with on.open_store(read_only=False):
            pass
        self.useFixture(
            fixtures.MonkeyPatch(f"{context.__name__}.LOCK_TIMEOUT", 0.1)
        )
        with lock.state_lock(state, 1), placement_side.beside_writers(on):
            pass  # There is no Placement of our own that it could disturb.
        (state / "placement.sqlite").touch()
        with lock.state_lock(state, 1):
            self.assertRaises(
                exception.LockTimeout,
                placement_side.beside_writers(on).__enter__,
            )
