# SPDX-License-Identifier: Apache-2.0
"""Eight times the entries may not take much more than eight times as long."""

import collections
import json
import sys
import types

from nova_vfio_variant import source
from nova_vfio_variant.check import engine, exchanged
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.pci import address, alias_parse, function, parse
from nova_vfio_variant.tracker import sync
from tests import base


def _entries(kind: str, count: int) -> list[str]:
    """So many values of device_spec, each another one."""
    made = []
    for number in range(count):
        at = f"0000:{number >> 8 & 0xFF:02x}:{number >> 3 & 0x1F:02x}"
        entry: dict[str, object] = {"vendor_id": "8086"}
        if kind == "address":
            entry["address"] = f"{at}.{number & 7}"
        elif kind == "regex":
            entry["address"] = {"bus": at[5:7], "slot": f"0[{number & 7}]"}
            entry["vendor_id"] = f"{number:04x}"
        else:
            entry["product_id"] = f"{number:04x}"
        made.append(json.dumps(entry))
    return made


class Linear(base.TestCase):
    """Counts lines of our code that run, which no other load changes."""

    def lines(self, values: list[str], aliases: list[str]) -> int:
        texts = [source.SourceText.of(value) for value in values]
        specs, found = parse.parse_device_specs(texts)
        named, more = alias_parse.parse_aliases(
            [source.SourceText.of(value) for value in aliases],
            in_placement=False,
        )
        given = facts.CheckInput(
            specs=specs, aliases=named, findings=(*found, *more)
        )
        counted: collections.Counter[str] = collections.Counter()

        def count(frame: types.FrameType, event: str, _: object) -> object:
            if "nova_vfio_variant" not in frame.f_code.co_filename:
                return None
            counted[event] += 1
            return count

        before = sys.gettrace()
        sys.settrace(count)  # type: ignore[arg-type]
        try:
            engine.check(given)
        finally:
            sys.settrace(before)
        return counted["line"]

    def test_entries(self) -> None:
        for kind in ("address", "regex", "ids"):
            few = self.lines(_entries(kind, 50), [])
            many = self.lines(_entries(kind, 400), [])
            self.assertLess(many, 12 * few, kind)

    def test_entries_in_one_list(self) -> None:
        few = self.lines([f"[{','.join(_entries('ids', 50))}]"], [])
        many = self.lines([f"[{','.join(_entries('ids', 400))}]"], [])
        self.assertLess(many, 12 * few)

    def test_aliases(self) -> None:
        made = [
            json.dumps(
                {"name": f"a{one}", "vendor_id": "8086", "product_id": "10ca"}
            )
            for one in range(400)
        ]
        few = self.lines(_entries("ids", 1), made[:50])
        many = self.lines(_entries("ids", 1), made)
        self.assertLess(many, 12 * few)

    def calls(self, count: int, moved: int) -> int:
        """Python's calls where so many of so many devices are others now."""
        specs, _ = parse.parse_device_specs(
            [source.SourceText.of('{"vendor_id": "8086"}')]
        )
        functions = [
            function.PciFunction(
                address.PciAddress(number >> 8, number & 0xFF, 0, 1),
                "8086",
                "10ca",
                0x020000,
                physfn=address.PciAddress(number >> 8, number & 0xFF, 0, 0),
                vf_index=0,
            )
            for number in range(count)
        ]
        devices = sync.desired(specs, functions)
        exchanges = [
            sync.Exchange(device, function.Identity("8086", "1", None), None)
            for device in devices[:moved]
        ]
        known = {device.address for device in devices}
        called: collections.Counter[str] = collections.Counter()
        before = sys.getprofile()
        sys.setprofile(lambda _frame, event, _: called.update([event]))
        try:
            exchanged.findings(exchanges, functions, known)
        finally:
            sys.setprofile(before)
        return called["call"]

    def test_devices_that_are_others_now(self) -> None:
        self.assertLess(self.calls(400, 0), 12 * self.calls(50, 0))
        self.assertLess(self.calls(400, 400), 12 * self.calls(50, 50))
