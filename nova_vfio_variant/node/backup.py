# SPDX-License-Identifier: Apache-2.0
"""Copying what is recorded into a file, and taking it back from there."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
import socket
import sqlite3
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.conf import database
from nova_vfio_variant.node import context as node_context
from nova_vfio_variant.node import records
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.tracker import backup, holding, lock, sqlite

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Restored:
    """What a restore changes.

    :param now: how many of each thing the store has, by what it is called;
        None where it is damaged
    :param then: how many it has afterwards
    :param lost: instances whose claims the copy doesn't know
    :param is_other: whether it changes anything
    :param kept: where the store of before is kept; None if nothing was done,
        or there was none
    """

    now: ty.Mapping[str, int] | None
    then: ty.Mapping[str, int]
    lost: tuple[str, ...] = ()
    is_other: bool = True
    kept: pathlib.Path | None = None


class Backups:
    """Copies the store, and restores it.

    :param on: what one call sees of the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on

    def write(self, out: pathlib.Path) -> holding.Held:
        """Copy the store into a file, which is whole or isn't there.

        The store may be of any version, and in use: it is copied as it is at
        one moment, and not changed.

        :param out: what stands there is replaced
        :returns: what the copy has
        :raises StoreError: there is no store, it is another kind of
            database, or the file can't be written
        :raises StoreCorruptError: it is damaged
        """
        path, group = self._file()
        _expect_elsewhere(out, path)
        if not sqlite.exists(path, group):
            raise exception.StoreError(
                f"there is no state database {path}: nothing was tracked yet",
                "--state-path DIR names another place",
            )
        sqlite.version(path, group, read_only=True)
        with _opened(path, group, read_only=True) as link:
            backup.write(link, out)
            return holding.held(link)

    def restore(
        self, file: pathlib.Path, *, force: bool = False, dry_run: bool = False
    ) -> Restored:
        """Let the store be what a copy of it is.

        All of it is looked at first, so that what can't be leaves the store
        as it is; then it is one transaction. The store of before is kept.

        :param file: is only read
        :param force: also where the copy is another host's, doesn't know all
            claims, or nobody can say which there are
        :param dry_run: only say what it would be
        :raises StoreError: it can't be, or mustn't
        :raises LockTimeout: another command writes
        """
        path, group = self._file()
        _expect_elsewhere(file, path)
        with contextlib.closing(backup.read(file)) as copy:
            said = holding.held(copy)
            _upgrade(copy, file)
            if not force:
                _expect_host(file, said.host)
            if dry_run:
                return self._restore(
                    copy, file, path, group, force=force, dry_run=True
                )
            with lock.state_lock(
                self._context.state, node_context.LOCK_TIMEOUT
            ):
                return self._restore(
                    copy, file, path, group, force=force, dry_run=False
                )

    def _restore(
        self,
        copy: sqlite3.Connection,
        file: pathlib.Path,
        path: pathlib.Path,
        group: int | None,
        *,
        force: bool,
        dry_run: bool,
    ) -> Restored:
        """The rest, while nobody else writes."""
        try:
            is_there = sqlite.exists(path, group)
            if is_there:
                sqlite.version(path, group, read_only=dry_run)
                return self._over(
                    copy, file, path, group, force=force, dry_run=dry_run
                )
        except exception.StoreCorruptError as error:
            # What was claimed, nobody can say.
            if not force:
                raise exception.StoreCorruptError(
                    error.message,
                    f"with --force {file} is restored: what was claimed since"
                    " it was made, is in nobody's list then",
                ) from None
            holding.finish(copy)
            kept = None
            if not dry_run:
                kept = backup.put_in_place_of_damage(copy, path, group)
            return Restored(None, holding.held(copy).counts, kept=kept)
        holding.finish(copy)
        if not dry_run:
            # What makes a store is one rule.
            self._context.open_store(read_only=False).close()
            backup.put(copy, path, group)
        nothing = dict.fromkeys(holding.held(copy).counts, 0)
        return Restored(nothing, holding.held(copy).counts)

    def _over(
        self,
        copy: sqlite3.Connection,
        file: pathlib.Path,
        path: pathlib.Path,
        group: int | None,
        *,
        force: bool,
        dry_run: bool,
    ) -> Restored:
        """Restore over a sound store.

        :raises StoreCorruptError: nobody of ours wrote a row of it
        """
        with (
            _as_written(path, group),
            _opened(path, group, read_only=dry_run) as link,
            contextlib.closing(sqlite.memory(link)) as now,
        ):
            before, then = holding.held(now), holding.held(copy)
            lost = tuple(sorted(before.instances - then.instances))
            self._expect_closed(before)
            if lost and not force:
                raise exception.StoreError(
                    f"{file} doesn't know the claims of instances"
                    f" {', '.join(lost)}",
                    "give them back with nova-vfio claim delete; or --force"
                    " forgets them",
                )
            # Given back since, or not finished since they were restored:
            # Placement and the host may know nothing of them.
            holding.begin_again(
                copy,
                then.instances - (before.instances - before.unfinished),
            )
            tables = holding.tables(now)
            with contextlib.suppress(exception.StoreVersionError):
                # Of a newer one's tables nothing can be taken along.
                backup.upgrade(now, str(path))
                holding.keep_outside(copy, now, records.SPENT)
            # Whatever is written is of this version.
            is_other = tables != holding.tables(now) or not holding.is_same(
                copy, now
            )
            holding.finish(copy, now)
            kept = None
            if is_other and not dry_run:
                kept = backup.keep_aside(link, path, group)
                try:
                    backup.put(copy, path, group)
                except exception.StoreError:
                    # It is as it was, and room may be what is wanting.
                    kept.unlink()
                    raise
                _LOG.info("the store is that of %s; before: %s", file, kept)
            return Restored(before.counts, then.counts, lost, is_other, kept)

    def _file(self) -> tuple[pathlib.Path, int | None]:
        """The store's file, and who may share its folder."""
        state = self._context.state
        connection = database.connection(self._context.conf)
        return backup.file_of(state, connection), state.group

    def _expect_closed(self, held: holding.Held) -> None:
        """See that no guest has open what is claimed.

        :raises StoreError: one has, or who has can't be seen
        """
        from nova_vfio_variant.host.observe import holders

        owners = {
            pci_address.PciAddress.parse(at): instance
            for at, instance in held.owners.items()
        }
        found: list[str] = []
        if held.mdevs:
            found += holders.of_mdevs(self._context.tree, held.mdevs)
        for instance in sorted({*owners.values()}):
            found += holders.of_claim(self._context.tree, owners, instance)
        if found:
            raise exception.StoreError(
                f"what is claimed is open: {'; '.join(found)}",
                "end the guests, or restore once they have ended",
            )


@contextlib.contextmanager
def _opened(
    path: pathlib.Path, group: int | None, *, read_only: bool
) -> ty.Iterator[sqlite3.Connection]:
    """The store's file, of any version.

    :raises StoreError: it can't be read
    """
    try:
        link = sqlite.connect(path, group, read_only=read_only)
    except OSError as error:
        raise sqlite.unreadable(path, error) from None
    with contextlib.closing(link):
        try:
            yield link
        except sqlite3.Error as error:
            reason, hint = sqlite.told(path, error)
            raise exception.StoreError(
                f"the state database {path} can't be read: {reason}", hint
            ) from None


@contextlib.contextmanager
def _as_written(path: pathlib.Path, group: int | None) -> ty.Iterator[None]:
    try:
        yield
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise sqlite.corrupt(path, f"a row: {error}", group) from error


def _upgrade(copy: sqlite3.Connection, file: pathlib.Path) -> None:
    try:
        backup.upgrade(copy, str(file))
        holding.listed(copy, records.SPENT)
    except (RecursionError, TypeError, ValueError) as error:
        raise exception.StoreError(
            f"{file} is no backup that can be restored: a row: {error}",
            "take another one; nothing was changed",
        ) from None
    except exception.StoreVersionError:
        raise exception.StoreVersionError(
            f"{file} has version {holding.held(copy).version}, made by a newer"
            " version of this program",
            "upgrade the program; nothing was changed",
        ) from None


def _expect_host(file: pathlib.Path, host: str | None) -> None:
    """Refuse what is another host's: devices carry no host's name.

    :raises StoreError: it is, or may be
    """
    here = socket.gethostname()
    if host != here:
        whose = "doesn't say whose it is" if host is None else f"is {host}'s"
        raise exception.StoreError(
            f"{file} {whose}, and this host is {here}",
            "if it was made here, --force restores it all the same",
        )


def _expect_elsewhere(file: pathlib.Path, path: pathlib.Path) -> None:
    """Refuse a copy that would be lost with the store, or take its place.

    What a restore kept aside is only read.

    :raises StoreError: it is one
    """
    mine = {path.name, *(path.name + end for end in sqlite.BESIDE)}
    with contextlib.suppress(OSError):
        if os.path.samefile(file.parent, path.parent) and (
            file.name in mine or not _is_kept(file, path)
        ):
            raise exception.StoreError(
                f"{file} is in the folder of the state database itself",
                "name a file elsewhere",
            )


def _is_kept(file: pathlib.Path, path: pathlib.Path) -> bool:
    return file.name.startswith(f"{path.name}.before-restore-")
