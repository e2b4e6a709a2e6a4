# SPDX-License-Identifier: Apache-2.0
"""Whole hosts, drawn by Hypothesis, in the words of both sides.

A host is a list of functions as :mod:`tests.conformance.oracle.world` takes
them, in rising order of address, as a scan gives them.
"""

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from nova_vfio_variant.pci import address, function

T = TypeVar("T")

Function = dict[str, Any]
Host = list[Function]

#: A few ids only, so that specs hit, and PFs and VFs may be alike.
VENDORS = ("10de", "8086")
PRODUCTS = ("25b6", "25b7", "0008")
DOMAINS = ("0000", "0001", "0000", "0001", "10000")
NUMA_NODES = (0, 1, 2, 3, None)
#: The VFs of a card, by number, that carry a vDPA device.
_CARRIERS: tuple[tuple[int, ...], ...] = ((), (), (0,), (1, 2))


@functools.cache
def evenly(low: int, high: int) -> st.SearchStrategy[int]:
    """Return numbers from low to high, each as often as the others.

    ``st.integers`` prefers 0, which is fine for numbers and bad for choices.
    """
    return st.sampled_from(range(low, high + 1))


def choose(draw: st.DrawFn, options: Sequence[T]) -> T:
    """Draw one of these.

    ``draw(st.sampled_from(options))`` would make a strategy each time.
    """
    return options[draw(evenly(0, len(options) - 1))]


#: The vendor, and the products of PFs and VFs.
_models = st.tuples(
    st.sampled_from(VENDORS),
    st.sampled_from(PRODUCTS),
    st.sampled_from(PRODUCTS),
)


@st.composite
def cards(draw: st.DrawFn, model: tuple[str, str, str]) -> list[Function]:
    """One card: plain functions, a PF and its VFs, or two PFs."""
    layout = choose(draw, ("plain", "gpu", "gpu", "nic", "bare"))
    vendor, pf_product, vf_product = model
    count = draw(evenly(1, 6))
    node = choose(draw, NUMA_NODES)
    named = layout == "nic" and draw(st.booleans())
    carriers = choose(draw, _CARRIERS) if layout == "nic" else ()
    serial = choose(draw, (None, "MT2113X00000", "", ""))

    def one(place: str, product: str, **more: Any) -> Function:
        return {
            "address": place,
            "vendor_id": vendor,
            "product_id": product,
            "numa_node": node,
            **(
                {}
                if serial is None
                else {"capabilities": {"vpd": {"card_serial_number": serial}}}
            ),
            **more,
        }

    def pf(place: str, total: int) -> Function:
        return one(place, pf_product, dev_type="type-PF", sriov_totalvfs=total)

    def vf(place: str, parent: str, number: int) -> Function:
        return one(
            place,
            vf_product,
            dev_type="vdpa" if number in carriers else "type-VF",
            parent_addr=parent,
            **({"ifname": ""} if named else {}),
        )

    if layout == "plain":
        return [
            one(f"00.{n}", pf_product, dev_type="type-PCI")
            for n in range(min(count, 2))
        ]
    if layout == "bare":
        return [pf("00.0", 4)]
    if layout == "gpu":
        return [
            pf("00.0", 16),
            *(vf(f"00.{n + 1}", "00.0", n) for n in range(count)),
        ]
    return [
        pf("00.0", 8),
        pf("00.1", 8),
        *(vf(f"10.{n}", f"00.{n % 2}", n) for n in range(count)),
    ]


@st.composite
def hosts(draw: st.DrawFn, *, wide_domains: bool = False) -> Host:
    """Return a host of one to four cards in one or two domains.

    Mostly they are of one model, so that a request has a choice.

    :param wide_domains: whether domains above ffff may occur
    """
    domains = DOMAINS if wide_domains else DOMAINS[:2]
    places = draw(
        st.lists(
            st.tuples(
                st.sampled_from(domains),
                st.sampled_from(("05", "25", "26", "a0")),
            ),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    functions = []
    usual = draw(_models)
    mixed = draw(evenly(0, 2)) == 0
    for domain, bus in places:
        for one in draw(cards(draw(_models) if mixed else usual)):
            one["address"] = f"{domain}:{bus}:{one['address']}"
            if "parent_addr" in one:
                one["parent_addr"] = f"{domain}:{bus}:{one['parent_addr']}"
            functions.append(one)
    functions.sort(key=lambda one: address.PciAddress.parse(one["address"]))
    return _named(functions)


def _named(functions: Host) -> Host:
    """Give network cards' PFs, and the VFs of some, interfaces."""
    named = {one.get("parent_addr") for one in functions if "ifname" in one}
    for number, one in enumerate(functions):
        if "ifname" in one or one["address"] in named:
            one["ifname"] = f"eth{number}"
    return know_parents(functions, only_named=True)


def know_parents(host: Host, *, only_named: bool = False) -> Host:
    """Tell Nova the PF's interface of VFs.

    :param only_named: as Nova's libvirt driver, which does not look below a
        VF that has no interface of its own
    """
    names = {one["address"]: one.get("ifname") for one in host}
    for one in host:
        name = names.get(one.get("parent_addr"))
        if name and (one.get("ifname") or not only_named):
            one["parent_ifname"] = name
    return host


def observed(host: Host) -> list[function.PciFunction]:
    """Return the same host as our scan would give it."""
    return [
        function.PciFunction(
            address=address.PciAddress.parse(one["address"]),
            vendor_id=one["vendor_id"],
            product_id=one["product_id"],
            class_code=0x030200,
            numa_node=one["numa_node"],
            physfn=(
                address.PciAddress.parse(one["parent_addr"])
                if one.get("parent_addr")
                else None
            ),
            sriov_totalvfs=one.get("sriov_totalvfs", 0),
            sriov_numvfs=sum(
                other.get("parent_addr") == one["address"] for other in host
            ),
            netdevs=(one["ifname"],) if one.get("ifname") else (),
            card_serial_number=one.get("capabilities", {"vpd": {}})["vpd"].get(
                "card_serial_number"
            ),
            vdpa=one["dev_type"] == "vdpa",
        )
        for one in host
    ]
