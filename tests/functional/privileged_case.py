# SPDX-License-Identifier: Apache-2.0
"""A host whose privileged process is asked for steps, in this one."""

import abc
import pathlib
import typing as ty

import fixtures

from nova_vfio_variant.host.act import lock, privileged
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.testing import fake_host
from tests import base

BY: ty.Final = privileged.PrivilegedExecutor()


class StepCase(base.TestCase):
    """Steps come as data, from whoever calls."""

    def setUp(self) -> None:
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.host = self.made(folder / "host")
        plugged = self.host.plugged_in()
        plugged.__enter__()
        self.addCleanup(plugged.__exit__, None, None, None)
        self.useFixture(
            fixtures.MonkeyPatch(
                f"{privileged.__name__}.ROOT", str(self.host.root)
            )
        )
        privileged.context.set_client_mode(False)
        self.addCleanup(privileged.context.set_client_mode, True)

    @abc.abstractmethod
    def made(self, root: pathlib.Path) -> fake_host.FakeHost:
        """Make the host."""

    def do(self, subject: str, action: str, **more: object) -> str:
        """What it says of a step."""
        probe = plan.Step(subject, plan.Action.PROBE, "", "", "test")
        step = {**probe.as_data(), "action": action}
        return " ".join(map(str, privileged.do_step(step | more)))

    def locked(self, address: str) -> list[str]:
        """The lock of a function."""
        return sorted(lock.that_serve(self.host.tree, address))[:1]

    def refused(
        self, why: str, *steps: tuple[str, str, str], **more: object
    ) -> None:
        """Each is refused by its own look, and nothing is written."""
        written = self.host.written
        for subject, action, value in steps:
            keys = [lock.of_module(subject)]
            if action != "load-module":
                keys = self.locked(subject)
            with BY.hold(["host", *keys], 0):
                said = self.do(subject, action, value=value, **more)
            self.assertTrue(said.startswith("failed 0 "), said)
            self.assertIn(why, said)
        self.assertEqual(written, self.host.written)
