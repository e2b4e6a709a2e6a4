# SPDX-License-Identifier: Apache-2.0
"""What every function that we touched was before, and what we left there.

Pure: the journal tells it of each change.
"""

from __future__ import annotations

import dataclasses
import itertools

from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import function_state


class Touched:
    """The functions that were touched since the host booted."""

    def __init__(self) -> None:
        #: What each was before, in the order of touching.
        self.priors: dict[str, plan.Prior] = {}
        #: VFs that went with others and came back by undoing that, and are
        #: yet to be made what they were.
        self.owed: set[str] = set()

    def forget(self, subject: str) -> None:
        """Note that a function is what it was before us, or is gone."""
        self.priors.pop(subject, None)
        self.owed.discard(subject)

    def owe(self, ended: plan.Unfinished, outcome: plan.Outcome) -> None:
        """Note the VFs that came back with their PF's own number of VFs."""
        change = ended.change
        if outcome is not plan.Outcome.UNDONE:
            # What went is owed nothing; what came in its place is another.
            self.owed -= {change.subject, *change.lost}
        if change.what is not plan.What.VFS:
            return
        if outcome is plan.Outcome.UNDONE:
            self.owed |= set(change.lost) & set(self.priors)
        elif outcome is plan.Outcome.RESTORED and change.after.numvfs:
            self.owed |= {
                name
                for name, prior in self.priors.items()
                if prior.pf == change.subject and not prior.made
            }

    def leave(self, change: plan.Change, made: function_state.State) -> None:
        """Note what a change makes of drivers.

        :param made: what stands there where it ends
        """
        # VFs come again with whatever driver the kernel chooses.
        left = dict.fromkeys(
            change.lost, function_state.State(function_state.KERNELS_CHOICE)
        )
        if change.what in (plan.What.DRIVER, plan.What.VGPU):
            left[change.subject] = made
        for name in left.keys() & self.priors.keys():
            self.priors[name] = dataclasses.replace(
                self.priors[name], left=left[name]
            )
        known = self.priors.get(change.subject)
        if known is None or made.numvfs is None:
            return
        if change.what is plan.What.VFS or not known.vfs_left:
            self.priors[change.subject] = dataclasses.replace(
                known, vfs_left=frozenset({(made.numvfs, made.autoprobe)})
            )

    def leave_again(self, undone: plan.Unfinished) -> None:
        """Note that a change left its function as it found it.

        What somebody else had made of it is not ours by that. Whether VFs
        that may have gone did so nobody knows.
        """
        change = undone.change
        known = self.priors.get(change.subject)
        if known is None:
            return
        before = change.before
        if change.what is plan.What.VFS:
            vfs_left = frozenset({(before.numvfs, before.autoprobe)})
            if undone.prior is not None:
                vfs_left = undone.prior.vfs_left
            known = dataclasses.replace(known, vfs_left=vfs_left)
        else:
            left = undone.prior.left if undone.prior is not None else None
            known = dataclasses.replace(known, left=left or before)
        self.priors[change.subject] = known

    def come_by(self, change: plan.Change) -> None:
        """Note what a PF and its VFs come by in a change."""
        for name in change.lost.keys() & self.priors.keys():
            # As they were, gone, or as the kernel made them anew.
            self.priors[name] = dataclasses.replace(
                self.priors[name], left=None
            )
        known = self.priors.get(change.subject)
        if known is None or change.what is not plan.What.VFS:
            return
        counts = {change.before.numvfs, 0, change.after.numvfs}
        self.priors[change.subject] = dataclasses.replace(
            known,
            vfs_left=frozenset(itertools.product(counts, (False, True))),
        )

    def touch(self, change: plan.Change) -> None:
        """Note what the functions of a change are before it."""
        for subject, state in change.lost.items():
            self.priors.setdefault(
                subject, plan.Prior(state, change.subject, made=False)
            )
        self.priors.setdefault(
            change.subject,
            plan.Prior(
                change.before,
                change.pf,
                made=change.pf in self.priors,
                identity=change.identity,
            ),
        )
        left = self.priors[change.subject].left
        if left is None or left.driver == function_state.KERNELS_CHOICE:
            self.leave(change, change.after)
