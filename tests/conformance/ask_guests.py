# SPDX-License-Identifier: Apache-2.0
"""Questions about guests: hostdev and mdev XML."""

import itertools
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from lxml import etree

from nova_vfio_variant.check import deviations
from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.guest import libvirt
from nova_vfio_variant.pci.address import PciAddress
from nova_vfio_variant.tracker.device import Device
from tests.conformance.nova import Nova
from tests.conformance.question import Question, same, shows

ADDRESSES = [
    f"{domain}:{bus}:{slot}.{function}"
    for domain, bus, slot, function in itertools.product(
        ("0000", "00ff", "ffff"), ("05", "ab", "ff"), ("00", "1f"), "047"
    )
]


def device(address: str, managed: str | None) -> Device:
    """Return a tracked device."""
    return Device(
        PciAddress.parse(address),
        "10de",
        "25b6",
        "type-VF",
        None,
        None,
        "CUSTOM_X",
        extra_info={} if managed is None else {"managed": managed},
    )


def canonical(element: etree._Element) -> str:
    """Return XML as text that does not depend on its layout."""
    text: str = etree.canonicalize(
        etree.tostring(element, encoding="unicode"), strip_text=True
    )
    return text


def without_driver(element: etree._Element) -> etree._Element:
    """Return our ``<hostdev>`` without what Nova does not write."""
    for driver in element.findall("driver"):
        assert driver.items() == [("name", "vfio")]
        element.remove(driver)
    return element


# -- hostdev ---------------------------------------------------------------

_hostdevs = st.tuples(
    st.one_of(
        st.builds(
            PciAddress,
            st.integers(0, 0x100FF),
            st.integers(0, 0xFF),
            st.integers(0, 0x1F),
            st.integers(0, 7),
        ).map(str),
        st.sampled_from(ADDRESSES),
    ),
    st.sampled_from(("true", "false", None, "yes")),
)


def _compare_hostdev(
    nova: Nova, case: tuple[str, str | None]
) -> Iterable[Deviation]:
    address, managed = case
    ours = libvirt.hostdev(device(address, managed))
    theirs = nova.ask(
        "hostdev",
        address=address,
        extra_info={} if managed is None else {"managed": managed},
    )
    if PciAddress.parse(address).domain > 0xFFFF:
        same(theirs.error, "PciDeviceWrongAddressFormat", case)
        return [deviations.HOSTDEV_WIDE_DOMAIN]
    same(
        canonical(etree.fromstring(theirs.value)),
        canonical(without_driver(ours)),
        case,
    )
    return [deviations.HOSTDEV_DRIVER]


@shows(deviations.HOSTDEV_DRIVER, nova=["source"], ours=["driver", "source"])
def _hostdev_driver(nova: Nova) -> tuple[Any, Any]:
    theirs = nova.ask("hostdev", address="0000:25:00.4", extra_info={}).value
    ours = libvirt.hostdev(device("0000:25:00.4", None))
    return (
        [child.tag for child in etree.fromstring(theirs)],
        [child.tag for child in ours],
    )


@shows(
    deviations.HOSTDEV_WIDE_DOMAIN,
    nova="PciDeviceWrongAddressFormat",
    ours=["0x10000"],
)
def _hostdev_wide_domain(nova: Nova) -> tuple[Any, Any]:
    theirs = nova.ask("hostdev", address="10000:e1:00.0", extra_info={})
    ours = libvirt.hostdev(device("10000:e1:00.0", None))
    return theirs.said, ours.xpath("source/address/@domain")


# -- mdev --------------------------------------------------------------------


def _compare_mdev(nova: Nova, uuid: str) -> Iterable[Deviation]:
    same(
        canonical(etree.fromstring(nova.ask("mdev", uuid=uuid).value)),
        canonical(libvirt.mdev_hostdev(uuid)),
        uuid,
    )
    return []


QUESTIONS = (
    Question("hostdev XML", 2, _hostdevs, _compare_hostdev),
    Question("mdev XML", 1, st.uuids().map(str), _compare_mdev),
)
