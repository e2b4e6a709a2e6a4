# SPDX-License-Identifier: Apache-2.0
"""Preparing a compute node's host: what ``host plan`` and its kin call.

A writer holds the lock of the state path, so that nothing is claimed while
it is being changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.conf import located
from nova_vfio_variant.host.act import actor as host_actor
from nova_vfio_variant.host.act import (
    apply,
    executor,
    journal,
    lock,
    recover,
    sysfs_writer,
    undoing,
)
from nova_vfio_variant.host.act import observer as host_observer
from nova_vfio_variant.host.decide import apply as host_apply
from nova_vfio_variant.host.decide import (
    host_spec,
    identity,
    judgement,
    plan,
    planning,
    refusal,
    restore,
)
from nova_vfio_variant.host.observe import facts, function_state
from nova_vfio_variant.host.observe import records as seen_records
from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.node import (
    context,
    on_record,
    pausing,
    records,
)
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import lock as state_lock
from nova_vfio_variant.tracker import store

Addresses = ty.Collection[pci_address.PciAddress]

#: What is opened for writing, without writing, to see whether that is
#: possible.
_PROBE = "sys/bus/pci/drivers_probe"


@dataclasses.dataclass(slots=True)
class Result:
    """What a command did to the host, as far as it came.

    :param recovered: what became of what a crash had left
    :param refusals: why nothing more was done
    :param failed: why something wasn't done, each in one sentence
    :param ended_by: what ended it before its end
    """

    recovered: list[judgement.Judgement] = dataclasses.field(
        default_factory=list
    )
    refusals: tuple[finding.Finding, ...] = ()
    failed: list[str] = dataclasses.field(default_factory=list)
    ended_by: exception.VfioVariantError | None = None


class _Recording(host_observer.Observer):
    """Keeps in a result what is told, and passes it on."""

    def __init__(self, result: Result, other: host_observer.Observer) -> None:
        self._result = result
        self._other = other

    def step(
        self, change: plan.Change, step: plan.Step, state: plan.StepState
    ) -> None:
        """Pass it on."""
        self._other.step(change, step, state)

    def count(self, step: plan.Step, vfs: int) -> None:
        """Pass it on."""
        self._other.count(step, vfs)

    def changed(self, change: plan.Change) -> None:
        """Pass it on."""
        self._other.changed(change)

    def note(self, what: str) -> None:
        """Pass it on."""
        self._other.note(what)

    def failed(self, why: str) -> None:
        """Keep it."""
        self._result.failed.append(why)
        self._other.failed(why)

    def recovered(self, judged: judgement.Judgement) -> None:
        """Keep it."""
        self._result.recovered.append(judged)
        self._other.recovered(judged)


class Preparation:
    """Plans and makes the changes of a node's host, and takes them back.

    :param on: the node whose configuration, host and state it uses
    :param observer: is told of what is done as it goes, and what a reboot
        undid
    :param given: what is wanted of the host, in place of what host_spec says
    :param stop_persistenced: nvidia-persistenced is stopped meanwhile
    """

    def __init__(
        self,
        on: context.Context,
        observer: host_observer.Observer | None = None,
        given: tuple[host_spec.HostSpec, ...] | None = None,
        *,
        stop_persistenced: bool = False,
    ) -> None:
        self._context = on
        self._observer = observer or host_observer.Observer()
        self._given = given
        self._stops = stop_persistenced

    @functools.cached_property
    def specs(self) -> tuple[host_spec.HostSpec, ...]:
        """What the operator wants of the host.

        :raises ConfigError: something is wrong with its text
        """
        if self._given is not None:
            return self._given
        specs, findings = host_spec.parse_host_specs(
            located.values(self._context.conf, "vfio", "host_spec")
        )
        if finding.worst(findings) is finding.Severity.ERROR:
            raise exception.ConfigError(
                "host_spec can't be used; nothing was changed",
                findings=findings,
            )
        return specs

    def plan(self, only: Addresses = ()) -> planning.Decision:
        """What :meth:`apply` would do now. Nothing is written.

        :raises ConfigError: host_spec can't be used, or not on this host
        :raises JournalError: :meth:`apply` would stop at the journal
        """
        specs = self.specs
        return self.plan_by(lambda now: host_apply.decision(specs, now, only))

    def plan_by(self, decide: host_actor.Decide) -> planning.Decision:
        """What :meth:`apply_by` would do now. Nothing is written.

        :raises ConfigError: what is wanted doesn't fit this host
        :raises JournalError: :meth:`apply_by` would stop at the journal
        """
        priors = self._priors()
        now = self._look()
        found = decide(now)
        _raise_findings(found)
        return identity.checked(found, priors, now)

    def plan_restore(self, only: Addresses = ()) -> planning.Decision:
        """What :meth:`restore` would do now. Nothing is written.

        :raises JournalError: the journal can't be read
        """
        return restore.decision(
            self._priors(),
            self._look(),
            {str(address) for address in only},
        )

    def journal(self) -> journal.Journal:
        """What was done to the host since it booted.

        :raises JournalError: it is garbled, or a newer version made it
        """
        return journal.Journal.open(
            self._context.state,
            function_state.boot_id(self._context.tree),
        )

    def _priors(self) -> identity.Priors:
        """What was before us of what we touched; damage is looked for too.

        :raises JournalError: see :meth:`journal`
        """
        known = records.journal_of(self._context.tree, self._context.state)
        return {} if known is None else known.priors

    def apply(self, only: Addresses = ()) -> Result:
        """Make the host what host_spec says, after recovering.

        :raises ConfigError: host_spec can't be used
        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        specs = self.specs
        return self.act(
            lambda actor, quarantined: apply.apply(
                actor, specs, only, quarantined
            )
        )

    def apply_by(self, decide: host_actor.Decide) -> Result:
        """Make vGPUs what somebody decides; as :meth:`act`."""

        def run(
            actor: host_actor.Actor, quarantined: seen_records.Quarantines
        ) -> None:
            apply.by(
                actor,
                lambda now: identity.checked(
                    decide(now.knowing(quarantined=quarantined)),
                    actor.journal.priors,
                    now,
                ),
                plan.Command.VGPU,
            )

        return self.act(run)

    def act(
        self,
        run: ty.Callable[[host_actor.Actor, seen_records.Quarantines], object],
    ) -> Result:
        """Do something to the host, after recovering.

        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        result = Result()
        with (
            self._acting(result) as (actor, opened),
            _told(result),
            pausing.paused(actor, opened, asked=self._stops),
        ):
            recover.recover(actor)
            run(actor, opened.quarantined())
        return result

    def restore(self, only: Addresses = ()) -> Result:
        """Take the host back to what was before, after recovering.

        :param only: the functions to take back; all if empty
        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        return self.act(
            lambda actor, quarantined: undoing.restore(
                actor, only, quarantined
            )
        )

    def recover(self) -> Result:
        """Bring to an end what a crash left in the middle.

        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        result = Result()
        with (
            self._acting(result) as (actor, opened),
            _told(result),
            pausing.paused(actor, opened, asked=False),
        ):
            recover.recover(actor)
        return result

    def _look(self) -> facts.HostFacts:
        """The host as the node sees it, quarantines of other boots ended."""
        seen = self._context.scan
        with self._context.open_store(read_only=True) as opened:
            return dataclasses.replace(
                facts.gather(seen), records=on_record.recorded(opened, seen)
            ).knowing(
                quarantined=opened.quarantined(
                    self._context.tree.read_text(function_state.BOOT_ID)
                )
            )

    @contextlib.contextmanager
    def _acting(
        self, result: Result
    ) -> ty.Iterator[tuple[host_actor.Actor, store.Store]]:
        """Somebody who acts, with the store and all locks above groups'."""
        by = _executor(self._context.tree)
        with (
            state_lock.state_lock(self._context.state, context.LOCK_TIMEOUT),
            by.hold([lock.HOST], context.LOCK_TIMEOUT),
            self._context.open_store(read_only=False) as opened,
            contextlib.closing(self.journal()) as known,
        ):
            on_record.after_reboot(known, opened, self._observer)
            yield (
                host_actor.Actor(
                    self._context.tree,
                    by,
                    known,
                    on_record.OnRecord(opened, known.boot),
                    _Recording(result, self._observer),
                ),
                opened,
            )

    @contextlib.contextmanager
    def acting_on(
        self, opened: store.Store, instance_uuid: str
    ) -> ty.Iterator[host_actor.Actor]:
        """Somebody who acts for an instance; the state's lock is held.

        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes to the host
        """
        by = _executor(self._context.tree)
        with (
            by.hold([lock.HOST], context.LOCK_TIMEOUT),
            contextlib.closing(self.journal()) as known,
        ):
            on_record.after_reboot(known, opened, self._observer)
            yield host_actor.Actor(
                self._context.tree,
                by,
                known,
                on_record.OnRecord(opened, known.boot, instance_uuid),
                self._observer,
            )


def _executor(tree: host_tree.HostTree) -> executor.Executor:
    """How steps are done, locks taken, and processes looked into here.

    :raises HostError: the host can't be changed, by us or at all
    """
    root = tree.root
    if root is None:
        raise exception.HostError(
            "a recorded host can't be changed",
            "'nova-vfio host plan' shows what would be done",
        )
    if root == "/" and os.geteuid():
        # Imported here: nobody else needs privsep.
        from nova_vfio_variant.host.act import privileged

        privileged.start()
        return privileged.PrivilegedExecutor()
    try:
        os.close(tree.open_to_write(_PROBE))
    except OSError as error:
        raise exception.HostError(
            f"the host can't be changed: /{_PROBE}: {error.strerror}",
            "run as root, where /sys can be written",
        ) from error
    return executor.LocalExecutor(sysfs_writer.of_directory(root))


@contextlib.contextmanager
def _told(result: Result) -> ty.Iterator[None]:
    """Let an error not swallow what was done before it."""
    try:
        yield
    except exception.HostRefused as error:
        result.refusals = error.findings
    except exception.VfioVariantError as error:
        result.ended_by = error
    except BrokenPipeError:
        raise  # Nobody is there any more to be told.
    except OSError as error:
        result.ended_by = exception.HostError(str(error))


def _raise_findings(decision: planning.Decision) -> None:
    if decision.findings:
        raise refusal.misfit(decision.findings)
