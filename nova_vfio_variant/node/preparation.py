# SPDX-License-Identifier: Apache-2.0
"""Preparing a compute node's host: what ``host plan`` and its kin call.

A writer holds the lock of the state path, so that nothing is claimed while
it is being changed.
"""

import contextlib
import dataclasses
import functools
import os
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.conf import database, located
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
from nova_vfio_variant.host.decide import apply as host_apply
from nova_vfio_variant.host.decide import (
    host_spec,
    identity,
    judgement,
    planning,
    restore,
)
from nova_vfio_variant.host.observe import facts, function_state, host_scan
from nova_vfio_variant.host.observe import records as host_records
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import allowance, store
from nova_vfio_variant.tracker import lock as state_lock

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import context

Addresses = ty.Collection[pci_address.PciAddress]

#: Is told what is worth knowing beside the result.
Note = ty.Callable[[str], None]

#: What is opened for writing, without writing, to see whether that is
#: possible.
_PROBE = "sys/bus/pci/drivers_probe"
#: Seconds to wait for another command that writes.
_LOCK_TIMEOUT = 120.0


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


def _ignore(*_said: object) -> None:
    """Nobody wants to know."""


class Preparation:
    """The acting half of a node.

    :param on: the node whose configuration, host and state it uses
    :param progress: is told of each step as it goes
    :param note: is told what a reboot undid
    :param count: is told of VFs that come and go
    """

    def __init__(
        self,
        on: "context.Node",
        progress: host_actor.Progress = _ignore,
        note: Note = _ignore,
        count: host_actor.Count = _ignore,
    ) -> None:
        self._node = on
        self._progress = progress
        self._note = note
        self._count = count

    @functools.cached_property
    def specs(self) -> tuple[host_spec.HostSpec, ...]:
        """What the operator wants of the host.

        :raises ConfigError: something is wrong with its text
        """
        specs, findings = host_spec.parse_host_specs(
            located.values(self._node.conf, "vfio", "host_spec")
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
        priors = self._priors()
        now = self._look()
        found = host_apply.decision(specs, now, only)
        _raise_findings(found)
        return identity.checked(found, priors, now)

    def plan_restore(self, only: Addresses = ()) -> planning.Decision:
        """What :meth:`restore` would do now. Nothing is written.

        :raises JournalError: the journal can't be read
        """
        return restore.decision(
            self.journal().priors,
            self._look(),
            {str(one) for one in only},
        )

    def journal(self) -> journal.Journal:
        """What was done to the host since it booted.

        :raises JournalError: it is garbled, or a newer version made it
        """
        return journal.Journal.open(
            self._node.state_path, function_state.boot_id(self._node.tree)
        )

    def _priors(self) -> identity.Priors:
        """What was before us of what we touched; damage is looked for too.

        A recorded host has no journal: what stands in the state path is the
        live one's.

        :raises JournalError: see :meth:`journal`
        """
        live = self._node.tree.root is not None
        if live and (self._node.state_path / journal.NAME).exists():
            return self.journal().priors
        return {}

    def apply(self, only: Addresses = ()) -> Result:
        """Make the host what host_spec says, after recovering.

        :raises ConfigError: host_spec can't be used
        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        specs = self.specs
        result = Result()
        with (
            self._acting() as (actor, opened),
            _told(result),
        ):
            recover.recover(actor, result.recovered)
            quarantined = opened.quarantined()
            now = actor.look().knowing(quarantined=quarantined)
            found = host_apply.decision(specs, now, only)
            _raise_findings(found)
            found = identity.checked(found, actor.journal.priors, now)
            result.refusals = found.refusals
            if not found.refusals:
                outcome = apply.Outcome(failed=result.failed)
                apply.apply(actor, specs, only, outcome, quarantined)
        return result

    def restore(self, only: Addresses = ()) -> Result:
        """Take the host back to what was before, after recovering.

        :param only: the functions to take back; all if empty
        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        result = Result()
        with (
            self._acting() as (actor, opened),
            _told(result),
        ):
            recover.recover(actor, result.recovered)
            quarantined = opened.quarantined()
            found = restore.decision(
                actor.journal.priors,
                actor.look().knowing(quarantined=quarantined),
                {str(one) for one in only},
            )
            result.refusals = found.refusals
            if not found.refusals:
                undoing.restore(actor, only, result.failed, quarantined)
        return result

    def recover(self) -> Result:
        """Bring to an end what a crash left in the middle.

        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        result = Result()
        with (
            self._acting() as (actor, _),
            _told(result),
        ):
            recover.recover(actor, result.recovered)
        return result

    def _look(self) -> facts.HostFacts:
        """The host as the node sees it, quarantines of other boots ended."""
        seen = self._node.scan
        with self._store(read_only=True) as opened:
            return dataclasses.replace(
                facts.gather(seen), records=_recorded(opened, seen)
            ).knowing(
                quarantined=opened.quarantined(
                    self._node.tree.read_text(function_state.BOOT_ID)
                )
            )

    def _store(self, *, read_only: bool) -> store.Store:
        return store.Store.open(
            self._node.state_path,
            database.connection(self._node.conf),
            read_only=read_only,
        )

    @contextlib.contextmanager
    def _acting(self) -> ty.Iterator[tuple[host_actor.Actor, store.Store]]:
        """Somebody who acts, with the store and all locks above groups'."""
        perform, hold, watch = self._way()
        with (
            state_lock.state_lock(self._node.state_path, _LOCK_TIMEOUT),
            hold([lock.HOST], _LOCK_TIMEOUT),
            self._store(read_only=False) as opened,
            contextlib.closing(self.journal()) as known,
        ):
            _after_reboot(known, opened, self._note)
            yield (
                host_actor.Actor(
                    self._node.tree,
                    perform,
                    known,
                    hold,
                    functools.partial(opened.quarantine, boot=known.boot),
                    self._progress,
                    self._count,
                    watch,
                    recorded=functools.partial(_recorded, opened),
                ),
                opened,
            )

    def _way(
        self,
    ) -> tuple[executor.Perform, lock.Hold, host_actor.Watch | None]:
        """How steps are done, locks taken, and processes looked into here.

        :raises HostError: the host can't be changed, by us or at all
        """
        root = self._node.tree.root
        if root is None:
            raise exception.HostError(
                "a recorded host can't be changed",
                "'nova-vfio host plan' shows what would be done",
            )
        if root == "/" and os.geteuid():
            # Imported here: nobody else needs privsep.
            from nova_vfio_variant.host.act import privileged

            privileged.start()
            return (
                privileged.perform,
                privileged.hold,
                privileged.open_files,
            )
        try:
            os.close(os.open(f"{root.rstrip('/')}/{_PROBE}", os.O_WRONLY))
        except OSError as error:
            raise exception.HostError(
                f"the host can't be changed: /{_PROBE}: {error.strerror}",
                "run as root, where /sys can be written",
            ) from error
        worker = sysfs_writer.of_directory(root)
        return (
            executor.forked(worker),
            functools.partial(lock.hold, root),
            None,
        )


def _recorded(
    opened: store.Store, seen: host_scan.HostScan
) -> host_records.Records:
    """What is recorded of functions, but for quarantines."""
    return host_records.Records(
        owners={
            address: claim.instance_uuid
            for claim in opened.claims()
            for address in claim.addresses
        },
        identities={one.address: one.known for one in opened.devices()},
        allowed=allowance.standing(opened.allowances.all(), seen.get),
    )


def _after_reboot(
    known: journal.Journal, opened: store.Store, note: Note
) -> None:
    """End the quarantines of earlier boots, and tell what a reboot undid."""
    for what, names in (
        ("what was done to", [*known.undone_by_reboot]),
        ("the quarantine of", [*opened.end_quarantines(known.boot)]),
    ):
        if names:
            listed = ", ".join(map(str, names))
            note(f"a reboot ended {what} {listed} ({len(names)} in all)")


@contextlib.contextmanager
def _told(result: Result) -> ty.Iterator[None]:
    """Let an error not swallow what was done before it."""
    try:
        yield
    except exception.VfioVariantError as error:
        result.ended_by = error
    except BrokenPipeError:
        raise  # Nobody is there any more to be told.
    except OSError as error:
        result.ended_by = exception.HostError(str(error))


def _raise_findings(decision: planning.Decision) -> None:
    if decision.findings:
        raise exception.ConfigError(
            "host_spec doesn't fit this host; nothing was changed",
            findings=decision.findings,
        )
