# SPDX-License-Identifier: Apache-2.0
"""State paths, run paths and output folders in which a stranger was.

Each file that is read or made there is tried with whatever may be planted in
its place. These tests change owners, so they are root's to run.
"""

import collections.abc
import contextlib
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import typing as ty

from nova_vfio_variant import exception, own_files
from nova_vfio_variant.cli import guest, log_lines
from nova_vfio_variant.host.act import journal
from nova_vfio_variant.host.act import lock as host_lock
from nova_vfio_variant.host.observe import snapshot
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.testing import placement as fixture
from nova_vfio_variant.tracker import lock, sqlite, store
from tests import base
from tests.functional import check_host, cli_case
from tests.functional.children import Child

#: A user, and a group of the same number, that every system has.
NOBODY = 65534
#: When a damaged database was written, as a file's name and in seconds.
WHEN = ("20200101T000000Z", 1577836800)
TEXT = b"root's own\n"

Use = collections.abc.Callable[[pathlib.Path], object]


def open_store(state: pathlib.Path) -> None:
    store.Store.open(state).close()


def read_store(state: pathlib.Path) -> None:
    with store.Store.open(state, read_only=True) as opened:
        opened.devices()


def take_lock(state: pathlib.Path) -> None:
    with lock.state_lock(state, 0):
        pass


def connect(state: pathlib.Path) -> None:
    # As in a process of its own, which has one for as long as it lives.
    with fixture.EmbeddedPlacement(str(state)) as running:
        running.client.find("host")


def write_journal(state: pathlib.Path) -> None:
    """Go on with a journal, of which an earlier boot's is put aside."""
    with contextlib.closing(journal.Journal.open(state, "now")) as opened:
        opened.forget("0000:25:00.4", "it is gone")


def after_reboot(state: pathlib.Path) -> None:
    with contextlib.closing(journal.Journal.open(state, "before")) as opened:
        opened.forget("0000:25:00.4", "it is gone")
    write_journal(state)


def read_journal(state: pathlib.Path) -> None:
    journal.Journal.open(state, "now")


def damaged(state: pathlib.Path) -> None:
    """Read a damaged database, which is kept aside."""
    file = state / sqlite.NAME
    file.write_bytes(b"nonsense" * 1000)
    os.utime(file, (WHEN[1], WHEN[1]))
    read_store(state)


def take_host_lock(state: pathlib.Path) -> None:
    root = state / "host"
    root.mkdir(exist_ok=True)
    root.chmod(0o755)
    with host_lock.hold(root, ["host"], 0):
        pass


def put_xml(state: pathlib.Path) -> None:
    guest._put(state / "0000:25:00.4.xml", "<hostdev/>\n")


def record(state: pathlib.Path) -> None:
    tree = opening.open_tree(str(state.parent / "host"))
    snapshot.record(tree, state / "host.tar.gz")


def log_to(state: pathlib.Path) -> None:
    handler = log_lines.to_file(str(state / "our.log"))
    handler.stream.close()


DATABASE = sqlite.NAME
ASIDE = f"{DATABASE}.corrupt-{WHEN[0]}"
RUN = f"host/{host_lock.FOLDER}"

#: Each file that is read or made, with what does so.
FILES: dict[str, tuple[Use, ...]] = {
    DATABASE: (open_store, read_store),
    f"{DATABASE}-wal": (open_store, read_store),
    f"{DATABASE}-shm": (open_store, read_store),
    f"{DATABASE}-journal": (open_store, read_store),
    ASIDE: (damaged,),
    lock.NAME: (take_lock,),
    journal.NAME: (read_journal, write_journal),
    f"{journal.NAME}.previous": (after_reboot,),
    "placement.sqlite": (connect,),
    "placement.sqlite-wal": (connect,),
    "placement.sqlite-journal": (connect,),
    f"{RUN}/host": (take_host_lock,),
    "0000:25:00.4.xml": (put_xml,),
    "host.tar.gz": (record,),
    "our.log": (log_to,),
}
#: Each folder in which a file is filled before it has its name.
FOLDERS: dict[str, Use] = {
    f".{DATABASE}.new": open_store,
    f".{ASIDE}.new": damaged,
    f".{journal.NAME}.new": write_journal,
    ".0000:25:00.4.xml.new": put_xml,
    ".host.tar.gz.new": record,
}
#: What made files before they had their name in older versions: no more.
UNUSED = {f"{journal.NAME}.new": write_journal}


def link(path: pathlib.Path, target: pathlib.Path) -> None:
    path.symlink_to(target)


def dangling(path: pathlib.Path, target: pathlib.Path) -> None:
    path.symlink_to(target.with_name("not there"))


def hard_link(path: pathlib.Path, target: pathlib.Path) -> None:
    path.hardlink_to(target)


def fifo(path: pathlib.Path, _target: pathlib.Path) -> None:
    os.mkfifo(path)


def a_socket(path: pathlib.Path, _target: pathlib.Path) -> None:
    here = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as made:
        # The path itself may be too long for one.
        made.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def of_nobody(path: pathlib.Path, target: pathlib.Path) -> None:
    shutil.copy(target, path)
    os.chown(path, NOBODY, 0)


def for_all(path: pathlib.Path, target: pathlib.Path) -> None:
    shutil.copy(target, path)
    path.chmod(0o666)


#: What may stand in a file's place, with a word of what is said about it.
PLANTED: dict[str, collections.abc.Callable[..., None]] = {
    "is a symbolic link": link,
    "is a symbolic link ": dangling,
    "has 2 names": hard_link,
    "is a FIFO": fifo,
    "is a socket": a_socket,
    "belongs to user nobody": of_nobody,
    "may be written by others": for_all,
}


class StrangerCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp()).resolve()
        self.target = self.folder / "target"
        check_host.build(self.folder / "host", check_host.card(vfs=1))

    def state(self) -> pathlib.Path:
        """A state path with nothing in it, and nothing was touched yet."""
        state = self.folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(mode=0o700)
        (self.folder / "not there").unlink(missing_ok=True)
        self.target.unlink(missing_ok=True)
        self.target.write_bytes(TEXT)
        self.target.chmod(0o600)
        return state

    def refused(self, use: Use, state: pathlib.Path) -> str:
        """What is said in one line; what was aimed at is as it was."""
        error = self.assertRaises(exception.VfioVariantError, use, state)
        self.assert_untouched()
        self.assertNotIn("\n", str(error))
        return str(error)

    def assert_untouched(self) -> None:
        self.assertEqual(TEXT, self.target.read_bytes())
        self.assertEqual(0, self.target.stat().st_uid)
        self.assertEqual(0o600, self.target.stat().st_mode & 0o777)
        self.assertFalse((self.folder / "not there").exists())

    def paste(self, said: str) -> None:
        """Run the command line that a mend names."""
        (line,) = re.findall(r"\('(.*)'(?:,| removes| makes| ends)", said)
        subprocess.run(["/bin/sh", "-ec", line], check=True, cwd="/")


class PlantedTest(StrangerCase):
    def each(self) -> ty.Iterator[tuple[str, str, Use]]:
        for name, uses in FILES.items():
            for what in PLANTED:
                for use in uses:
                    yield name, what, use

    def plant(self, name: str, what: str) -> pathlib.Path:
        """A state path with something in a file's place."""
        state = self.state()
        path = state / name
        if path.parent != state:
            path.parent.mkdir(parents=True)
        if name.startswith(f"{DATABASE}-"):
            open_store(state)
        if name.startswith("placement.sqlite-"):
            (state / "placement.sqlite").touch(mode=0o600)
        PLANTED[what](path, self.target)
        return state

    def test_what_stands_in_a_files_place_is_refused(self) -> None:
        for name, what, use in self.each():
            with self.subTest(f"{name}: {what}: {use.__name__}"):
                state = self.plant(name, what)
                said = self.refused(use, state)
                self.assertIn(what.strip(), said)
                self.assertIn(pathlib.Path(name).name, said)

    def test_what_is_said_to_be_done_about_it_works_when_pasted(self) -> None:
        for name, what, use in self.each():
            with self.subTest(f"{name}: {what}: {use.__name__}"):
                state = self.plant(name, what)
                self.paste(self.refused(use, state))
                self.assert_untouched_by_mending(what)
                try:
                    use(state)
                except exception.VfioVariantError as error:
                    # Text is no database, and a damaged one stays damaged.
                    self.assertNotIn(what.strip(), str(error))

    def assert_untouched_by_mending(self, what: str) -> None:
        self.assert_untouched()
        if what == "has 2 names":
            self.assertEqual(1, self.target.stat().st_nlink)

    def test_what_stands_where_a_file_is_filled_is_refused(self) -> None:
        for name, use in FOLDERS.items():
            for what in PLANTED:
                with self.subTest(f"{name}: {what}"):
                    state = self.plant(name, what)
                    self.assertIn("is no folder", self.refused(use, state))
            with self.subTest(f"{name}: a folder"):
                state = self.state()
                (state / name).mkdir(mode=0o700)
                os.chown(state / name, NOBODY, NOBODY)
                self.assertIn("belongs to", self.refused(use, state))

    def test_what_an_older_version_filled_is_left_alone(self) -> None:
        for name, use in UNUSED.items():
            for what in PLANTED:
                with self.subTest(f"{name}: {what}"):
                    use(self.plant(name, what))
                    self.assert_untouched()

    def test_what_a_crash_left_where_a_file_is_filled_goes(self) -> None:
        for name, use in FOLDERS.items():
            with self.subTest(name):
                state = self.state()
                (state / name).mkdir(mode=0o700)
                for left in (name[1:-4], f"{name[1:-4]}-journal"):
                    (state / name / left).symlink_to(self.target)
                with contextlib.suppress(exception.StoreCorruptError):
                    use(state)
                self.assert_untouched()
                self.assertFalse((state / name).exists())
                self.assertTrue((state / name[1:-4]).is_file())


class FolderTest(StrangerCase):
    #: Each use once.
    USES = tuple(dict.fromkeys(use for uses in FILES.values() for use in uses))

    def test_another_users_folder_is_refused_and_given_to_us(self) -> None:
        for use in self.USES:
            with self.subTest(use.__name__):
                state = self.state()
                folder = state
                if use is take_host_lock:
                    folder = state / RUN
                    folder.mkdir(parents=True)
                os.chown(folder, NOBODY, NOBODY)
                said = self.refused(use, state)
                self.assertIn("the folder belongs to user nobody", said)
                self.assertEqual(NOBODY, folder.stat().st_uid)
                self.paste(said)
                with contextlib.suppress(exception.StoreCorruptError):
                    use(state)

    def test_a_folder_that_others_write_in_is_refused(self) -> None:
        for use in self.USES:
            for mode in (0o770, 0o707, 0o1777):
                if mode == 0o1777 and use in {put_xml, record, log_to}:
                    continue
                with self.subTest(f"{use.__name__}: {mode:o}"):
                    state = self.state()
                    folder = state
                    if use is take_host_lock:
                        folder = state / RUN
                        folder.mkdir(parents=True)
                    folder.chmod(mode)
                    said = self.refused(use, state)
                    self.assertIn("may be written by others", said)
                    self.paste(said)
                    self.assertEqual(0, folder.stat().st_mode & 0o022)
                    with contextlib.suppress(exception.StoreCorruptError):
                        use(state)

    def test_output_may_go_into_a_folder_like_tmp(self) -> None:
        for use in (put_xml, record):
            state = self.state()
            state.chmod(0o1777)
            use(state)
            (made,) = state.iterdir()
            self.assertEqual(0o600, stat.S_IMODE(made.stat().st_mode))

    def test_a_link_to_the_folder_is_followed_if_it_is_ours(self) -> None:
        state = self.state()
        path = self.folder / "link"
        path.symlink_to(state)
        open_store(path)
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        said = self.refused(open_store, path)
        self.assertIn("link is a symbolic link of a stranger", said)
        self.paste(said)
        self.assertTrue((state / sqlite.NAME).exists())

    def test_a_folder_and_what_is_in_it_have_their_mode_by_any_umask(
        self,
    ) -> None:
        self.addCleanup(os.umask, os.umask(0))
        for mask in (0, 0o022, 0o077, 0o777):
            os.umask(mask)
            state = self.state() / "inner"
            for use in self.USES:
                if use not in {damaged, put_xml, record}:
                    use(state)
            put_xml(state)
            os.umask(0o022)
            for path in (state, *state.rglob("*")):
                wanted = 0o700 if path.is_dir() else 0o600
                if path.is_relative_to(state / "host") and path.is_dir():
                    wanted = 0o755
                self.assertEqual(
                    wanted, stat.S_IMODE(path.stat().st_mode), str(path)
                )

    def test_a_database_that_is_exchanged_while_sqlite_opens_it(self) -> None:
        """Who may write there could do so; nothing is asked of it then."""
        state = self.state()
        open_store(state)
        other = self.folder / "other"
        shutil.copy(state / sqlite.NAME, other)
        before = other.read_bytes()
        real = sqlite.uri

        def exchange(path: pathlib.Path, **how: ty.Any) -> str:
            path.unlink()
            path.symlink_to(other)
            return real(path, **how)

        sqlite.uri = exchange
        try:
            error = self.assertRaises(exception.StoreError, open_store, state)
        finally:
            sqlite.uri = real
        self.assertIn("was exchanged while it was opened", str(error))
        self.assertEqual(before, other.read_bytes())


class SharedTest(StrangerCase):
    """Two users, root and nobody, of one group."""

    def as_nobody(self, use: Use, *given: ty.Any) -> ty.Any:
        """Run it as the other user."""
        for above in self.folder.parents:
            if above.stat().st_uid == 0 and above != pathlib.Path("/"):
                above.chmod(above.stat().st_mode | 0o055)
        self.folder.chmod(0o755)

        def changed() -> ty.Any:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                return use(*given)
            except exception.VfioVariantError as error:
                return str(error)

        return Child(changed).result()

    def names(self, path: ty.Any) -> None:
        """All that a state path is used for."""
        with lock.state_lock(path, 0), store.Store.open(path) as opened:
            opened.set_meta("who", str(os.getuid()))
        with contextlib.closing(journal.Journal.open(path, "now")) as known:
            known.forget("0000:25:00.4", "it is gone")

    def who(self, path: ty.Any) -> str | None:
        with store.Store.open(path, read_only=True) as opened:
            return opened.meta("who")

    def test_both_write_where_the_group_may(self) -> None:
        path = self.state() / "shared"
        place = own_files.Place(path, NOBODY)
        self.names(place)
        self.assertEqual(0o2750, stat.S_IMODE(path.stat().st_mode))
        for file in path.iterdir():
            self.assertEqual(0o640, stat.S_IMODE(file.stat().st_mode))
            self.assertEqual(NOBODY, file.stat().st_gid)
        path.parent.chmod(0o755)
        self.assertEqual("0", self.as_nobody(self.who, place))
        self.assertIn("denied", self.as_nobody(self.names, place))
        # As the guide says.
        path.chmod(0o2770)
        for file in path.iterdir():
            file.chmod(0o660)
        self.assertIsNone(self.as_nobody(self.names, place))
        self.assertEqual(str(NOBODY), self.who(place))
        self.names(place)
        self.assertEqual("0", self.as_nobody(self.who, place))

    def test_what_a_member_makes_root_takes_and_the_other_way_round(
        self,
    ) -> None:
        path = self.state() / "shared"
        path.parent.chmod(0o755)
        path.mkdir()
        os.chown(path, 0, NOBODY)
        path.chmod(0o2770)
        place = own_files.Place(path, NOBODY)
        self.assertIsNone(self.as_nobody(self.names, place))
        self.assertEqual(
            {(NOBODY, 0o660)},
            {
                (file.stat().st_uid, stat.S_IMODE(file.stat().st_mode))
                for file in path.iterdir()
            },
        )
        self.names(place)
        self.assertEqual("0", self.as_nobody(self.who, place))

    def test_a_members_link_is_followed_no_more_than_a_strangers(
        self,
    ) -> None:
        state = self.state()
        state.chmod(0o2770)
        os.chown(state, 0, NOBODY)
        place = own_files.Place(state, NOBODY)
        (state / lock.NAME).symlink_to(self.target)
        os.chown(state / lock.NAME, NOBODY, NOBODY, follow_symlinks=False)
        self.assertIn(
            "is a symbolic link",
            self.refused(lambda _: self.names(place), state),
        )

    def test_without_the_group_it_is_refused(self) -> None:
        state = self.state()
        os.chown(state, NOBODY, NOBODY)
        self.assertIn("[vfio] state_group", self.refused(open_store, state))
        open_store_of = own_files.Place(state, NOBODY)
        self.names(open_store_of)
        self.assertEqual("0", self.who(open_store_of))

    def test_who_is_no_member_can_not_share_what_he_makes(self) -> None:
        path = self.state()
        os.chown(path, NOBODY, NOBODY)
        said = self.as_nobody(self.names, own_files.Place(path, 1))
        self.assertIn("user nobody is no member of group", said)
        self.assertIn("'usermod -aG ", said)


class CommandsTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.configure(
            'device_spec = { "product_id": "10ca" }',
            'alias = { "name": "vf", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )
        self.host(*check_host.card(vfs=2))
        self.ok("device", "sync")
        self.ok("inventory", "report")

    def test_whatever_stands_in_a_state_path_is_tried(self) -> None:
        for file in self.state.iterdir():
            self.assertIn(file.name, FILES)

    def test_every_command_refuses_another_users_state_path(self) -> None:
        os.chown(self.state, NOBODY, NOBODY)
        for words in (
            "config check",
            "device list",
            "device sync",
            "device sync --dry-run",
            "claim list",
            f"claim create --instance {cli_case.ONE} --alias vf:1",
            "inventory show",
            "inventory diff",
            "inventory report",
            "host plan",
            "guest xml --address 0000:25:00.4",
        ):
            with self.subTest(words):
                said = self.fails(*words.split())
                self.assertIn("the folder belongs to user nobody", said)
                self.assertIn("hint: 'chown -h root state', by root", said)

    def test_the_verdict_is_unknown_and_says_why(self) -> None:
        os.chown(self.state, NOBODY, NOBODY)
        for row in self.json("host", "list"):
            shown = self.run_cli("host", "show", row["address"])
            self.assertIn("belongs to user nobody", str(shown))

    def test_a_group_that_is_declared_is_enough(self) -> None:
        os.chown(self.state, 0, NOBODY)
        self.state.chmod(0o2770)
        self.fails("device", "list")
        with open("nova.conf", "a", encoding="utf-8") as file:
            file.write(f"[vfio]\nstate_group = {NOBODY}\n")
        self.ok("device", "list")

    def test_a_group_that_is_none_is_an_error_with_its_line(self) -> None:
        with open("nova.conf", "a", encoding="utf-8") as file:
            file.write("[vfio]\nstate_group = nobodys-group\n")
        said = self.fails("device", "list")
        self.assertRegex(said, "nova.conf:[0-9]+.*no group 'nobodys-group'")
