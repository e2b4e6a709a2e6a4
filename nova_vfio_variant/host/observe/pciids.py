# SPDX-License-Identifier: Apache-2.0
"""Names of vendors, products and classes, from the host's own pci.ids.

They are looked up when they are shown, never during a scan. The library
``hwdata`` isn't used: it opens one path of the running machine only, fails
where that is missing, keeps one table for all hosts, and has no classes.
"""

from __future__ import annotations

import functools
import re
import typing as ty

from nova_vfio_variant.host.tree import host_tree
from nova_vfio_variant.pci import function

#: Fedora's place and Debian's place.
PATHS = ("usr/share/hwdata/pci.ids", "usr/share/misc/pci.ids")

_NEXT = re.compile(r"\n(?=[^\t#\n])")


class Names:
    """The names that one host knows; None for what it doesn't."""

    def __init__(self, tree: host_tree.HostTree) -> None:
        self._tree = tree

    @classmethod
    def load(cls, tree: host_tree.HostTree) -> Names:
        """The names of a host; its file is read at the first look-up."""
        return cls(tree)

    def vendor(self, vendor_id: str) -> str | None:
        """A vendor's name.

        :param vendor_id: four lower-case hex digits
        """
        return self._top(vendor_id)[0]

    def device(self, vendor_id: str, product_id: str) -> str | None:
        """A product's name, without its vendor's.

        :param vendor_id: four lower-case hex digits
        :param product_id: four lower-case hex digits
        """
        return _below(self._top(vendor_id)[1], product_id)

    def class_name(self, class_code: int) -> str | None:
        """The name of a sub-class, of the base class if it has none.

        :param class_code: 24 bits: base class, sub-class, interface
        """
        name, subclasses = self._top(f"C {class_code >> 16:02x}")
        return _below(subclasses, f"{class_code >> 8 & 0xFF:02x}") or name

    def excerpt(self, functions: ty.Iterable[function.PciFunction]) -> str:
        """The lines of pci.ids that these functions need, as pci.ids."""
        wanted: dict[str, set[str]] = {}
        for seen in functions:
            wanted.setdefault(seen.vendor_id, set()).add(seen.product_id)
            wanted.setdefault(f"C {seen.class_code >> 16:02x}", set()).add(
                f"{seen.class_code >> 8 & 0xFF:02x}"
            )
        lines = []
        for key in sorted(wanted):
            name, below = self._top(key)
            if name is None:
                continue
            lines.append(f"{key}  {name}")
            for inner in sorted(wanted[key]):
                found = _below(below, inner)
                if found is not None:
                    lines.append(f"\t{inner}  {found}")
        return "".join(f"{line}\n" for line in lines)

    @functools.cached_property
    def _text(self) -> str:
        for path in PATHS:
            text = self._tree.read_text(path)
            if text:
                return f"\n{text}\n"
        return ""

    @functools.lru_cache(maxsize=64)  # noqa: B019 - a command has one Names
    def _top(self, key: str) -> tuple[str | None, str]:
        """The name behind a key without indent, and the lines below it."""
        start = self._text.find(f"\n{key}  ")
        if start < 0:
            return None, ""
        following = _NEXT.search(self._text, start + 1)
        block = self._text[start : following.start() if following else None]
        _, line, *below = block.split("\n", 2)
        return line[len(key) :].strip(), "\n" + "".join(below)


def _below(block: str, key: str) -> str | None:
    """The name behind a key that is indented once."""
    found = re.search(rf"\n\t{key}  ([^\n]*)", block)
    return found[1].strip() if found else None
