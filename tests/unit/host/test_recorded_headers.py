# SPDX-License-Identifier: Apache-2.0
"""A recording's headers are read as tarfile reads them, only faster."""

import gzip
import io
import pathlib
import random
import tarfile
import typing as ty

import fixtures

from nova_vfio_variant import exception
from nova_vfio_variant.host.tree import member_header, recorded
from tests import base

#: The fields of a header (tar(5)), and the whole of it.
_FIELDS = (
    (0, 100),
    (100, 124),
    (124, 136),
    (136, 148),
    (148, 156),
    (156, 157),
    (157, 257),
    (257, 345),
    (345, 500),
    (0, 512),
)
_BYTES = b"\0 /.-0127\x80\xff"


def archive() -> bytes:
    """A file, a directory, a link, and names that are long."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name, kind, more in (
            ("sys/vendor", tarfile.REGTYPE, {"size": 7}),
            ("sys/devices/", tarfile.DIRTYPE, {}),
            ("sys/physfn", tarfile.SYMTYPE, {"linkname": "../vendor"}),
            ("sys/" + 30 * "long/", tarfile.DIRTYPE, {}),
            ("sys/far", tarfile.SYMTYPE, {"linkname": 60 * "../"}),
            ("sys/ünïcode", tarfile.REGTYPE, {"size": 0}),
        ):
            member = tarfile.TarInfo(name)
            member.type = kind
            for key, value in more.items():
                setattr(member, key, value)
            made.addfile(member, io.BytesIO(b"0x8086\n"))
    return packed.getvalue()


def read(data: bytes, **more: ty.Any) -> list[object]:
    """All that a recording takes from an archive, and how it ends."""
    seen: list[object] = []
    try:
        with tarfile.open(
            fileobj=io.BytesIO(data), mode="r:", **more
        ) as opened:
            seen.extend(
                (
                    one.name,
                    one.type,
                    one.size,
                    one.linkname,
                    one.offset_data,
                    one.issparse(),
                )
                for one in opened
            )
            seen.append(opened.offset)
    except (tarfile.TarError, ValueError, OSError, OverflowError) as error:
        seen.append(repr(error))
    return seen


def sign(data: bytearray, start: int) -> None:
    """Make the checksum of a header right."""
    header = data[start : start + 512]
    checksum = sum(header) - sum(header[148:156]) + 256
    data[start + 148 : start + 156] = b"%06o\0 " % checksum


class HeadersTest(base.TestCase):
    def test_whatever_is_written_into_them(self) -> None:
        whole = archive()
        self.assertEqual(7, len(read(whole, tarinfo=member_header.Header)))
        chance = random.Random(7)
        for _ in range(3000):
            data = bytearray(whole)
            start = 512 * chance.randrange(len(data) // 512)
            field = chance.choice(_FIELDS)
            for _ in range(chance.choice((1, 1, 2))):
                data[start + chance.randrange(*field)] = chance.choice(_BYTES)
            if chance.random() < 0.7:
                sign(data, start)
            changed = bytes(data)
            with self.subTest(header=changed[start : start + 512]):
                plain = read(changed)
                ours = read(changed, tarinfo=member_header.Header)
                if "too long" in str(ours[-1]):
                    # tarfile would read on, whatever its size is.
                    del ours[-1], plain[len(ours) :]
                self.assertEqual(plain, ours)

    def test_a_size_that_no_file_can_have_is_refused(self) -> None:
        data = bytearray(archive())
        start = data.index(b"././@PaxHeader")
        data[start + 124 : start + 136] = b"\x80" + 11 * b"\xff"
        sign(data, start)
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, "host")
        path.write_bytes(gzip.compress(data))
        self.assertRaises(
            exception.RecordedHostError,
            recorded.RecordedTree.load,
            str(path),
        )
