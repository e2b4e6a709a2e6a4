# SPDX-License-Identifier: Apache-2.0
"""Questions about guests that migrate: where their devices point then."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from lxml import etree

from nova_vfio_variant import exception
from nova_vfio_variant.check import deviations
from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.guest import libvirt
from nova_vfio_variant.pci.address import PciAddress
from tests.conformance.ask_guests import ADDRESSES, canonical, device
from tests.conformance.hosts import choose, evenly
from tests.conformance.nova import Nova
from tests.conformance.question import Question, same, shows

#: As libvirt or an operator may write the address 0000:ab:00.4.
_SPELLINGS = (
    {"domain": "0x0000", "bus": "0xab", "slot": "0x00", "function": "0x4"},
    {"domain": "0", "bus": "0xAB", "slot": "0x00", "function": "4"},
    {"domain": "0x0000", "bus": "0xAB", "slot": "0x00", "function": "0x4"},
    {"bus": "171", "slot": "0", "function": "0x4"},
)


@st.composite
def _migrations(draw: st.DrawFn) -> dict[str, Any]:
    """A guest with some devices, and where each of them goes."""
    sources = draw(
        st.lists(
            st.sampled_from(ADDRESSES), min_size=1, max_size=5, unique=True
        )
    )
    elsewhere = [one for one in ADDRESSES if one not in sources]
    # Hosts of one kind: half of the destinations are sources as well.
    pool = st.sampled_from(
        [*sources, *elsewhere[: len(sources)]]
        if draw(st.booleans())
        else elsewhere
    )
    size = len(sources)
    destinations = draw(
        st.lists(pool, min_size=size, max_size=size, unique=True)
    )
    flags = st.lists(
        st.sampled_from(("true", "false")), min_size=size, max_size=size
    )
    return {
        "sources": sources,
        "destinations": destinations,
        "source_managed": draw(flags),
        "destination_managed": draw(flags),
        "order": draw(st.permutations(range(size))),
        "missing": draw(evenly(0, 9)) == 0,
        "spelling": choose(draw, (0, 0, 0, 1, 2, 3)),
    }


def _domain(case: dict[str, Any]) -> etree._Element:
    """Return the source's domain, with other devices between."""
    domain = etree.Element("domain")
    devices = etree.SubElement(domain, "devices")
    for source, managed in zip(
        case["sources"], case["source_managed"], strict=True
    ):
        devices.append(_plugged(libvirt.hostdev(device(source, managed))))
        devices.append(
            libvirt.mdev_hostdev("83c32df7-d52e-4ec1-9668-1f3c7e4df107")
        )
        # A port's device, which Neutron plugs anew.
        port = etree.SubElement(devices, "interface", type="hostdev")
        port.append(libvirt.hostdev(device(source, managed))[-1])
    devices.append(_plugged(libvirt.hostdev(device(_STAYS, "true"))))
    return domain


#: The source of a device that goes nowhere.
_STAYS = "0000:00:1d.0"


def _plugged(hostdev: etree._Element) -> etree._Element:
    """Add what libvirt does to a device of a guest that runs."""
    etree.SubElement(hostdev, "alias", name="hostdev0")
    etree.SubElement(hostdev, "rom", bar="off")
    where = etree.SubElement(hostdev, "address", _SPELLINGS[0])
    where.set("type", "pci")
    return hostdev


def _spell(domain: etree._Element, place: int, how: int) -> None:
    """Write the address of the device at ``place`` in another way."""
    hostdev = domain.findall("devices/hostdev[@type='pci']")[place]
    source = hostdev.find("source")
    assert source is not None
    source.clear()
    etree.SubElement(source, "address", _SPELLINGS[how])


def _compare_migration(
    nova: Nova, case: dict[str, Any]
) -> Iterable[Deviation]:
    domain = _domain(case)
    sources = list(case["sources"])
    met = []
    if case["missing"]:
        sources[0] = "0000:00:1e.0"
    if case["spelling"] and "0000:ab:00.4" in sources:
        place = sources.index("0000:ab:00.4")
        _spell(domain, place, case["spelling"])
        met.append(deviations.MIGRATE_BY_VALUE)
    pairs = [
        (sources[place], case["destinations"][place])
        for place in case["order"]
    ]
    managed = dict(
        zip(case["destinations"], case["destination_managed"], strict=True)
    )
    theirs = nova.ask(
        "migrate",
        xml=etree.tostring(domain, encoding="unicode"),
        pci=pairs,
    )
    try:
        ours = libvirt.rewrite_for_migration(
            domain,
            {
                PciAddress.parse(old): device(new, managed[new])
                for old, new in pairs
            },
        )
    except exception.ClaimError:
        same(theirs.error, "NovaException", case)
        return []
    _check_ours(ours, sources, case)
    chained = any(new in sources and new != old for old, new in pairs)
    if theirs.error:
        # In a chain, Nova may find the address that it wrote itself.
        assert met, (theirs, case)
        same(theirs.error, "NovaException", case)
        return met
    moved = etree.fromstring(theirs.value)
    if case["source_managed"] != case["destination_managed"]:
        met.append(deviations.MIGRATE_MANAGED)
        for element in (*moved.iter("hostdev"), *ours.iter("hostdev")):
            del element.attrib["managed"]
    if chained:
        if canonical(moved) != canonical(ours):
            met.append(deviations.MIGRATE_AT_ONCE)
    else:
        same(canonical(moved), canonical(ours), case)
    return met


def _check_ours(
    ours: etree._Element, sources: list[str], case: dict[str, Any]
) -> None:
    """Each device goes where it should: ours has no model but this."""
    expected = [
        canonical(_plugged(libvirt.hostdev(device(new, managed))))
        for new, managed in (
            *zip(
                case["destinations"],
                case["destination_managed"],
                strict=True,
            ),
            (_STAYS, "true"),
        )
    ]
    found = [
        canonical(element)
        for element in ours.findall("devices/hostdev[@type='pci']")
    ]
    same(expected, found, (sources, case))


# -- live migration of mdevs --------------------------------------------------

_UUIDS = [f"{number}3c32df7-d52e-4ec1-9668-1f3c7e4df107" for number in "12345"]


@st.composite
def _mdev_migrations(draw: st.DrawFn) -> dict[str, Any]:
    """A guest's mdevs, and which ones it gets, often the same UUIDs."""
    sources = draw(
        st.lists(st.sampled_from(_UUIDS), min_size=1, max_size=4, unique=True)
    )
    known = draw(st.permutations(_UUIDS))[: draw(evenly(len(sources), 5))]
    return {
        "sources": sources,
        "pairs": [
            (old, new)
            for old, new in zip(draw(st.permutations(_UUIDS)), known)  # noqa: B905 - some may be missing
        ],
        "upper": draw(evenly(0, 9)) == 0,
        "address": choose(draw, ADDRESSES),
    }


def _compare_mdevs(nova: Nova, case: dict[str, Any]) -> Iterable[Deviation]:
    domain = etree.Element("domain")
    devices = etree.SubElement(domain, "devices")
    for uuid in case["sources"]:
        devices.append(
            libvirt.mdev_hostdev(uuid.upper() if case["upper"] else uuid)
        )
        devices.append(libvirt.hostdev(device(case["address"], None)))
    mdevs = dict(case["pairs"])
    theirs = nova.ask(
        "migrate", xml=etree.tostring(domain, encoding="unicode"), mdevs=mdevs
    )
    try:
        ours = libvirt.rewrite_for_migration(domain, {}, mdevs)
    except exception.ClaimError:
        same(theirs.error, "NovaException", case)
        return []
    same(
        [mdevs[uuid] for uuid in case["sources"]],
        ours.xpath("devices/hostdev[@type='mdev']/source/address/@uuid"),
        case,
    )
    if case["upper"] and theirs.error:
        same(theirs.error, "NovaException", case)
        return [deviations.MIGRATE_BY_VALUE]
    same(canonical(etree.fromstring(theirs.value)), canonical(ours), case)
    return []


@shows(
    deviations.MIGRATE_AT_ONCE,
    nova=["0x7 yes", "0x4 yes"],
    ours=["0x4 yes", "0x7 yes"],
)
def _migrate_at_once(nova: Nova) -> tuple[Any, Any]:
    return _migrated(
        nova,
        {
            "sources": ["0000:05:00.0", "0000:05:00.4"],
            "destinations": ["0000:05:00.4", "0000:05:00.7"],
        },
    )


@shows(deviations.MIGRATE_MANAGED, nova=["0x4 yes"], ours=["0x4 no"])
def _migrate_managed(nova: Nova) -> tuple[Any, Any]:
    return _migrated(
        nova,
        {
            "sources": ["0000:05:00.0"],
            "destinations": ["0000:05:00.4"],
            "destination_managed": ["false"],
        },
    )


@shows(deviations.MIGRATE_BY_VALUE, nova="no hostdev", ours=["0x4 yes"])
def _migrate_by_value(nova: Nova) -> tuple[Any, Any]:
    return _migrated(
        nova,
        {
            "sources": ["0000:ab:00.4"],
            "destinations": ["0000:05:00.4"],
            "spelling": 3,
        },
    )


def _migrated(nova: Nova, case: dict[str, Any]) -> tuple[Any, Any]:
    """Where both sides move the devices of a small domain.

    :returns: function and managed of each source; "no hostdev" where one
        isn't found
    """
    size = len(case["sources"])
    case = {
        "source_managed": ["true"] * size,
        "destination_managed": ["true"] * size,
        **case,
    }
    domain = _domain(case)
    if "spelling" in case:
        _spell(domain, 0, case["spelling"])
    pairs = list(zip(case["sources"], case["destinations"], strict=True))
    theirs = nova.ask(
        "migrate",
        xml=etree.tostring(domain, encoding="unicode"),
        pci=pairs,
    )
    ours = libvirt.rewrite_for_migration(
        domain,
        {
            PciAddress.parse(old): device(new, managed)
            for (old, new), managed in zip(
                pairs, case["destination_managed"], strict=True
            )
        },
    )
    if theirs.error is not None:
        assert "Unable to find the hostdev" in theirs.message, theirs
        return "no hostdev", _placed(ours)
    return _placed(etree.fromstring(theirs.value)), _placed(ours)


def _placed(domain: etree._Element) -> list[str]:
    """Function and managed of each device that a domain may move."""
    found = []
    for hostdev in domain.findall("devices/hostdev[@type='pci']")[:-1]:
        (source,) = hostdev.findall("source/address")
        found.append(f"{source.get('function')} {hostdev.get('managed')}")
    return found


QUESTIONS = (
    Question("live migration", 4, _migrations(), _compare_migration),
    Question("mdev migration", 2, _mdev_migrations(), _compare_mdevs),
)
