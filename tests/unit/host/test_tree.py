# SPDX-License-Identifier: Apache-2.0
"""Directories and recordings are read alike, and nothing leaves either."""

import errno
import gzip
import io
import os
import pathlib
import tarfile
import tempfile
import tracemalloc
import typing as ty

import fixtures
import testtools

from nova_vfio_variant import exception
from nova_vfio_variant.host.tree import host_tree, opening, recorded
from tests import base

_DEVICE = "sys/devices/pci0000:00/0000:00:01.0"

#: A small host: path -> text of a file, or the target of a link.
_FILES = {
    f"{_DEVICE}/vendor": "0x8086\n",
    "proc/cmdline": "quiet\n",
}
_LINKS = {
    "sys/bus/pci/devices/0000:00:01.0": (
        "../../../devices/pci0000:00/0000:00:01.0"
    ),
    f"{_DEVICE}/driver": "../../../bus/pci/drivers/igb",
}


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    info.size = size
    return info


def archive(
    members: ty.Iterable[tarfile.TarInfo | tuple[str, bytes]],
) -> bytes:
    """A tar, not yet compressed, of exactly these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for one in members:
            if isinstance(one, tarfile.TarInfo):
                tar.addfile(one)
            else:
                info = member(one[0], size=len(one[1]))
                tar.addfile(info, io.BytesIO(one[1]))
    return out.getvalue()


def extended(kind: bytes, data: bytes) -> bytes:
    """A header that says more of the member behind it."""
    header = member("././@LongLink", kind, size=len(data))
    return header.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


def records(number: int) -> bytes:
    """Records of pax, each with another key."""
    return b"".join(b"11 k%04d=v\n" % key for key in range(number))


def whole_host() -> list[tarfile.TarInfo | tuple[str, bytes]]:
    return [
        *((name, text.encode()) for name, text in _FILES.items()),
        *(member(n, tarfile.SYMTYPE, to) for n, to in _LINKS.items()),
    ]


class TreeTestCase(base.TestCase):
    def directory(self, **extra_links: str) -> str:
        root = pathlib.Path(tempfile.mkdtemp())
        for name, text in _FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        for name, target in {**_LINKS, **extra_links}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(target)
        return str(root)

    def recording(self, tar: bytes) -> str:
        return self.file(gzip.compress(tar))

    def file(self, data: bytes) -> str:
        handle, path = tempfile.mkstemp(suffix=".tar.gz")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return path


class SameForAllTest(TreeTestCase):
    """Each test runs over a directory and over a recording."""

    def trees(self) -> list[host_tree.HostTree]:
        return [
            opening.open_tree(self.directory()),
            opening.open_tree(self.recording(archive(whole_host()))),
        ]

    def test_a_file_is_read_through_a_link_on_its_way(self) -> None:
        for host in self.trees():
            path = "sys/bus/pci/devices/0000:00:01.0/vendor"
            self.assertEqual("0x8086", host.read_text(path))
            self.assertEqual(b"0x8086\n", host.read_bytes(path))

    def test_what_is_missing_is_none_or_empty(self) -> None:
        for host in self.trees():
            self.assertIsNone(host.read_text("proc/modules"))
            self.assertIsNone(host.read_text("proc/cmdline/more"))
            self.assertIsNone(host.read_text("proc"))
            self.assertEqual([], host.listdir("sys/class"))
            self.assertEqual([], host.listdir("proc/cmdline"))
            self.assertIsNone(host.readlink("proc/cmdline"))
            self.assertIsNone(host.readlink("sys/class/net/eth0"))
            self.assertFalse(host.exists("sys/class"))

    def test_what_no_path_can_be_is_missing(self) -> None:
        for host in (*self.trees(), opening.open_tree("/")):
            for path in ("proc/\0", "\0/x"):
                self.assertFalse(host.exists(path))
                self.assertIsNone(host.read_text(path))
                self.assertIsNone(host.readlink(path))
                self.assertEqual([], host.listdir(path))
                self.assertRaises(OSError, host.folder, path)

    def test_names_are_sorted(self) -> None:
        for host in self.trees():
            self.assertEqual(
                ["driver", "vendor"],
                host.listdir("sys/bus/pci/devices/0000:00:01.0"),
            )

    def test_a_link_is_read_as_written_even_if_it_dangles(self) -> None:
        for host in self.trees():
            path = "sys/bus/pci/devices/0000:00:01.0/driver"
            self.assertEqual(
                "../../../bus/pci/drivers/igb", host.readlink(path)
            )
            self.assertFalse(host.exists(path))
            self.assertTrue(host.exists("sys/bus/pci/devices/0000:00:01.0"))

    def test_the_real_path_is_the_one_below_devices(self) -> None:
        for host in self.trees():
            self.assertEqual(
                f"{_DEVICE}/vendor",
                host.real_path("sys/bus/pci/devices/0000:00:01.0/vendor"),
            )

    def test_dot_dot_stops_at_the_root(self) -> None:
        for host in self.trees():
            self.assertEqual("quiet", host.read_text("../../proc/./cmdline"))
            self.assertEqual(["proc", "sys"], host.listdir(".."))

    def test_a_folder_says_what_the_kernel_would(self) -> None:
        for host in self.trees():
            with host.folder("sys/bus/pci/devices/0000:00:01.0") as folder:
                self.assertEqual({"driver", "vendor"}, set(folder.names()))
                self.assertEqual(b"0x8086\n", folder.read("vendor"))
                self.assertEqual(
                    "../../../bus/pci/drivers/igb", folder.link("driver")
                )
                self.assertRaises(FileNotFoundError, folder.read, "device")
                self.assertRaises(FileNotFoundError, folder.link, "device")
                self.assertRaises(OSError, folder.read, "driver")
                self.assertRaises(OSError, folder.link, "vendor")
            self.assertRaises(NotADirectoryError, host.folder, "proc/cmdline")
            self.assertRaises(IsADirectoryError, host.read_bytes, "proc")
            self.assertRaises(IsADirectoryError, host.read_bytes, "")


class DirectoryTest(TreeTestCase):
    def test_links_that_leave_are_followed_inside(self) -> None:
        outside = pathlib.Path(tempfile.mkdtemp())
        (outside / "secret").write_text("outside")
        host = opening.open_tree(
            self.directory(
                absolute="/proc/cmdline",
                climbing="../../../../../../../proc/cmdline",
                escape=str(outside / "secret"),
                folder=str(outside),
            )
        )
        self.assertEqual("quiet", host.read_text("absolute"))
        self.assertEqual("quiet", host.read_text("climbing"))
        self.assertIsNone(host.read_text("escape"))
        self.assertIsNone(host.read_text("folder/secret"))
        self.assertEqual([], host.listdir("folder"))
        self.assertFalse(host.exists("folder"))

    def test_links_that_go_round_end(self) -> None:
        host = opening.open_tree(self.directory(one="two", two="one"))
        self.assertIsNone(host.read_text("one"))
        self.assertRaises(OSError, host.real_path, "one")

    def test_a_changed_link_is_seen(self) -> None:
        root = self.directory(now="proc")
        host = opening.open_tree(root)
        self.assertEqual(["cmdline"], host.listdir("now"))
        os.unlink(os.path.join(root, "now"))
        os.symlink("sys/bus", os.path.join(root, "now"))
        self.assertEqual(["pci"], host.listdir("now"))

    def test_a_fifo_does_not_stop_the_reader(self) -> None:
        root = self.directory()
        os.mkfifo(os.path.join(root, "fifo"))
        tree = opening.open_tree(root)
        self.assertIsNone(tree.read_text("fifo"))
        error = self.assertRaises(OSError, tree.read_bytes, "fifo")
        self.assertIn("a FIFO", str(error))

    def test_what_is_no_file_is_not_even_opened(self) -> None:
        root = self.directory()
        os.mkfifo(os.path.join(root, "fifo"))
        # Who opens it without having a terminal fails in another way, and
        # who has one would wait for a key.
        for where, name in ((root, "fifo"), ("/dev", "tty")):
            tree = opening.open_tree(where)
            with tree.folder("") as folder:
                for read in (folder.read, tree.read_bytes):
                    error = self.assertRaises(OSError, read, name)
                    self.assertIn("not a regular file", str(error))

    def test_a_file_without_end_is_not_read(self) -> None:
        root = self.directory()
        with open(os.path.join(root, "long"), "wb") as file:
            file.truncate(1 << 40)
        error = self.assertRaises(
            OSError, opening.open_tree(root).read_bytes, "long"
        )
        self.assertIn("larger than 8 MiB", str(error))

    def write(self, root: str, rel: str) -> None:
        fd = opening.open_tree(root).open_to_write(rel)
        os.write(fd, b"written")
        os.close(fd)

    def test_what_is_written_stays_in_the_tree(self) -> None:
        outside = pathlib.Path(tempfile.mkdtemp())
        (outside / "unbind").write_text("precious")
        root = self.directory(
            absolute=str(outside),
            climbing=f"{'../' * 20}{outside}",
            attribute=f"{outside}/unbind",
        )
        for rel in ("absolute/unbind", "climbing/unbind", "attribute"):
            self.assertRaises(FileNotFoundError, self.write, root, rel)
        self.assertEqual("precious", (outside / "unbind").read_text())
        # The same paths that are in the tree are what they mean.
        inside = pathlib.Path(f"{root}{outside}")
        inside.mkdir(parents=True)
        for rel in ("absolute/unbind", "climbing/unbind", "attribute"):
            (inside / "unbind").write_text("")
            self.write(root, rel)
            self.assertEqual("written", (inside / "unbind").read_text())
        self.assertEqual("precious", (outside / "unbind").read_text())

    def test_a_link_that_comes_meanwhile_leads_no_write_out(self) -> None:
        outside = pathlib.Path(tempfile.mkdtemp())
        (outside / "vendor").write_text("precious")
        root = pathlib.Path(self.directory())
        host = opening.open_tree(str(root))
        os.close(host.open_to_write(f"{_DEVICE}/vendor"))
        # It knows these for no links by now.
        (root / _DEVICE / "vendor").unlink()
        (root / _DEVICE / "vendor").symlink_to(outside / "vendor")
        self.assertRaises(OSError, host.open_to_write, f"{_DEVICE}/vendor")
        (root / _DEVICE).rename(root / "away")
        (root / _DEVICE).symlink_to(outside)
        self.assertRaises(OSError, host.open_to_write, f"{_DEVICE}/vendor")
        self.assertEqual("precious", (outside / "vendor").read_text())

    def test_only_a_regular_file_of_one_name_is_written(self) -> None:
        root = pathlib.Path(self.directory())
        os.mkfifo(root / "fifo")
        (root / "twice").hardlink_to(root / "proc/cmdline")
        for rel, why in (
            ("fifo", "it is a FIFO or pipe, not a regular file"),
            ("proc", "Is a directory"),
            ("twice", "twice has another name"),
        ):
            error = self.assertRaises(OSError, self.write, str(root), rel)
            self.assertIn(why, str(error))
        self.assertEqual("quiet\n", (root / "proc/cmdline").read_text())

    def test_nothing_is_written_to_a_recording(self) -> None:
        path = self.recording(archive(whole_host()))
        with testtools.ExpectedException(OSError, ".*Read-only.*"):
            self.write(path, "proc/cmdline")

    def test_nothing_stays_open(self) -> None:
        host = opening.open_tree(self.directory())
        before = os.listdir("/proc/self/fd")
        host.read_text("proc/cmdline")
        host.read_text("proc")
        host.listdir("sys/bus/pci/devices/0000:00:01.0")
        os.close(host.open_to_write("proc/cmdline"))
        self.assertRaises(OSError, host.open_to_write, "proc")
        self.assertEqual(before, os.listdir("/proc/self/fd"))

    def test_a_host_that_is_not_there_is_named(self) -> None:
        error = self.assertRaises(
            exception.HostError, opening.open_tree, "/no/such"
        )
        self.assertIn("'/no/such'", str(error))

    def test_the_live_host_is_read_as_it_is(self) -> None:
        host = opening.open_tree()
        self.assertEqual("/", host.root)
        self.assertEqual(
            pathlib.Path("/proc/sys/kernel/osrelease").read_text().strip(),
            host.read_text("proc/sys/kernel/osrelease"),
        )
        self.assertEqual(
            os.path.realpath("/proc/self"),
            "/" + host.real_path("proc/self"),
        )


class RefusedRecordingTest(TreeTestCase):
    """No archive can reach out of itself, or be half a host unnoticed."""

    def refused(self, path: str) -> str:
        error = self.assertRaises(
            exception.RecordedHostError, opening.open_tree, path
        )
        text = str(error)
        self.assertNotIn("\n", text)
        self.assertIn(path, text)
        return text

    def refused_members(self, *members: tarfile.TarInfo) -> str:
        return self.refused(self.recording(archive([*whole_host(), *members])))

    def test_names_that_leave_it(self) -> None:
        for name in ("../x", "sys/../../x", "sys/../x"):
            self.assertIn("leaves", self.refused_members(member(name)))
        self.assertIn("absolute", self.refused_members(member("/etc/passwd")))

    def test_links_that_leave_it(self) -> None:
        for target in ("/etc/passwd", "../../x", "../y/../../../x", ".."):
            text = self.refused_members(
                member("sys/x", tarfile.SYMTYPE, target)
                if target != ".."
                else member("x", tarfile.SYMTYPE, target)
            )
            self.assertIn("a link that leaves", text)
        self.assertIn(
            "leads nowhere", self.refused_members(member("x", tarfile.SYMTYPE))
        )

    def test_what_a_process_has_open_may_be_anywhere(self) -> None:
        target = "/dev/vfio/vfio"
        path = self.recording(
            archive(
                [
                    *whole_host(),
                    member("proc/7/fd/3", tarfile.SYMTYPE, target),
                ]
            )
        )
        host = opening.open_tree(path)
        self.assertEqual(target, host.readlink("proc/7/fd/3"))
        self.assertFalse(host.exists("proc/7/fd/3"))
        folder = f"{path}.unpacked"
        recorded.unpack(path, folder)
        self.assertEqual(target, os.readlink(f"{folder}/proc/7/fd/3"))
        # Nothing is written through it, and no other link may be so.
        for name, kind in (
            ("proc/7/fd/3/x", tarfile.REGTYPE),
            ("proc/7/fdinfo/3", tarfile.SYMTYPE),
        ):
            self.refused_members(
                member("proc/7/fd/3", tarfile.SYMTYPE, "/etc"),
                member(name, kind, "/etc"),
            )

    def test_what_is_no_file_folder_or_link(self) -> None:
        for kind in (
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.FIFOTYPE,
            tarfile.LNKTYPE,
        ):
            text = self.refused_members(member("x", kind, "proc/cmdline"))
            self.assertIn("neither a file", text)

    def test_what_stands_below_a_link(self) -> None:
        text = self.refused_members(
            member("sys/bus/pci/devices/0000:00:01.0/device")
        )
        self.assertIn("below a file or link", text)

    def test_a_name_given_twice(self) -> None:
        for kind in (tarfile.REGTYPE, tarfile.DIRTYPE):
            text = self.refused_members(member("proc/cmdline", kind))
            self.assertIn("twice", text)

    def test_a_folder_given_twice_is_one_folder(self) -> None:
        tar = archive([*whole_host(), member("proc", tarfile.DIRTYPE)])
        host = opening.open_tree(self.recording(tar))
        self.assertEqual(["cmdline"], host.listdir("proc"))

    def test_names_longer_than_any_path(self) -> None:
        self.assertIn("too long", self.refused_members(member("x/" * 65)))
        self.assertIn("too long", self.refused_members(member("x" * 5000)))

    def test_a_recording_cut_off_anywhere(self) -> None:
        whole = gzip.compress(archive(whole_host()))
        for length in range(1, len(whole) - 1):
            self.refused(self.file(whole[:length]))

    def test_a_tar_cut_off_before_it_was_compressed(self) -> None:
        tar = archive(whole_host())
        used = len(tar.rstrip(b"\0"))
        for length in range(0, used, 100):
            self.refused(self.recording(tar[:length]))

    def test_a_damaged_recording(self) -> None:
        tar = bytearray(archive(whole_host()))
        tar[tarfile.BLOCKSIZE * 2 + 3] ^= 0xFF  # name of the second member
        self.refused(self.recording(bytes(tar)))
        packed = gzip.compress(archive(whole_host()))
        for place in (2, 100, -5, -1):  # -5: gzip's checksum; -1: its length
            flipped = bytearray(packed)
            flipped[place] ^= 0xFF
            self.assertIn(
                "cut off or damaged", self.refused(self.file(bytes(flipped)))
            )
        self.assertIn(
            "cut off or damaged", self.refused(self.file(packed + b"junk"))
        )

    def test_what_is_no_recording_at_all(self) -> None:
        for data in (b"[pci]\n", b"PK\x03\x04"):
            self.assertIn("no recorded host", self.refused(self.file(data)))
        self.refused(self.file(b""))
        self.refused(self.recording(b"[pci]\n"))
        self.refused(self.recording(b""))

    def test_a_file_that_says_it_is_larger_than_the_archive(self) -> None:
        info = member("huge", size=1 << 40)
        tar = archive(whole_host())
        used = len(tar.rstrip(b"\0"))
        used += -used % tarfile.BLOCKSIZE
        tar = tar[:used] + info.tobuf() + bytes(10240)
        self.refused(self.recording(tar))

    def test_a_bomb_is_left_alone(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.tree.recorded.MAX_BYTES", 1 << 20
            )
        )
        bomb = gzip.compress(bytes(1 << 20) + archive(whole_host()))
        self.assertIn("larger than 1 MiB", self.refused(self.file(bomb)))

    def test_headers_that_would_take_all_memory(self) -> None:
        """They are read whole, kept, or copied for each member."""
        for why, head in (
            ("maximum recursion", 2000 * extended(b"L", b"a\0")),
            ("maximum recursion", 2000 * extended(b"x", b"8 path=a")),
            ("too long", extended(b"L", b"a" * 65537)),
            ("too long", extended(b"K", b"a" * 65537)),
            ("too long", extended(b"x", b"a" * 65537)),
            ("too long", extended(b"g", records(200))),
            ("holes", extended(b"x", b"20 GNU.sparse.major=1\n")),
            ("holes", extended(b"S", b"")),
        ):
            with self.subTest(head[:600]):
                tar = head + archive(whole_host())
                self.assertIn(why, self.refused(self.recording(tar)))

    def test_headers_are_bounded_together(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.tree.recorded._MAX_EXTENDED", 2048
            )
        )
        self.assertIn(
            "headers are too long",
            self.refused_members(member("x" * 900), member("y" * 900)),
        )

    def test_folders_that_nothing_names_count_as_members(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.tree.recorded.MAX_MEMBERS", 30
            )
        )
        path = self.recording(archive([*whole_host(), member("x/" * 9)]))
        opening.open_tree(path)
        self.assertIn("more than 30", self.refused_members(member("x/" * 40)))

    def test_what_stands_behind_it_is_not_kept_twice(self) -> None:
        data = archive(whole_host()) + bytes(32 << 20)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        recorded._Loader("host.tar.gz").entries(data)
        self.assertLess(tracemalloc.get_traced_memory()[1], 1 << 20)

    def test_a_file_in_it_is_read_to_a_limit_as_any_other(self) -> None:
        path = self.recording(archive([*whole_host(), member("x", size=2048)]))
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.tree.host_tree.MAX_BYTES", 1024
            )
        )
        host = opening.open_tree(path)
        error = self.assertRaises(OSError, host.read_bytes, "x")
        self.assertEqual(errno.EFBIG, error.errno)

    def test_more_members_than_any_host_has(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.tree.recorded.MAX_MEMBERS", 3
            )
        )
        self.assertIn("more than 3 members", self.refused_members())
