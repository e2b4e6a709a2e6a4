# SPDX-License-Identifier: Apache-2.0
"""What we wrote ourselves, or somebody in our place: journal, stores, locks."""

import contextlib
import copy
import fcntl
import json
import os
import pathlib
import random
import shutil
import sqlite3
import typing as ty
import uuid
import zlib
from unittest import mock

from nova_vfio_variant import lock_file, shown
from nova_vfio_variant.host.act import (
    journal,
    lock,
    privileged,
    sysfs_writer,
)
from nova_vfio_variant.host.decide import plan, planning
from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.pci import function
from nova_vfio_variant.testing import placement
from nova_vfio_variant.tracker import lock as state_lock
from nova_vfio_variant.tracker import sqlite
from tests import sample_hosts
from tests.functional import check_host
from tests.hostile import inside, kind, mutations

_BOOT = "b0000000-0000-4000-8000-000000000001"
_VF = "0000:21:10.0"
_INSTANCE = "11111111-1111-4111-8111-111111111111"
_BEFORE = function_state.State("igbvf", None)
_AFTER = function_state.State("vfio-pci", "vfio-pci")
_STEPS = planning.driver_steps(_VF, _BEFORE, _AFTER, "asked for")
_BIND = plan.Change(
    _VF,
    plan.What.DRIVER,
    _BEFORE,
    _AFTER,
    _STEPS,
    sample_hosts.PF,
    identity=function.Identity("8086", "10ca", physfn=sample_hosts.PF),
)
_MORE = plan.Change(
    sample_hosts.PF,
    plan.What.VFS,
    function_state.State("igb", None, 2, True),
    function_state.State("igb", None, 4, True),
    (
        plan.Step(
            sample_hosts.PF, plan.Action.SET_NUMVFS, "4", "2", "asked for"
        ),
    ),
    lost={_VF: _BEFORE},
)
_MODULE = plan.Change(
    "igbvf_vfio_pci",
    plan.What.MODULE,
    function_state.State(),
    function_state.State(),
    (
        plan.Step(
            "igbvf_vfio_pci", plan.Action.LOAD_MODULE, "", "", "asked for"
        ),
    ),
)


def _entries(boot: str) -> list[dict[str, ty.Any]]:
    """The lines of a journal, as values."""
    found: list[dict[str, ty.Any]] = [
        {"kind": "journal", "number": 0, "version": 1, "boot": boot}
    ]
    for number, change in enumerate((_MODULE, _MORE, _BIND), start=1):
        found.append(
            {
                "kind": "begin",
                "number": number,
                "purpose": "apply",
                "change": change.as_data(),
            }
        )
        for step in change.steps:
            found += [
                {
                    "kind": "begun",
                    "number": number,
                    "step": step.as_data(),
                    "why": "",
                },
                {
                    "kind": "done",
                    "number": number,
                    "step": step.as_data(),
                    "why": "",
                },
            ]
        if number < 3:
            found.append(
                {"kind": "end", "number": number, "outcome": "done", "why": ""}
            )
    found.append(
        {"kind": "hung", "number": 3, "step": _STEPS[0].as_data(), "why": "x"}
    )
    return found


def written(texts: ty.Sequence[str]) -> bytes:
    """A journal of these lines, with the checksums that they need."""
    checksum, lines = 0, []
    for text in texts:
        data = text.encode("utf-8", "replace")
        checksum = zlib.crc32(data, checksum)
        lines.append(b"%08x %s\n" % (checksum, data))
    return b"%08d " % len(lines) + b"".join(lines)


class Journals(kind.Kind):
    """A journal that is damaged, or says what nobody wrote."""

    name = "journals"
    share = 18

    def make(self, rng: random.Random) -> kind.Input:
        """Bytes of one; what is damaged where it counts can't be taken."""
        # What another boot left isn't asked about: a reboot undid it.
        now = rng.random() < 0.9
        entries = _entries(_BOOT if now else "another")
        entries = entries[: rng.randint(1, len(entries))]
        good = written([json.dumps(entry) for entry in entries])
        way = rng.random()
        if way < 0.15:
            # Behind the count, before what ends the last line.
            bad = bytearray(good)
            bad[rng.randrange(9, len(good))] ^= 1 << rng.randrange(8)
            return kind.Input(bytes(bad), damaged=now)
        if way < 0.25:
            cut = good[: rng.randrange(len(good))]
            return kind.Input(cut, damaged=now)
        if way < 0.35:
            return kind.Input(mutations.data(rng, good))
        for _ in range(rng.choice((1, 1, 2))):
            place = rng.randrange(len(entries))
            if rng.random() < 0.2:
                entries.insert(place, copy.deepcopy(rng.choice(entries)))
            else:
                entries[place] = mutations.value(rng, entries[place])
        texts = [json.dumps(entry) for entry in entries]
        if rng.random() < 0.15:
            place = rng.randrange(len(texts))
            texts[place] = mutations.as_json(rng, entries[place])
        return kind.Input(written([text.replace("\n", " ") for text in texts]))

    def is_for_a_command(self, given: ty.Any) -> bool:
        """One of four is."""
        return len(given) % 12 < 3

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Open it, or have a command act on it."""
        state = place.work / "state"
        state.mkdir()
        (state / journal.NAME).write_bytes(given)
        number = len(given) % 12
        if number < 3:
            return self._acted(place, number)
        opened = journal.Journal.open(state, _BOOT)
        for subject in (_VF, sample_hosts.PF):
            opened.account(subject)
        shown.line(str(opened.unsettled))
        for unfinished in opened.unfinished.values():
            for step in unfinished.change.steps:
                shown.line(f"{step} {step.undo}")
        opened.close()
        # What is of another boot, or says nothing yet, is no damage.
        return not opened._file.is_stale

    @staticmethod
    def _acted(place: kind.Place, number: int) -> bool:
        host = sample_hosts.with_igb(place.work / "host")
        host.write(f"sys/bus/pci/devices/{sample_hosts.PF}/sriov_numvfs", b"4")
        boot = host.root / function_state.BOOT_ID
        boot.parent.mkdir(parents=True, exist_ok=True)
        boot.write_text(f"{_BOOT}\n")
        conf = place.work / "nova.conf"
        conf.write_text("[pci]\n")
        words = (
            ("host", "recover"),
            ("host", "restore", "--dry-run"),
            ("host", "restore"),
        )
        with host.plugged_in(), mock.patch.object(sysfs_writer, "_SETTLE", 0):
            done = inside.run(
                *(f"--config-file={conf}", f"--host-root={host.root}"),
                *(f"--state-path={place.work}/state", *words[number]),
            )
        return done.status < 2


#: A card whose VFs are for guests, as Placement is to have them.
CONFIGURATION: ty.Final = """\
[DEFAULT]
host = compute-1
[filter_scheduler]
pci_in_placement = true
[pci]
report_in_placement = true
device_spec = { "vendor_id": "8086", "product_id": "10ca", \
"resource_class": "NIC" }
alias = { "name": "nic", "device_type": "type-VF", "resource_class": "NIC" }
"""


class Made:
    """A node's state that is made once: three VFs, one of them claimed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.conf = folder / "nova.conf"
        self.host = folder / "host"
        self.state = folder / "state"
        self.options = (
            f"--config-file={self.conf}",
            f"--host-root={self.host}",
        )

    @classmethod
    def make(cls, place: kind.Place) -> ty.Self:
        """Make it, or give what was made already."""
        made = cls(place.root.parent / f"{place.root.name}-made")
        if made.folder.exists():
            return made
        made.folder.mkdir()
        check_host.build(made.host, check_host.card(vfs=3))
        made.conf.write_text(CONFIGURATION)
        rng = random.Random(0)
        with (
            mock.patch.object(
                uuid,
                "uuid4",
                lambda: uuid.UUID(int=rng.getrandbits(128), version=4),
            ),
            placement_of(str(made.state)),
        ):
            done = inside.run(
                *(*made.options, f"--state-path={made.state}"),
                *("claim", "create", "--instance", _INSTANCE),
                "--alias=nic:1",
            )
        if done.status:
            raise RuntimeError(f"no state was made: {done}")
        return made

    def copy(self, place: kind.Place) -> pathlib.Path:
        """A copy of the state, to be damaged."""
        state = place.work / "state"
        shutil.copytree(self.state, state)
        return state


@contextlib.contextmanager
def placement_of(state_path: str) -> ty.Iterator[None]:
    """An embedded Placement that this process has meanwhile."""
    with placement.EmbeddedPlacement(state_path):
        yield


#: What an edit does to a database: a statement, or bytes of its file.
Edit = tuple[str, ty.Any, ty.Any]

#: Columns with text of ours in them, and what nobody ever wrote there.
_COLUMNS: ty.Final = (
    *("devices.address", "devices.vendor_id", "devices.product_id"),
    *("devices.dev_type", "devices.numa_node", "devices.parent_addr"),
    *("devices.resource_class", "devices.traits", "devices.tags"),
    *("devices.status", "devices.instance_uuid", "devices.request_id"),
    *("devices.alias_name", "devices.extra_info", "devices.pending"),
    *("devices.identity", "devices.mark", "devices.id", "generation.value"),
    *("meta.value", "meta.name", "providers.uuid", "providers.generation"),
    *(
        "providers.fingerprint",
        "providers.name",
        "alembic_version.version_num",
    ),
)
SQL_VALUES: ty.Final[tuple[ty.Any, ...]] = (
    *(None, 0, -1, 2**63 - 1, 1.5, float("inf"), b"", b"\xff\xfe\0", "", " "),
    *("x", "[", "{}", "[]", "null", "[1]", '{"a": 1}', '"x"', "1", "NaN"),
    *("[" * 100_000, '{"a":' * 50_000, "\x1b[31m", "\u202e", "A" * 100_000),
    *("0000:25:00.4", "../../guard/canary", "allocated", "claimed", "removed"),
    *(
        '{"managed": "perhaps"}',
        '[["a"]]',
        "[[1, 2]]",
        '{"vendor_id": 1}',
        "9999",
    ),
)
_STATEMENTS: ty.Final = (
    *("DELETE FROM generation", "DELETE FROM alembic_version"),
    *("DROP TABLE devices", "DROP TABLE providers", "DELETE FROM devices"),
    "INSERT INTO alembic_version VALUES ('0001')",
    "ALTER TABLE devices RENAME COLUMN tags TO x",
    "ALTER TABLE devices ADD COLUMN x",
    "CREATE TRIGGER t BEFORE UPDATE ON devices BEGIN SELECT RAISE(FAIL, 'no'); END",
    "CREATE VIEW v AS SELECT * FROM nowhere",
    "PRAGMA user_version = 7",
    "INSERT INTO quarantine VALUES (1, 'x', char(27), 'y')",
    "INSERT INTO allowances VALUES ('x', 'VFIO512', 'y', 'z', 'w')",
    "INSERT INTO allowances VALUES ('0000:25:00.4', 'VFIO512', 'y', '[]', 'w')",
    "INSERT INTO reserved VALUES ('compute-1', 'X', -1, 'a', 'b', 'c', 'd')",
    "UPDATE devices SET instance_uuid = NULL",
    "UPDATE devices SET status = 'allocated'",
    "UPDATE devices SET parent_addr = address",
)


def edit(path: pathlib.Path, edits: ty.Iterable[Edit]) -> None:
    """Do it to a database."""
    for what, first, second in edits:
        if what == "sql":
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(sqlite3.connect(path)) as opened,
                opened,
            ):
                opened.execute(first, second)
            continue
        data = bytearray(path.read_bytes() if path.exists() else b"")
        if what == "bytes":
            data[first : first + len(second)] = second
        elif what == "cut":
            del data[int(first * len(data)) :]
        elif what == "log":
            path.with_name(path.name + first).write_bytes(second)
        path.write_bytes(data)


def _edits(rng: random.Random) -> tuple[tuple[Edit, ...], bool]:
    """Some edits, and whether nobody may take what they make."""
    way = rng.random()
    if way < 0.1:
        return (("cut", rng.uniform(0, 0.9), None),), True
    if way < 0.2:
        return (("bytes", 0, rng.randbytes(100)),), True
    if way < 0.45:
        return tuple(
            (
                "bytes",
                rng.randrange(100, 60000),
                rng.randbytes(rng.choice((1, 1, 4, 100, 4096))),
            )
            for _ in range(rng.choice((1, 2, 8)))
        ), False
    if way < 0.5:
        end = rng.choice(("-wal", "-shm", "-journal"))
        return (
            ("log", end, rng.randbytes(rng.choice((0, 1, 32, 5000)))),
        ), False
    if way < 0.65:
        return (("sql", rng.choice(_STATEMENTS), ()),), False
    found: list[Edit] = []
    for _ in range(rng.choice((1, 1, 2))):
        table, _, column = rng.choice(_COLUMNS).partition(".")
        which = rng.choice(("", " WHERE rowid = 1", " WHERE 1"))
        found.append(
            (
                "sql",
                f"UPDATE {table} SET {column} = ?{which}",
                (rng.choice(SQL_VALUES),),
            )
        )
    return tuple(found), False


class _Databases(kind.Kind):
    """A database of the state path."""

    file: ty.ClassVar[str]
    words: ty.ClassVar[tuple[tuple[str, ...], ...]]

    def begin(self, place: kind.Place) -> None:
        """Make the good one."""
        self.made = Made.make(place)

    def make(self, rng: random.Random) -> kind.Input:
        """Edits, and which command then comes by."""
        edits, damaged = _edits(rng)
        number = ("command", rng.randrange(len(self.words)), None)
        return kind.Input((number, *edits), damaged)

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Have a command read it, or write it."""
        state = self.made.copy(place)
        number = sum(first for what, first, _ in given if what == "command")
        edit(
            state / self.file,
            [change for change in given if change[0] != "command"],
        )
        with placement_of(str(state)):
            done = inside.run(
                *self.made.options,
                f"--state-path={state}",
                *self.words[number],
            )
        return done.status < 2


class Stores(_Databases):
    """The tracker's store, damaged or forged."""

    name = "stores"
    share = 10
    file = sqlite.NAME
    words = (
        ("device", "list", "-fjson"),
        ("device", "show", "0000:25:00.4"),
        ("claim", "list"),
        ("device", "sync"),
        ("device", "sync", "--dry-run"),
        ("guest", "xml", "--instance", _INSTANCE),
        ("guest", "qemu", "--address", "0000:25:00.4"),
        ("device", "disallow", "0000:25:00.4"),
        ("inventory", "diff"),
        ("inventory", "report"),
        ("claim", "delete", _INSTANCE),
    )


class PlacementStores(_Databases):
    """The embedded Placement's, and ours with it."""

    name = "placement.sqlite"
    share = 2
    file = "placement.sqlite"
    words = (
        ("inventory", "diff"),
        ("inventory", "report"),
        ("claim", "delete", _INSTANCE),
        ("claim", "create", "--instance", _INSTANCE, "--alias=nic:2"),
    )

    def make(self, rng: random.Random) -> kind.Input:
        """Bytes of it, for its tables are Placement's."""
        if rng.random() < 0.3:
            edits: tuple[Edit, ...] = (("cut", rng.uniform(0.001, 0.5), None),)
            damaged = True
        else:
            edits = tuple(
                (
                    "bytes",
                    rng.choice((0, rng.randrange(300_000))),
                    rng.randbytes(rng.choice((1, 100, 4096))),
                )
                for _ in range(rng.choice((1, 4)))
            )
            damaged = False
        number = ("command", rng.randrange(len(self.words)), None)
        return kind.Input((number, *edits), damaged)


class LockNotes(kind.Kind):
    """Who is said to hold a lock."""

    name = "lock notes"
    share = 4

    def make(self, rng: random.Random) -> kind.Input:
        """What stands in the file of a lock that is held."""
        good = b"1234 nova-vfio host apply --only 0000:41:00.0\n"
        if rng.random() < 0.5:
            return kind.Input(mutations.data(rng, good))
        text = mutations.text(rng, good.decode())
        return kind.Input(text.encode(errors="replace"))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Wait for it, and be told."""
        shown.line(lock_file.told(given))
        path = place.work / lock.FOLDER / lock.HOST
        path.parent.mkdir(parents=True)
        path.write_bytes(given)
        state = place.work / "state" / state_lock.NAME
        state.parent.mkdir()
        state.write_bytes(given)
        with state_lock.state_lock(state.parent, 1):
            pass
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with lock.hold(place.work, [lock.HOST], 0):
                raise kind.Fault("a lock that is held was taken")
        finally:
            os.close(fd)


class Privileged(kind.Kind):
    """What whoever isn't root asks of the process that is."""

    name = "privileged calls"
    share = 8

    def begin(self, place: kind.Place) -> None:
        """Have the calls done here, on a host that is a folder."""
        privileged.context.set_client_mode(False)

    def make(self, rng: random.Random) -> kind.Input:
        """Arguments of one call."""
        step = rng.choice((*_STEPS, *_MORE.steps, *_MODULE.steps)).as_data()
        keys: ty.Any = ["host", "group-1", f"function-{_VF}", "module-x"]
        timeout: ty.Any = 0.0
        holder: ty.Any = "1 nova-vfio"
        if rng.random() < 0.6:
            step = mutations.value(rng, step)
        elif rng.random() < 0.5:
            keys = mutations.value(rng, keys)
        else:
            timeout = mutations.value(rng, timeout)
            holder = mutations.value(rng, holder)
        return kind.Input(
            (
                ("keys", keys),
                ("timeout", timeout),
                ("holder", holder),
                ("step", step),
            )
        )

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Take locks, do a step, give the locks back."""
        root = place.work / "host"
        check_host.build(root, check_host.card(0x21, vfs=1))
        home = root / "sys/devices/pci0000:00" / sample_hosts.PF
        (home / "sriov_numvfs").write_text("2")
        (home / "driver_override").write_text("(null)\n")
        asked = dict(given)
        with (
            mock.patch.object(privileged, "ROOT", str(root)),
            mock.patch.object(sysfs_writer, "_SETTLE", 0),
        ):
            took, *_ = privileged.take_locks(
                asked.get("keys", []),
                asked.get("timeout", 0),
                asked.get("holder", ""),
            )
            privileged.take_locks(
                ["host", "group-0", "module-igbvf_vfio_pci"], 0, "1 x"
            )
            said, *_ = privileged.do_step(asked.get("step", {}))
            privileged.look_into_processes()
            while privileged._held:
                privileged.give_locks()
        return (took, said) == ("ok", "ok")


KINDS: ty.Final[tuple[kind.Kind, ...]] = (
    Journals(),
    Stores(),
    PlacementStores(),
    LockNotes(),
    Privileged(),
)
