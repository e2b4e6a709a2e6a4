# SPDX-License-Identifier: Apache-2.0
"""A whole node, through every command: its mediated devices and its store.

The store is any version's, with a row in each table; something of it, of what
the host shows of mediated devices, or of what VDSM says isn't as it should be.
"""

import contextlib
import os
import pathlib
import random
import shutil
import sqlite3
import typing as ty
from unittest import mock

from nova_vfio_variant.host.act import sysfs_writer
from nova_vfio_variant.testing import fake_host
from nova_vfio_variant.tracker import models, sqlite
from tests import sample_hosts
from tests.functional import cli_case
from tests.functional.old_stores import commands, stores
from tests.hostile import host_files, inside, kind, mutations, state_files

_PARENT: ty.Final = "sys/devices/virtual/mdpy/mdpy"
_TYPE: ty.Final = f"{_PARENT}/mdev_supported_types/mdpy-hd"
#: Of ours, and of another tool's.
_OURS: ty.Final = "c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a11"
_THEIRS: ty.Final = "c3f2a8de-0b1f-4a55-9a52-3f5f5d6a0a12"
_SINCE: ty.Final = "2026-01-01T00:00:00+00:00"
_IDENTITY: ty.Final = '{"vendor_id": "8086", "product_id": "10ca"}'

#: A row of each table of the store, made where an old store has none.
ROWS: ty.Final[dict[str, dict[str, ty.Any]]] = {
    "devices": {},
    "generation": {"id": 1, "value": 1},
    "meta": {"name": "x", "value": "x"},
    "providers": {"name": "x", "uuid": cli_case.TWO, "generation": 1},
    "quarantine": {"id": 1, "address": commands.FREE, "reason": "x"},
    "allowances": {
        "address": commands.FREE,
        "code": "VFIO512",
        "reason": "x",
        "identity": _IDENTITY,
        "since": _SINCE,
    },
    "reserved": {"provider": "x", "resource_class": "VGPU", "units": 1},
    "vgpu_types": {
        "card": sample_hosts.PF,
        "type_id": "557",
        "name": "NVIDIA A16-4Q",
        "framebuffer_mib": 4096,
        "identity": _IDENTITY,
    },
    "vgpus": {
        "address": commands.FREE,
        "type_id": "557",
        "origin": "claim",
        "instance_uuid": cli_case.ONE,
        "assignment": cli_case.TWO,
        "since": _SINCE,
        "identity": _IDENTITY,
    },
    "vgpu_reports": {
        "address": commands.FREE,
        "assignment": cli_case.TWO,
        "instance_uuid": cli_case.ONE,
        "ok": 0,
        "at": _SINCE,
        "identity": _IDENTITY,
    },
    "names": {
        "id": cli_case.TWO,
        "address": commands.FREE,
        "name": "one",
        "identity": _IDENTITY,
        "since": _SINCE,
    },
    "cordons": {
        "address": sample_hosts.PF,
        "reason": "x",
        "identity": _IDENTITY,
        "since": _SINCE,
    },
    "mdevs": {
        "uuid": _OURS,
        "kind": "mdpy/mdpy-hd",
        "instance_uuid": cli_case.ONE,
        "assignment": cli_case.TWO,
        "since": _SINCE,
        "attributes": '["x=1"]',
    },
}
#: Words behind each command.
WORDS: ty.Final[dict[str, tuple[str, ...]]] = {
    **{name: words for name, (words, _) in commands.WRITE.items()},
    **commands.ASK,
    **commands.TELL,
    **commands.LEAVE,
    **commands.OF_A_CLOUD,
}
_NAMES: ty.Final = (
    *("mdpy-\x1b[31m", "mdpy-\n", "\udcff", "a" * 255, "mdpy-hd ", "x/y"),
    *("..hd", "\u0664", "mdpy-\u202e"),
)
#: Those that have most to do with mediated devices are tried more often.
_MORE: ty.Final[tuple[tuple[str, ...], ...]] = (
    *(("mdev", "types"), ("mdev", "list"), ("mdev", "create", "mdpy-hd")),
    *(("mdev", "delete", _OURS), ("mdev", "delete", _THEIRS), ("reconcile",)),
    ("mdev", "create", "mdpy-hd", "--attribute=vgpu_params=x"),
    *(("mdev", "create", name) for name in _NAMES[:2]),
    ("mdev", "definition", _OURS, "--for", "mdevctl"),
    ("guest", "xml", "--instance", cli_case.ONE, "--display", "--ramfb"),
    ("guest", "qemu", "--instance", cli_case.ONE),
    ("guest", "cloud-hypervisor", "--instance", cli_case.ONE),
    ("migration", "check", "--instance", cli_case.ONE),
    ("migration", "plan", "--instance", cli_case.ONE, "--to", "host"),
    ("host", "list"),
    ("config", "check"),
    *(("guest", "vdsm-hook", "before_vm_start"),) * 2,
    ("guest", "vdsm-hook", "before_vm_migrate_destination"),
    ("guest", "vdsm-hook", "after_vm_destroy"),
)
_CELLS: ty.Final = (
    *state_files.SQL_VALUES,
    *("mdpy/mdpy-hd", "mdpy/", "/", "../../x/y", "a/b/c", "0000:99:00.0/x"),
    *('["remove=1"]', '["x"]', '[["x=1"]]', '{"x": 1}', "[null]", _OURS),
    *(_OURS.upper(), f"{_OURS}0", "\x1b[31m", "2026-13-01", "tomorrow"),
)
_COLUMNS: ty.Final = tuple(
    (table.name, column.name)
    for table in models.METADATA.sorted_tables
    for column in table.columns
)
_COUNTS: ty.Final = (
    *(b"", b"\n", b"many\n", b"-1\n", b"9" * 30, b"\xff\n", b"1 2\n"),
    *("\u0664\n".encode(), b"vfio-x\n", b"vfio-pci\0\n", b"\x1b[2J\n"),
)
_DOMAIN: ty.Final = f"""\
<?xml version='1.0' encoding='utf-8'?>
<domain xmlns:ovirt-vm="http://ovirt.org/vm/1.0" type="kvm">
  <name>vm</name><uuid>{cli_case.THREE}</uuid>
  <metadata><ovirt-vm:vm><ovirt-vm:custom>
    <ovirt-vm:mdev_type>mdpy-hd</ovirt-vm:mdev_type>
  </ovirt-vm:custom></ovirt-vm:vm></metadata>
  <devices/>
</domain>
"""


def _place(rng: random.Random) -> str:
    """Where something is put that no kernel has there."""
    device = rng.choice((_OURS, _THEIRS))
    return rng.choice(
        (
            *(f"{_TYPE}/available_instances",) * 4,
            *(f"{_TYPE}/device_api",) * 2,
            *(f"{_TYPE}/name", f"{_TYPE}/description", f"{_TYPE}/create"),
            *(_TYPE, f"{_PARENT}/mdev_supported_types", _PARENT),
            f"{_PARENT}/mdev_supported_types/{rng.choice(_NAMES)}/name",
            f"sys/class/mdev_bus/{rng.choice(_NAMES)}",
            *("sys/class/mdev_bus/mdpy", "sys/class/mdev_bus", "sys/bus/mdev"),
            *(f"sys/bus/mdev/devices/{device}",) * 3,
            f"sys/bus/mdev/devices/{rng.choice((_OURS[:-1], 'x', *_NAMES))}",
            *(f"{_PARENT}/{device}/mdev_type",) * 2,
            *(f"{_PARENT}/{device}/remove", f"{_PARENT}/{device}/driver"),
            *(f"{_PARENT}/{device}/iommu_group", f"{_PARENT}/{device}"),
        )
    )


def _remove(path: pathlib.Path) -> None:
    """Take it away, whatever it is, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Nodes(kind.Kind):
    """A node of which something isn't as it should be."""

    name = "nodes"
    share = 12

    def begin(self, place: kind.Place) -> None:
        """Make the host once."""
        self._host = place.root.parent / f"{place.root.name}-node"
        if self._host.exists():
            return
        host = sample_hosts.with_igb(self._host)
        host.add_mdev_parent("mdpy", {"mdpy-hd": 1}, 4)
        for uuid in (_OURS, _THEIRS):
            host.write(f"{_TYPE}/create", uuid.encode())

    def make(self, rng: random.Random) -> kind.Input:
        """A version, a command, and what is odd."""
        words = rng.choice(_MORE)
        if rng.random() < 0.5:
            name = rng.choice(sorted(WORDS))
            words = (*name.split(), *WORDS[name])
        versions = (*stores.OLDER, *(models.HEAD,) * 6)
        found: list[ty.Any] = [
            ("version", rng.choice(versions)),
            ("words", words),
            ("xml", _DOMAIN),
        ]
        for _ in range(rng.choice((1, 1, 2, 4))):
            way = rng.random()
            if way < 0.45:
                column = rng.choice(_COLUMNS)
                found.append(("cell", *column, rng.choice(_CELLS)))
            elif way < 0.9:
                what = rng.choice(("gone", "file", "file", "fifo", "link"))
                content: bytes | str = rng.choice(_COUNTS)
                if what == "link":
                    content = rng.choice(host_files.TARGETS)
                place = _place(rng)
                if what == "fifo" and place.endswith("available_instances"):
                    # The host's kernel writes it, and would wait itself.
                    what = "gone"
                found.append(("put", place, what, content))
            elif way < 0.95:
                found[2] = ("xml", mutations.text(rng, _DOMAIN))
            else:
                value = mutations.text(rng, "mdpy-hd|spread").replace("\0", "")
                found.append(("type", value.encode(errors="replace").decode()))
        return kind.Input(tuple(found))

    def is_for_a_command(self, given: ty.Any) -> bool:
        """The kernel of its host is in this process."""
        return False

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Run the command there."""
        root, state = place.work / "host", place.work / "state"
        shutil.copytree(self._host, root, symlinks=True)
        said = {first: more for first, *more in given}
        version = said.get("version", [models.HEAD])[0]
        state.mkdir(mode=0o700)
        shutil.copy(stores.HERE / version / "host-journal", state)
        self._fill(state / sqlite.NAME, version)
        for what, *more in given:
            if what == "cell":
                state_files.edit(
                    state / sqlite.NAME,
                    [("sql", f"UPDATE {more[0]} SET {more[1]} = ?", more[2:])],
                )
            elif what == "put":
                self._put(root, *more)
        shutil.copy(stores.HERE / models.HEAD / "nova.conf", place.work)
        (place.work / "cards.json").write_text("[]")
        domain = place.work / "domain.xml"
        domain.write_text(said.get("xml", [""])[0], errors="replace")
        variables = {"vmId": cli_case.THREE, "_hook_domxml": str(domain)}
        if "type" in said:
            variables["mdev_type"] = said["type"][0]
        host = fake_host.FakeHost(root)
        with (
            contextlib.chdir(place.work),
            mock.patch.dict(os.environ, variables),
            mock.patch.object(sysfs_writer, "_SETTLE", 0),
            host.plugged_in(),
            state_files.placement_of(str(state)),
        ):
            done = inside.run(
                *("--config-file=nova.conf", "--host-root=host"),
                *(
                    "--state-path=state",
                    *said.get("words", [("mdev list",)])[0],
                ),
            )
        return done.status < 2

    @staticmethod
    def _fill(path: pathlib.Path, version: str) -> None:
        """Make the store, with a row in each of its tables."""
        stores.load(path, version)
        path.chmod(0o600)
        for table, row in ROWS.items():
            if row:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                into = f"INTO {table} ({names}) VALUES ({marks})"
                state_files.edit(
                    path,
                    [("sql", f"INSERT OR IGNORE {into}", tuple(row.values()))],
                )

    @staticmethod
    def _put(
        root: pathlib.Path, rel: str, what: str, content: bytes | str
    ) -> None:
        """Put something there, in place of what is there."""
        with contextlib.suppress(OSError, ValueError):
            _remove(root / rel)
            if what != "gone":
                host_files.build(root, [(rel, what, content)])


def filled(path: pathlib.Path) -> dict[str, int]:
    """How many rows each table of a store has that inputs begin with."""
    Nodes._fill(path, models.HEAD)
    with contextlib.closing(sqlite3.connect(path)) as opened:
        return {
            table: opened.execute(f"SELECT count(*) FROM {table}").fetchone()[
                0
            ]
            for table in models.METADATA.tables
        }


KINDS: ty.Final[tuple[kind.Kind, ...]] = (Nodes(),)
