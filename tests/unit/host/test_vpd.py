# SPDX-License-Identifier: Apache-2.0
"""Serial numbers of cards, for devices that are managed remotely."""

import dataclasses
import pathlib
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from nova_vfio_variant.host.observe import host_scan, vpd
from tests import base
from tests.functional import check_host


def _tag(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(2, "little") + body


def _data(*keywords: tuple[bytes, bytes]) -> bytes:
    body = b"".join(k + bytes([len(v)]) + v for k, v in keywords)
    return _tag(0x82, b"A card") + _tag(0x90, body) + b"\x78"


class SerialNumberTest(base.TestCase):
    def test_it_is_the_keyword_sn_of_the_read_only_part(self) -> None:
        data = _data((b"PN", b"SN\x011"), (b"SN", b"MT2042X00001  "))
        self.assertEqual("MT2042X00001", vpd.serial_number(data))

    def test_there_may_be_none(self) -> None:
        for data in (b"", b"\x78", _data((b"PN", b"x")), _data((b"SN", b""))):
            self.assertIsNone(vpd.serial_number(data), repr(data))

    @given(st.binary(max_size=64))
    def test_no_bytes_break_it(self, data: bytes) -> None:
        vpd.serial_number(data)
        vpd.serial_number(_tag(0x90, data))


class WithSerialNumbersTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        root = pathlib.Path(tempfile.mkdtemp())
        self.found = check_host.build(root, check_host.card(vfs=2))
        home = root / "sys/devices/pci0000:00"
        (home / "0000:25:00.0/vpd").write_bytes(_data((b"SN", b"of the PF")))
        (home / "0000:25:00.5/vpd").write_bytes(_data((b"SN", b"its own")))

    def _serials(self, found: host_scan.HostScan) -> list[str | None]:
        return [function.card_serial_number for function in found.functions]

    def test_a_vf_has_its_own_or_that_of_its_pf(self) -> None:
        self.assertEqual([None, None, None], self._serials(self.found))
        self.assertEqual(
            ["of the PF", "of the PF", "its own"],
            self._serials(
                vpd.with_serial_numbers(self.found, lambda function: True)
            ),
        )

    def test_one_that_carries_a_vdpa_device_has_its_own_alone(self) -> None:
        carriers = dataclasses.replace(
            self.found,
            functions=tuple(
                dataclasses.replace(function, vdpa=function.physfn is not None)
                for function in self.found.functions
            ),
        )
        self.assertEqual(
            ["of the PF", None, "its own"],
            self._serials(vpd.with_serial_numbers(carriers, lambda _: True)),
        )

    def test_only_wanted_ones_are_read(self) -> None:
        self.assertEqual(
            [None, "of the PF", "its own"],
            self._serials(
                vpd.with_serial_numbers(
                    self.found, lambda function: function.physfn is not None
                )
            ),
        )

    def test_one_that_is_there_and_can_not_be_read_is_lost(self) -> None:
        assert self.found.tree.root is not None
        home = pathlib.Path(self.found.tree.root, "sys/devices/pci0000:00")
        (home / "0000:25:00.0/vpd").unlink()
        (home / "0000:25:00.0/vpd").mkdir()
        seen = vpd.with_serial_numbers(self.found, lambda function: True)
        self.assertEqual([None, None, "its own"], self._serials(seen))
        self.assertEqual(
            [{"vpd"}, {"vpd"}, frozenset()],
            [pci_function.lost for pci_function in seen.functions],
        )
        self.assertEqual(
            ["0000:25:00.0: vpd: Is a directory"],
            [str(lost) for lost in seen.problems],
        )
