# SPDX-License-Identifier: Apache-2.0
"""What an operator may write: ``device_spec`` and ``alias`` values, flavors.

Most of it is right, some is nearly right, and a little is broken as text.
"""

import json
from typing import Any

from hypothesis import strategies as st

from tests.conformance.hosts import (
    PRODUCTS,
    VENDORS,
    Function,
    Host,
    choose,
    evenly,
)

_BOOLS: tuple[Any, ...] = ("yes", "no", "true", "False", "1", "0", True, False)
_ODD_BOOLS: tuple[Any, ...] = ("maybe", "", "2", None, 2, [], "TRUE ", "on")
_ODD_IDS: tuple[Any, ...] = (
    "*", "0x10de", "10DE", " 10de ", "1_0", "-1", "8", "10000", "zz", "",
    0x8086, None, ["10de"], "0X8", "000010de",
)  # fmt: skip
_CLASSES = ("A16_16A", "gpu vf", "CUSTOM_X", "pgpu", "custom_x", "a--b..c")
_ODD_CLASSES: tuple[Any, ...] = (
    "_x_", "é", "", None, "CUSTOM_a-b", "VGPU", 5, ["gpu"],
)  # fmt: skip
_TRAITS = (
    "blue", "blue,big", "CUSTOM_RED", "HW_GPU_API_VULKAN", "",
    "COMPUTE_MANAGED_PCI_DEVICE",
)  # fmt: skip
_ODD_TRAITS: tuple[Any, ...] = (
    "blue, big", "a,,b", "hw_gpu_api_vulkan", " blue", None, "big,blue,big",
    "é", "CUSTOM_a b", "!blue", ",", 1, ["blue"],
)  # fmt: skip
_ODD_ADDRESSES: tuple[Any, ...] = (
    "", None, {}, ".4", ":25:", "25:00", "*:25:*.*", "0:25:0.4", "*", "::.",
    "2*:00:00.0", "0000:25:00.8", "0000:25:20.0", "10000:25:00.0", ".",
    "0:0:0:0.0", "0000:25:00", "25", " 25 : 00 . 4 ", 25, True, ["25"],
    "0000:25:00.0.1", "-1:25:00.0", "gg", "0000:0x25:00.0", "*:*:*.*",
    "0000.25.00.0", "10000:*:*.*", 0, False, [],
)  # fmt: skip
_FIELD_REGEXES: dict[str, tuple[Any, ...]] = {
    "domain": (".*", "0000", "0", "000[01]", "0001$", "1", "^0"),
    "bus": ("25", "2", "2[56]", "(05|a0)", "[a-f]0", "A0", "", ".", "25$"),
    "slot": ("00", "1", "10", "0", ".*", "00$"),
    "function": ("[0-3]", "0", "[13]", ".*", "[^0]", "", "0|1"),
}
_ODD_REGEXES: tuple[Any, ...] = (
    "[", "(", 25, None, "*", ["25"], "(?i)A0", "(2{0,300}){300}", "2" * 513,
    "2{1,65535}",
)  # fmt: skip


@st.composite
def addresses(draw: st.DrawFn, host: Host, *, odd: bool) -> Any:
    """One value for the key ``address``."""
    form = choose(draw, ("exact", "exact", "glob", "regex", "odd"))
    if form == "odd" and odd:
        return choose(draw, _ODD_ADDRESSES)
    if form == "regex":
        fields = draw(
            st.lists(
                st.sampled_from(tuple(_FIELD_REGEXES)), unique=True, max_size=4
            )
        )
        regex = {name: choose(draw, _FIELD_REGEXES[name]) for name in fields}
        if odd and draw(evenly(0, 3)) == 0:
            name = choose(draw, ("bus", "func", "function", "slot"))
            regex[name] = choose(draw, _ODD_REGEXES)
        return regex
    exact: str = choose(draw, host)["address"]
    if form == "exact":
        return exact
    domain, bus, rest = exact.split(":")
    slot, func = rest.split(".")
    mask = draw(evenly(0, 15))
    return "{}:{}:{}.{}".format(
        *(
            "*" if mask >> place & 1 else field
            for place, field in enumerate((domain, bus, slot, func))
        )
    )


@st.composite
def entries(
    draw: st.DrawFn, host: Host, *, odd: bool = False
) -> list[tuple[str, Any]]:
    """One entry of ``device_spec``, as pairs, for a key may stand twice.

    :param odd: whether what Nova refuses, or takes by accident, may occur
    """

    def pick(usual: tuple[Any, ...], unusual: tuple[Any, ...]) -> Any:
        if odd and draw(evenly(0, 4)) == 0:
            return choose(draw, unusual)
        return choose(draw, usual)

    mask = draw(evenly(0, 2**7 - 1))
    pairs: list[tuple[str, Any]] = []
    if mask & 1:
        pairs.append(("vendor_id", pick(VENDORS, _ODD_IDS)))
    if mask & 2:
        pairs.append(("product_id", pick(PRODUCTS, _ODD_IDS)))
    if mask & 4:
        pairs.append(("address", draw(addresses(host, odd=odd))))
    if mask & 8:
        pairs.append(("managed", pick(_BOOLS, _ODD_BOOLS)))
    if mask & 16:
        pairs.append(("resource_class", pick(_CLASSES, _ODD_CLASSES)))
    if mask & 32:
        pairs.append(("traits", pick(_TRAITS, _ODD_TRAITS)))
    if mask & 64:
        pairs.extend(draw(st.lists(rare_tags(host, odd=odd), max_size=2)))
    return pairs if odd else _agreed(pairs, host)


def _agreed(pairs: list[tuple[str, Any]], host: Host) -> list[tuple[str, Any]]:
    """The entry without what Nova would not start on."""
    keys = dict(pairs)
    address = keys.get("address")
    pfs = [one["address"] for one in host if one["dev_type"] == "type-PF"]
    drop = set()
    if "devname" in keys:
        drop = {"address", "remote_managed"}
    elif address in pfs or (isinstance(address, dict) and len(address) == 4):
        # It may be a PF's; see REMOTE_MANAGED_PF.
        drop = {"remote_managed"}
    return [(key, value) for key, value in pairs if key not in drop]


@st.composite
def rare_tags(draw: st.DrawFn, host: Host, *, odd: bool) -> tuple[str, Any]:
    """Return a tag that few entries have."""
    key = draw(
        st.sampled_from(
            (
                "live_migratable",
                "physical_network",
                "one_time_use",
                "trusted",
                "live_migratable",
                "mangaed",
                "devname",
                "remote_managed",
                "vendor_id",
            )
            if odd
            else (
                "live_migratable",
                "physical_network",
                "one_time_use",
                "trusted",
                "devname",
                "remote_managed",
                "remote_managed",
            )
        )
    )
    if key == "physical_network":
        return key, draw(
            st.sampled_from(
                ("net1", "net2", "", *((None, 1, ["net1"]) if odd else ()))
            )
        )
    if key == "devname":
        named = [one["ifname"] for one in host if one.get("ifname")]
        return key, choose(draw, (*named, "nosuch0", *((7,) if odd else ())))
    if key == "vendor_id":
        return key, choose(draw, VENDORS)
    if key == "remote_managed" and not odd:
        return key, choose(draw, (*_BOOLS, None))
    if key == "trusted" and not odd:
        return key, choose(draw, ("true", "false", "True"))
    return key, choose(draw, _BOOLS + (_ODD_BOOLS if odd else ()))


def write(pairs: list[tuple[str, Any]]) -> str:
    """Return the entry as JSON; a key that stands twice is written twice."""
    return (
        "{"
        + ", ".join(
            f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
            for key, value in pairs
        )
        + "}"
    )


@st.composite
def broken(draw: st.DrawFn, text: str) -> str:
    """Return ``text`` as it comes out of a hurried hand."""
    how = draw(evenly(0, 7))
    place = draw(evenly(0, max(len(text) - 1, 0)))
    return (
        text[:place] + text[place + 1 :],
        text.replace('"', "'"),
        text[:-1] + ",}",
        text[:place],
        f"{text} # a note",
        f"[{text}",
        f"[{text}, 1]",
        choose(draw, ("", "1", "null", "[]", '"x"', "{}", "[[]]")),
    )[how]


@st.composite
def device_specs(
    draw: st.DrawFn, host: Host, *, odd: bool = False
) -> list[str]:
    """Return the values of ``device_spec``: objects, and lists of objects."""
    values = []
    for many in draw(st.lists(st.sampled_from((1, 1, 1, 2, 0)), max_size=4)):
        written = [
            write(draw(entries(host, odd=odd))) for _ in range(many or 1)
        ]
        text = f"[{', '.join(written)}]" if many != 1 else written[0]
        if odd and draw(evenly(0, 9)) == 0:
            text = draw(broken(text))
        values.append(text)
    return values


_ALIAS_NAMES = ("a", "b", "A16 16A", "c")
_ODD_ALIAS: dict[str, tuple[Any, ...]] = {
    "name": ("", " a ", "x" * 256, "x" * 257, None, 1, " ", "a"),
    "vendor_id": ("0x10de", "10DE", "8", "*", 8086, None, "10de\n"),
    "product_id": ("25B6", "zzzz", "", "25b6\n"),
    "device_type": ("vdpa", "type-vf", None, ""),
    "numa_policy": ("strict", "", None, "Required"),
    "live_migratable": ("maybe", True, "", None, "2"),
    "resource_class": (1, None, "", "é"),
    "traits": (["blue"], None, "", "blue, big", "!blue"),
    "managed": ("no",),
    "capability_type": ("pci", "usb"),
    "address": ("0000:25:00.0",),
}


@st.composite
def alias_pairs(
    draw: st.DrawFn, name: str, *, odd: bool = False
) -> list[tuple[str, Any]]:
    """One ``alias``, as pairs."""
    mask = draw(evenly(0, 2**8 - 1))
    pairs: list[tuple[str, Any]] = [("name", name)]
    # Without Placement, an alias that has no ids is refused.
    if mask & 3 or not odd:
        pairs.append(("vendor_id", choose(draw, VENDORS)))
        pairs.append(("product_id", choose(draw, PRODUCTS)))
    if mask & 4:
        types = ("type-PCI", "type-PF", "type-VF", "type-VF")
        pairs.append(("device_type", choose(draw, types)))
    if mask & 8:
        policies = ("required", "legacy", "preferred", "socket")
        pairs.append(("numa_policy", choose(draw, policies)))
    if mask & 16:
        pairs.append(("resource_class", choose(draw, _CLASSES)))
    if mask & 32:
        pairs.append(("traits", choose(draw, _TRAITS)))
    if mask & 192 == 192:
        migratable = choose(draw, ("yes", "no", "true", "0"))
        pairs.append(("live_migratable", migratable))
    if odd and draw(evenly(0, 3)) == 0:
        key = choose(draw, tuple(_ODD_ALIAS))
        pairs = [pair for pair in pairs if pair[0] != key]
        if draw(evenly(0, 9)):
            pairs.append((key, choose(draw, _ODD_ALIAS[key])))
    return pairs


@st.composite
def aliases(draw: st.DrawFn, *, odd: bool = False) -> list[str]:
    """Return the values of ``alias``.

    :param odd: whether what Nova refuses, or takes by accident, may occur
    """
    names = draw(
        st.lists(st.sampled_from(_ALIAS_NAMES), max_size=3, unique=True)
    )
    if odd and names and draw(st.booleans()):
        names.append(names[0])
    values = []
    for name in names:
        text = write(draw(alias_pairs(name, odd=odd)))
        if odd and draw(evenly(0, 11)) == 0:
            text = draw(broken(text))
        values.append(text)
    return values


def alias_type(one: Function) -> str:
    """The ``device_type`` of an alias that means a function."""
    # None can say vdpa; VFs are as near as one gets.
    found: str = one["dev_type"]
    return "type-VF" if found == "vdpa" else found


@st.composite
def wanted(draw: st.DrawFn, host: Host) -> list[str]:
    """Return ``alias`` values for what the host has."""
    values = []
    for name in _ALIAS_NAMES[: draw(evenly(1, 3))]:
        one = choose(draw, host)
        mask = draw(evenly(0, 2**5 - 1))
        pairs = [
            ("name", name),
            ("vendor_id", one["vendor_id"]),
            ("product_id", one["product_id"]),
        ]
        if mask & 3:
            pairs.append(("device_type", alias_type(one)))
        if mask & 4:
            policies = ("required", "legacy", "preferred", "socket")
            pairs.append(("numa_policy", choose(draw, policies)))
        if mask & 24 == 24:
            migratable = choose(draw, ("yes", "no"))
            pairs.append(("live_migratable", migratable))
        values.append(write(pairs))
    return values


_ODD_EXTRA_SPECS = (
    "a", "a:x", "a:", ":1", "", "a:1,", "a:1:2", "a:0", "a:-1", "a: 2 ",
    "a:1, b:2", "a:1_0", "a:+1", "a:1.0",
)  # fmt: skip


@st.composite
def extra_specs(
    draw: st.DrawFn, values: list[str], *, odd: bool = False
) -> str:
    """Return a flavor's ``pci_passthrough:alias`` for these aliases.

    :param odd: whether it may ask for what isn't there, or be no request
    """
    if odd and draw(evenly(0, 4)) == 0:
        return choose(draw, _ODD_EXTRA_SPECS)
    known = [name for name in _ALIAS_NAMES if f'"{name}"' in "".join(values)]
    some = [*known, *known, "nosuch"] if odd or not known else known
    parts = draw(
        st.lists(
            st.tuples(
                st.sampled_from(some),
                st.sampled_from((1, 1, 1, 1, 2, 2, 3, 5)),
            ),
            min_size=1,
            max_size=2,
        )
    )
    comma = choose(draw, (",", ", "))
    return comma.join(f"{name}:{count}" for name, count in parts)
