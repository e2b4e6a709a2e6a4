# SPDX-License-Identifier: Apache-2.0
"""What a store of any version holds, and what of a copy is still so."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import typing as ty

from nova_vfio_variant.tracker import device

#: What the fact is called that says of which host a copy is.
_HOST: ty.Final = "host"

#: How what is counted is called, and in which table it is.
_COUNTED: ty.Final = {
    "devices": "devices",
    "vgpus": "vgpus",
    "mdevs": "mdevs",
    "names": "names",
    "cordons": "cordons",
}
_OWNED: ty.Final = ("devices", "vgpus", "mdevs", "claims")
#: What they say is so outside of the store, where nothing is restored: what we
#: made in Placement, and what hangs in the kernel.
_OUTSIDE: ty.Final = ("providers", "reserved", "quarantine")


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """What a store has.

    :param version: of its tables
    :param host: whose it is; None where it doesn't say
    :param counts: how many of each thing, by what it is called
    :param owners: which instance has claimed a function, by its address
    :param mdevs: which one has a mediated device, by its UUID
    :param instances: all that have claimed anything
    :param unfinished: those whose claims may be on disk alone
    """

    version: str
    host: str | None
    counts: ty.Mapping[str, int]
    owners: ty.Mapping[str, str]
    mdevs: ty.Mapping[str, str]
    instances: frozenset[str]
    unfinished: frozenset[str]


def held(link: sqlite3.Connection) -> Held:
    """What a store of any version has.

    :raises sqlite3.Error: it has not the tables of one
    """
    there = tables(link)
    ((version,),) = link.execute("SELECT version_num FROM alembic_version")
    host = link.execute(
        "SELECT value FROM meta WHERE name = ?", (_HOST,)
    ).fetchone()

    def owned(key: str, table: str) -> dict[str, str]:
        if table not in there:
            return {}
        return dict(
            link.execute(
                f"SELECT {key}, instance_uuid FROM {table}"  # noqa: S608 - ours
                " WHERE instance_uuid IS NOT NULL"
            ).fetchall()
        )

    unfinished = {
        instance
        for table, column in (("devices", "status"), ("claims", "state"))
        if table in there
        for (instance,) in link.execute(
            f"SELECT instance_uuid FROM {table} WHERE {column} = ?",  # noqa: S608 - ours
            (device.ClaimState.CLAIMED,),
        )
    }
    instances = frozenset(
        instance
        for table in _OWNED
        for instance in owned("instance_uuid", table).values()
    )
    return Held(
        str(version),
        None if host is None else str(host[0]),
        {
            "claims": len(instances),
            **{
                name: _count(link, table) if table in there else 0
                for name, table in _COUNTED.items()
            },
        },
        owned("address", "devices"),
        owned("uuid", "mdevs"),
        instances,
        frozenset(unfinished),
    )


def keep_outside(
    copy: sqlite3.Connection, now: sqlite3.Connection, spent: str
) -> None:
    """Let a copy say of the world outside what is known of it now.

    What we made in Placement, what hangs in this boot, and which devices for
    one time were used is no less so for an older store's being restored. What
    was found equal in Placement was so of another store.

    :param copy: in memory, with this version's tables
    :param now: the present store's, with the same
    :param spent: the fact that lists the devices that were used
    """
    for table in _OUTSIDE:
        rows = now.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - ours
        copy.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            copy.executemany(
                f"INSERT INTO {table} VALUES ({marks})",  # noqa: S608 - ours
                rows,
            )
    used = {*listed(copy, spent), *listed(now, spent)}
    if used:
        _set(copy, spent, json.dumps(sorted(used)))


def begin_again(copy: sqlite3.Connection, instances: ty.Iterable[str]) -> None:
    """Let claims be on disk alone, until Placement and the host have them.

    :param copy: in memory, with this version's tables
    :param instances: whose
    """
    states = device.ClaimState
    for instance in instances:
        copy.execute(
            "UPDATE devices SET status = ? WHERE instance_uuid = ?"
            " AND status = ?",
            (device.Status.CLAIMED, instance, device.Status.ALLOCATED),
        )
        copy.execute(
            "UPDATE claims SET state = ? WHERE instance_uuid = ?"
            " AND state != ?",
            (states.CLAIMED, instance, states.RELEASING),
        )


def finish(
    copy: sqlite3.Connection, now: sqlite3.Connection | None = None
) -> None:
    """Take from a copy what is true of no store that is restored.

    :param now: the present store's; what was decided on it counts no more
    """
    copy.execute("UPDATE providers SET fingerprint = NULL")
    copy.execute("DELETE FROM meta WHERE name = ?", (_HOST,))
    if now is not None:
        ((value,),) = now.execute("SELECT value FROM generation")
        copy.execute(
            "UPDATE generation SET value = max(value, ?) + 1", (value,)
        )


def is_same(copy: sqlite3.Connection, now: sqlite3.Connection) -> bool:
    """Whether two stores say the same, but for how often they were written."""
    return _said(copy) == _said(now)


def tables(link: sqlite3.Connection) -> set[str]:
    """The names of all tables."""
    return {
        name
        for (name,) in link.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
    }


def _count(link: sqlite3.Connection, table: str) -> int:
    ((number,),) = link.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - ours
    return int(number)


def listed(link: sqlite3.Connection, name: str) -> list[str]:
    """A fact that is a list.

    :raises ValueError: nobody of ours wrote it
    :raises TypeError: the same
    """
    found = link.execute(
        "SELECT value FROM meta WHERE name = ?", (name,)
    ).fetchone()
    return [] if found is None else [*map(str, json.loads(found[0]))]


def say_host(link: sqlite3.Connection, host: str) -> None:
    """Let a store say of which host it is."""
    if "meta" in tables(link):
        _set(link, _HOST, host)


def _set(link: sqlite3.Connection, name: str, value: str) -> None:
    link.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def _said(link: sqlite3.Connection) -> list[str]:
    """All but what :func:`finish` makes another in any case."""
    return sorted(
        line
        for line in link.iterdump()
        if not line.startswith(
            (
                'INSERT INTO "generation"',
                'INSERT INTO "providers"',
                f"INSERT INTO \"meta\" VALUES('{_HOST}'",
            )
        )
    )
