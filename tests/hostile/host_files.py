# SPDX-License-Identifier: Apache-2.0
"""What a host shows: its tree, a recording of it, and blobs in either."""

import contextlib
import gzip
import io
import os
import pathlib
import random
import stat
import tarfile
import typing as ty

from nova_vfio_variant.host.observe import (
    drivers,
    function_ids,
    pciids,
    scanner,
    vpd,
)
from nova_vfio_variant.host.tree import opening, recorded
from nova_vfio_variant.testing import hosts
from tests import random_hosts
from tests.hostile import bombs, inside, kind, mutations

#: Path, what it is, and its bytes or where it leads.
Entry = tuple[str, str, bytes | str]

_EXAMPLES = sorted(
    (pathlib.Path(__file__).parents[2] / "tests/functional/cases").glob(
        "*/host.tar.gz"
    )
)
#: Values of attributes that no kernel shows.
_VALUES: ty.Final = (
    *(b"", b"\n", b" ", b"\0", b"\0" * 5000, b"\xff\xfe\n", b"-1\n", b"0x\n"),
    *(b"99999999999999999999\n", b"1 2 3\n", b"65536\n", b"9" * 70000, b"on"),
    *(b"\x1b]0;x\x07\n", b"../../../guard/canary\n", b"pci:v\n", b"(null)\n"),
    *(b"\xe2\x80\xae\n", b"a\nb\nc\n", b"8086:10ca\n", b"0x8086\n", b"NaN\n"),
    *("\u0664\n".encode(), "\u00b2\n".encode(), b"1_0\n", b"+1\n", b" 1\n"),
)
TARGETS: ty.Final = (
    *("", ".", "..", "/", "x", "../../../guard/canary", "/../../guard/canary"),
    *("a" * 255, "a/" * 2000, "../" * 80, "\x1b[2J", "\udcff", "group"),
    *("../0000:00:00.0", "../../../bus/pci/drivers/", "9" * 30, "-1"),
    *(
        "../../../kernel/iommu_groups/x",
        "\u0664",
        "../../../kernel/iommu_groups/ 7",
    ),
)


def files_of(seed: int) -> list[Entry]:
    """A good host."""
    host = random_hosts.random_host(seed)
    files = random_hosts.Files(host)
    found: list[Entry] = [
        (path, "file", text.encode()) for path, text in files.texts.items()
    ]
    found += [(path, "link", target) for path, target in files.links.items()]
    home = "sys/devices/pci0000:00"
    for function in host.functions[:3]:
        at = f"{home}/{function.address}"
        found += [
            (f"{at}/config", "file", bytes(range(64))),
            (f"{at}/vpd", "file", VPD),
        ]
    found.append(("usr/share/misc/pci.ids", "file", PCI_IDS))
    return found


VPD: ty.Final = (
    b"\x82\x04\x00Card\x90\x0c\x00PN\x01xSN\x03A1 RV\x00x\x91\x03\x00V0\x00x"
)
PCI_IDS: ty.Final = b"""\
# comment
8086  Intel Corporation
\t10c9  82576 Gigabit Network Connection
\t\t8086 a01f  A card
\t10ca  82576 Virtual Function
15b3  Mellanox Technologies
\t101e  ConnectX Family mlx5Gen Virtual Function
C 02  Network controller
\t00  Ethernet controller
"""


def changed(rng: random.Random, entries: list[Entry]) -> tuple[Entry, ...]:
    """A host of which something isn't as a kernel makes it."""
    entries = list(entries)
    for _ in range(rng.choice((1, 1, 2, 4, 12))):
        place = rng.randrange(len(entries))
        path, what, content = entries[place]
        way = rng.random()
        if way < 0.1:
            del entries[place]
        elif way < 0.25:
            what = rng.choice(("folder", "fifo", "socket", "link", "file"))
            odd: bytes | str = rng.choice(_VALUES)
            entries[place] = (
                path,
                what,
                rng.choice(TARGETS) if what == "link" else odd,
            )
        elif way < 0.35:
            folder = path.rpartition("/")[0]
            name = rng.choice(
                (
                    *(
                        "0000:25:00.4",
                        "zzzz:00:00.0",
                        "0000:00:1f",
                        "\udcff\udcfe",
                    ),
                    *("virtfn0", "virtfn99999999999999999999", "virtfn-1"),
                    *(
                        "virtfn\u0664",
                        "\x1b[31m",
                        "a" * 255,
                        "mdev_supported_types/x/y",
                    ),
                    *(
                        "vfio-dev/vfio0/dev",
                        "sriov_numvfs",
                        "iommu_group",
                        "net/\n",
                    ),
                )
            )
            entries.append((f"{folder}/{name}", "file", rng.choice(_VALUES)))
        elif isinstance(content, str):
            new = (
                rng.choice(TARGETS)
                if rng.random() < 0.7
                else mutations.text(rng, content)
            )
            entries[place] = (path, what, new)
        else:
            new_bytes = (
                rng.choice(_VALUES)
                if rng.random() < 0.5
                else mutations.data(rng, content)
            )
            entries[place] = (path, what, new_bytes)
    return tuple(entries)


def build(root: pathlib.Path, entries: ty.Iterable[Entry]) -> None:
    """Make the files, as far as the file system can."""
    root.mkdir(exist_ok=True)
    for rel, what, content in entries:
        path = os.fsencode(root) + b"/" + os.fsencode(rel.replace("\0", ""))
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if what == "link" and isinstance(content, str):
                os.symlink(_encoded(content), path)
            elif what == "folder":
                os.mkdir(path)
            elif what == "fifo":
                os.mkfifo(path)
            elif what == "socket":
                os.mknod(path, stat.S_IFSOCK | 0o600)
            elif isinstance(content, bytes):
                # Never through a link: it would lead out of here.
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                os.write(fd, content)
                os.close(fd)
        except (OSError, ValueError):
            continue


def _encoded(text: str) -> bytes:
    return text.replace("\0", "").encode("utf-8", "surrogateescape")


#: Commands that look at a host, and change nothing of it.
_LOOKS: ty.Final = (
    ("host", "list", "-fjson"),
    ("host", "list"),
    ("config", "check"),
    ("config", "suggest"),
    ("config", "explain", "0000:25:00.4"),
    ("device", "list", "-fcsv"),
    ("host", "plan"),
    ("inventory", "show", "-fyaml"),
    ("device", "sync", "--dry-run"),
)


def _look(place: kind.Place, root: pathlib.Path, number: int) -> bool:
    """Have a command look at a host."""
    conf = place.work / "nova.conf"
    conf.write_text(random_hosts.configuration(random_hosts.random_host(1)))
    options = (
        *(f"--config-file={conf}", f"--host-root={root}"),
        f"--state-path={place.work}/state",
    )
    words: tuple[str, ...] = _LOOKS[number % len(_LOOKS)]
    devices = root / "sys/bus/pci/devices"
    if number % 4 == 0 and root.is_dir() and devices.is_dir():
        names = sorted(devices.iterdir())
        if names:
            words = (
                "host",
                "show",
                os.fsencode(names[0].name).decode(errors="replace"),
            )
    if number % 11 == 0:
        words = ("host", "snapshot", f"{place.work}/recorded.tar.gz")
    return inside.run(*options, *words).status < 2


class Trees(kind.Kind):
    """A folder that looks like a host."""

    name = "sysfs trees"
    share = 12

    def make(self, rng: random.Random) -> kind.Input:
        """A host with odd files, by which command it is looked at."""
        return kind.Input(changed(rng, files_of(rng.randrange(40))))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Have a command look at it."""
        root = place.work / "host"
        build(root, given)
        return _look(place, root, sum(len(path) for path, *_ in given))


def packed(entries: ty.Iterable[Entry], rng: random.Random) -> bytes:
    """A tar of them, with members that no recording has."""
    file = io.BytesIO()
    formats = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    with tarfile.open(
        fileobj=file, mode="w", format=rng.choice(formats)
    ) as archive:
        for rel, what, content in entries:
            member = tarfile.TarInfo(rel.replace("\0", ""))
            data = b""
            if what == "link" and isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            elif what == "folder":
                member.type = tarfile.DIRTYPE
            elif what in {"fifo", "socket"}:
                member.type = rng.choice(
                    (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.LNKTYPE, b"9")
                )
                member.linkname = "../../guard/canary"
            elif isinstance(content, bytes):
                data = content
                member.size = len(data)
            try:
                archive.addfile(member, io.BytesIO(data))
            except (ValueError, UnicodeError):
                continue
    return file.getvalue()


#: Members that lead out of a recording: nobody may take it.
_OUT: ty.Final[tuple[Entry, ...]] = (
    ("../../guard/canary", "file", b"x"),
    ("../../guard/new", "file", b"x"),
    ("/guard/canary", "file", b"x"),
    ("sys/../../../guard/canary", "file", b"x"),
    ("out", "link", "../../guard"),
    ("sys/out", "link", "/"),
)
#: Members that are odd.
_ODD: ty.Final[tuple[Entry, ...]] = (
    ("out/canary", "file", b"x"),
    ("sys", "file", b"x"),
    ("sys", "link", "."),
    ("a/" * 100 + "b", "file", b"x"),
    ("proc/1/fd/1", "link", "/../../guard/canary"),
    ("proc/1/fd/1/x", "file", b"x"),
    ("x" * 5000, "file", b"x"),
    ("", "file", b"x"),
    (".", "link", ".."),
)


class Recordings(kind.Kind):
    """A recorded host, cut off, damaged or forged."""

    name = "recordings"
    share = 18

    def make(self, rng: random.Random) -> kind.Input:
        """One of them; one that is cut off can't be taken."""
        if rng.random() < 0.02:
            return kind.Input(bombs.bomb(rng), damaged=True)
        if rng.random() < 0.4:
            good = rng.choice(_EXAMPLES).read_bytes()
            entries = None
        else:
            entries = files_of(rng.randrange(40))
            good = gzip.compress(packed(entries, rng), 1)
        way = rng.random()
        if way < 0.2:
            return kind.Input(good[: rng.randrange(len(good))], damaged=True)
        if way < 0.3:
            # Of the stream, or of its checksum.
            place = rng.randrange(10 if entries else 40, len(good) - 4)
            flipped = bytearray(good)
            flipped[place] ^= 1 << rng.randrange(8)
            return kind.Input(bytes(flipped))
        if way < 0.4:
            return kind.Input(mutations.data(rng, good))
        if way < 0.7 or entries is None:
            tar = mutations.data(rng, gzip.decompress(good))
            return kind.Input(gzip.compress(tar, 1))
        if way < 0.85:
            bad = rng.choice((_OUT, _ODD))
            for member in rng.sample(bad, 2):
                entries.insert(rng.randint(0, len(entries)), member)
            tar = packed(entries, rng)
            return kind.Input(gzip.compress(tar, 1), bad is _OUT)
        return kind.Input(gzip.compress(packed(changed(rng, entries), rng), 1))

    def is_for_a_command(self, given: ty.Any) -> bool:
        """One of eight is: the others are many more in the same time."""
        return len(given) % 8 == 0

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Load and scan it, unpack it, or have a command look at it."""
        path = place.work / "host.tar.gz"
        path.write_bytes(given)
        number = len(given)
        if number % 8 == 0:
            return _look(place, path, number // 8)
        if number % 8 == 1:
            folder = place.work / "unpacked"
            folder.mkdir()
            recorded.unpack(path, folder)
            return True
        tree = opening.open_tree(str(path))
        seen = scanner.scan(tree)
        names = pciids.Names.load(tree)
        for function in seen.functions:
            names.device(function.vendor_id, function.product_id)
            names.class_name(function.class_code)
        return True


class Blobs(kind.Kind):
    """Bytes that a card, or a file of names, has."""

    name = "vpd, config, pci.ids, modalias"
    share = 14
    _ALIASES: ty.Final = (
        b"alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci\n"
        b"alias pci:v00008086d000010CAsv*sd*bc*sc*i* igbvf\n"
    )
    _MODALIAS: ty.Final = (
        b"pci:v00008086d000010CAsv00000000sd00000000bc02sc00i00\n"
    )

    def make(self, rng: random.Random) -> kind.Input:
        """Some of them, with damage."""
        good = (VPD, bytes(range(64)), PCI_IDS, self._ALIASES, self._MODALIAS)
        chosen = rng.choice(good)
        if rng.random() < 0.2:
            return kind.Input(rng.randbytes(rng.choice((0, 1, 3, 64, 4096))))
        if rng.random() < 0.3:
            text = mutations.text(rng, chosen.decode("latin-1"))
            return kind.Input(text.encode(errors="replace"))
        return kind.Input(mutations.data(rng, chosen))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Read them as each of them."""
        serial = vpd.serial_number(given)
        try:
            function_ids.parse_modalias(given)
        except ValueError:
            taken = False
        else:
            taken = True
        with contextlib.suppress(ValueError):
            function_ids.hex_id(given)
        folder = place.work / "host"
        for rel in (
            "usr/share/misc/pci.ids",
            "lib/modules/6.12.0/modules.alias",
            "sys/bus/pci/devices/0000:00:01.0/config",
            "sys/bus/pci/devices/0000:00:01.0/modalias",
            "proc/sys/kernel/osrelease",
        ):
            path = folder / rel
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(given)
        tree = opening.open_tree(str(folder))
        names = pciids.Names.load(tree)
        names.vendor("8086")
        names.device("8086", "10ca")
        names.class_name(0x020000)
        names.excerpt(hosts.make_functions(1, 1))
        scanner.scan(tree)
        drivers.read_aliases(tree, "6.12.0")
        return taken or serial is not None


KINDS: ty.Final[tuple[kind.Kind, ...]] = (Trees(), Recordings(), Blobs())
