# SPDX-License-Identifier: Apache-2.0
"""Doing what was decided: note, write, read back, note.

Nothing here decides. What fails is taken back at once; what hangs is left to
its helper process, told, and quarantined, and the command ends.
"""

from __future__ import annotations

import dataclasses
import logging
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host import process
from nova_vfio_variant.host.act import (
    executor,
    lock,
    readback,
    revalidate,
    ways,
)
from nova_vfio_variant.host.act import journal as host_journal
from nova_vfio_variant.host.act import observer as host_observer
from nova_vfio_variant.host.decide import (
    plan,
    planning,
    vgpu_changes,
    vgpu_reasons,
)
from nova_vfio_variant.host.observe import (
    facts,
    function_state,
    host_scan,
    records,
    scanner,
    vgpu_card,
)
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import address as pci_address

_LOG = logging.getLogger(__name__)

#: Decides on the host as it is now.
Decide = ty.Callable[[facts.HostFacts], planning.Decision]
#: Seconds to wait for another command, or a left helper, in the same group.
LOCK_TIMEOUT: ty.Final = 20.0
#: What is to be done about a write that hangs.
WHEN_HUNG: ty.Final = (
    "it goes on when whoever has the device open lets go; then run "
    "nova-vfio host recover"
)


class OnRecord:
    """What is recorded of a host's functions: nothing, and nobody is told."""

    def of(self, seen: host_scan.HostScan) -> records.Records:
        """All that is recorded of what is seen."""
        return records.NOTHING

    def quarantine(
        self, address: pci_address.PciAddress, reason: str | None
    ) -> None:
        """Take a function away from everybody, or give it free with None."""

    def declare(self, types: vgpu_changes.Types) -> None:
        """Remember which vGPU types are declared for VFs, before all else."""

    def mix(self, card: pci_address.PciAddress, flag: bool) -> None:
        """Remember that a card is to have its mode again, or forget it.

        :param card: address of the PF
        :param flag: it had vGPUs of several sizes
        """


class Actor:
    """What does changes to one host, one after the other.

    :param tree: the host, to read
    :param by: does the steps
    :param journal: of the host's boot
    :param on_record: what is known of the functions beside what is seen, and
        who is told what hung, and what is well again
    :param observer: is told of what is done
    """

    def __init__(
        self,
        tree: host_tree.HostTree,
        by: executor.Executor,
        journal: host_journal.Journal,
        on_record: OnRecord | None = None,
        observer: host_observer.Observer | None = None,
    ) -> None:
        self.tree = tree
        self.journal = journal
        self.observer = observer or host_observer.Observer()
        self._by = by
        self._on_record = on_record or OnRecord()

    def look(self) -> facts.HostFacts:
        """The host as it is now."""
        seen = scanner.scan(self.tree)
        return dataclasses.replace(
            facts.gather(seen, self._by.open_files()),
            records=self._on_record.of(seen),
        )

    def do(
        self,
        change: plan.Change,
        command: plan.Command,
        seen: host_scan.HostScan,
        wanted: Decide,
    ) -> bool:
        """Do a change, wholly or not at all.

        With the locks held it is decided once more on the host as it is then:
        meanwhile somebody may have opened the function, or bound it. Only
        what is taken from nobody, and is as it was seen, is spared that.

        :param command: what it is done by
        :param seen: the host that it was decided on
        :param wanted: what decided it
        :returns: False where nothing is to be done about it any more
        :raises HostRefused: something is in the way by now
        :raises HostStepFailed: it failed, and was taken back if that is told
        :raises HostStepHung: a write hung; the function is quarantined
        :raises LockTimeout: somebody else is busy with its IOMMU group
        :raises JournalError: nothing was written
        """
        with self.locked(change, seen) as keep:
            fresh: plan.Change | None = change
            if not revalidate.is_spared(change, seen):
                now = self.look()
                fresh = revalidate.decided(change, seen, wanted(now), now.scan)
                seen = now.scan
            if fresh is None:
                return False
            number = self.journal.begin(fresh, command)
            try:
                self.steps(number, fresh, fresh.steps, keep, seen)
            except exception.HostStepFailed as error:
                self._take_back(number, fresh, keep, error, seen)
            self.journal.end(number, plan.Outcome.DONE)
        if fresh.after.heterogeneous is not None:
            self.mix(pci_address.PciAddress.parse(fresh.subject), flag=False)
        self.observer.changed(fresh)
        return True

    def locked(
        self, change: plan.Change, seen: host_scan.HostScan
    ) -> ty.ContextManager[tuple[int, ...]]:
        """Hold the locks of a change: its group's and its VFs'."""
        return self._by.hold(lock.of_change(change, seen), LOCK_TIMEOUT)

    def steps(
        self,
        number: int,
        change: plan.Change,
        steps: ty.Sequence[plan.Step],
        keep: tuple[int, ...],
        seen: host_scan.HostScan,
    ) -> None:
        """Do steps of a change that the journal knows by its number.

        :raises HostStepFailed: one failed, or can have had no effect
        :raises HostStepHung: one passed its deadline
        """
        for step in steps:
            why = readback.in_vain(self.tree, step)
            if why is not None:
                self.journal.step(host_journal.Kind.FAILED, number, step, why)
                raise exception.HostStepFailed(f"{step}: {why}")
        for step in steps:
            self.journal.step(host_journal.Kind.BEGUN, number, step)
            self.observer.step(change, step, plan.StepState.BEGUN)
            card = self._card(step)
            try:
                said = self._by.perform(step, keep, self._counting(step))
                readback.check(step, said)
            except process.Hung as error:
                raise self._hung(number, change, step, error, seen) from None
            except (OSError, ValueError, exception.HostStepFailed) as error:
                why = readback.why(error)
                if card is not None and isinstance(error, OSError):
                    why = vgpu_reasons.why(step, why, card, self._card(step))
                self.journal.step(host_journal.Kind.FAILED, number, step, why)
                _LOG.info("%s: failed: %s", step, why)
                self.observer.step(change, step, plan.StepState.FAILED)
                raise exception.HostStepFailed(f"{step}: {why}") from error
            self.journal.step(host_journal.Kind.DONE, number, step)
            _LOG.info("%s: done", step)
            self.observer.step(change, step, plan.StepState.DONE)

    def _card(self, step: plan.Step) -> vgpu_card.Card | None:
        """The card of a VF that is given a type; None for all else."""
        if step.action is not plan.Action.SET_VGPU_TYPE:
            return None
        return vgpu_card.look(
            self.tree, pci_address.PciAddress.parse(step.subject)
        )

    def _counting(self, step: plan.Step) -> process.Meanwhile:
        """What is called while a step is done: it counts VFs.

        By their links: to read ``sriov_numvfs`` waits for who writes it.
        """
        if step.action is not plan.Action.SET_NUMVFS:
            return lambda: None
        return lambda: self.observer.count(
            step, function_state.count_vfs(self.tree, step.subject)
        )

    def declare(self, types: vgpu_changes.Types) -> None:
        """Remember the vGPU types that are declared for VFs."""
        if types:
            self._on_record.declare(types)

    def mix(self, card: pci_address.PciAddress, *, flag: bool) -> None:
        """Remember that a card is to have its mode again, or forget it."""
        self._on_record.mix(card, flag)

    def isolate(self, change: plan.Change, reason: str | None) -> None:
        """Quarantine a change's functions; None ends that."""
        for name in change.functions:
            self._on_record.quarantine(
                pci_address.PciAddress.parse(name), reason
            )
            if reason is not None:
                _LOG.info("%s: quarantined: %s", name, reason)

    def _take_back(
        self,
        number: int,
        change: plan.Change,
        keep: tuple[int, ...],
        error: exception.HostStepFailed,
        seen: host_scan.HostScan,
    ) -> ty.NoReturn:
        """Undo what a failed change has done so far.

        :raises HostStepFailed: always, and it says what became of it
        """
        if change.what in (plan.What.MODULE, plan.What.RESET):
            self.journal.end(number, plan.Outcome.UNDONE, error.message)
            raise error
        try:
            now = ways.state_of(self.tree, change)
            if change.what is plan.What.MDEV and not _is_made(
                self.journal.unfinished[number]
            ):
                # What has its UUID is somebody else's, or as it was.
                now = change.before
            if now is None:
                self.journal.end(number, plan.Outcome.GONE, error.message)
                raise exception.HostStepFailed(
                    f"{error.message}; the function is gone"
                ) from error
            back = ways.back(self.tree, change, now)
            self.steps(number, change, back, keep, seen)
        except exception.HostStepHung:
            raise
        except exception.HostError as worse:
            if self.journal.unfinished.get(number) is None:
                raise
            reason = f"{error.message}; taking it back failed: {worse.message}"
            self.isolate(change, reason)
            raise exception.HostStepFailed(
                reason, "the function is quarantined; nova-vfio host recover"
            ) from error
        self.journal.end(number, plan.Outcome.UNDONE, error.message)
        raise exception.HostStepFailed(
            f"{error.message}; it was taken back", error.hint
        ) from error

    def _hung(
        self,
        number: int,
        change: plan.Change,
        step: plan.Step,
        error: process.Hung,
        seen: host_scan.HostScan,
    ) -> exception.HostStepHung:
        who = _holders(self._by, self.tree, change, seen)
        why = f"{step}: {error.message}; {who}"
        self.journal.step(host_journal.Kind.HUNG, number, step, why)
        _LOG.info("%s: hangs", step)
        self.observer.step(change, step, plan.StepState.FAILED)
        self.isolate(change, why)
        left = "a process may be"
        if error.pid is not None:
            left = f"process {error.pid} is"
        return exception.HostStepHung(
            f"{why}; {left} left in the kernel with it",
            WHEN_HUNG,
        )


def _is_made(unfinished: plan.Unfinished) -> bool:
    """Whether a change is known to have made its mediated device."""
    return any(
        step.action is plan.Action.CREATE_MDEV for step in unfinished.done
    )


def _holders(
    by: executor.Executor,
    tree: host_tree.HostTree,
    change: plan.Change,
    seen: host_scan.HostScan,
) -> str:
    """Who has a change's functions open, as half a sentence.

    The host isn't scanned again: on older kernels to read
    ``driver_override`` takes the lock of the device, which the write that
    hangs has.
    """
    found = []
    try:
        opened = by.open_files()
    except exception.HostError as error:
        return f"who has it open can't be seen: {error.message}"
    for name in (change.subject, *change.lost):
        function = None
        if change.what not in (plan.What.MODULE, plan.What.MDEV):
            function = seen.get(pci_address.PciAddress.parse(name))
        if function is not None:
            found += [str(one) for one in opened.of(tree, function)]
    return "; ".join(found) or "no process is seen to have it open"
