# SPDX-License-Identifier: Apache-2.0
"""Executors and observers that do, and hear, what a test wants."""

import typing as ty

from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import executor, observer, sysfs_writer
from nova_vfio_variant.host.decide import judgement, plan
from nova_vfio_variant.host.observe.use import device_files

Perform = ty.Callable[[plan.Step, tuple[int, ...], process.Meanwhile], str]


class Doing(executor.LocalExecutor):
    """Does steps, and looks at processes, in a test's way.

    :ivar way: does a step; as others do it, where it isn't set
    :ivar look: looks at what is open, likewise
    """

    def __init__(
        self, writer: sysfs_writer.SysfsWriter, way: Perform | None = None
    ) -> None:
        super().__init__(writer)
        self.way: Perform = way or super().perform
        self.look: ty.Callable[[], device_files.OpenFiles] = super().open_files

    def perform(
        self,
        step: plan.Step,
        keep: tuple[int, ...],
        meanwhile: process.Meanwhile,
    ) -> str:
        """In the test's way."""
        return self.way(step, keep, meanwhile)

    def open_files(self) -> device_files.OpenFiles:
        """In the test's way."""
        return self.look()


class Told(observer.Observer):
    """Calls something for each step, and keeps what is done.

    :ivar changes: the changes that are done
    :ivar failures: what wasn't done, and why
    :ivar judgements: what became of what a crash had left
    """

    def __init__(
        self,
        told: ty.Callable[[plan.Change, plan.Step, plan.StepState], None],
    ) -> None:
        self._told = told
        self.changes: list[plan.Change] = []
        self.failures: list[str] = []
        self.judgements: list[judgement.Judgement] = []

    def step(
        self, change: plan.Change, step: plan.Step, state: plan.StepState
    ) -> None:
        """Call it."""
        self._told(change, step, state)

    def changed(self, change: plan.Change) -> None:
        """Keep it."""
        self.changes.append(change)

    def failed(self, why: str) -> None:
        """Keep it."""
        self.failures.append(why)

    def recovered(self, judged: judgement.Judgement) -> None:
        """Keep it."""
        self.judgements.append(judged)
