# SPDX-License-Identifier: Apache-2.0
"""Who is told of what is done, as it is done."""

from __future__ import annotations

from nova_vfio_variant.host.decide import judgement, plan


class Observer:
    """Wants to know nothing: a base for whoever wants to know something.

    What it was told is true also where an error ends a command before its
    end.
    """

    def step(
        self, change: plan.Change, step: plan.Step, state: plan.StepState
    ) -> None:
        """A step was begun, is done, or failed."""

    def count(self, step: plan.Step, vfs: int) -> None:
        """So many VFs are there, while their number is being changed."""

    def changed(self, change: plan.Change) -> None:
        """A change is done, wholly."""

    def failed(self, why: str) -> None:
        """Something wasn't done; why, in one sentence."""

    def recovered(self, judged: judgement.Judgement) -> None:
        """What became of a change that a crash had left."""

    def note(self, what: str) -> None:
        """Something worth knowing beside that."""
