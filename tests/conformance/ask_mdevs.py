# SPDX-License-Identifier: Apache-2.0
"""Questions about Nova's options and inventories of mediated devices."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant.check import deviations
from nova_vfio_variant.declaration import facts, mdev_offers, nova_mdevs
from nova_vfio_variant.host.observe import mdev
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.placement import mdev_parents, provider
from tests.conformance.hosts import choose, evenly
from tests.conformance.nova import Answer, Nova
from tests.conformance.question import Met, Question, same, shows
from tests.unit.host import make

_NODE = "node1"
_KINDS = ("nvidia-35", "nvidia-36", "mtty-1")
_PARENTS = ("0000:84:00.0", "0000:85:00.0", "0000:8a:00.4", "10000:01:00.0")
_NAMES = (*_PARENTS, "0000:8A:00.4", "mtty_mtty", "84:00.0", "other_one")
_CLASSES = ("VGPU", "CUSTOM_A", "CUSTOM_B2")

#: Of a host without VFs.
_SCAN = make.scan()

Case = dict[str, Any]


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    """Options, and a host."""
    groups: dict[str, dict[str, Any]] = {}
    enabled = [choose(draw, _KINDS) for _ in range(draw(evenly(0, 3)))]
    named = draw(st.permutations((*_PARENTS[:3], "mtty_mtty")))
    for kind in dict.fromkeys(enabled):
        group: dict[str, Any] = {}
        if draw(evenly(0, 2)):
            group["device_addresses"] = [
                named.pop() if draw(evenly(0, 11)) else choose(draw, _NAMES)
                for _ in range(draw(evenly(1, 2)))
                if named
            ]
        if draw(st.booleans()):
            group["mdev_class"] = choose(draw, _CLASSES)
        if draw(evenly(0, 2)) == 0:
            group["max_instances"] = draw(evenly(1, 9))
        groups[kind] = group
    parents = [
        {
            "name": name,
            "types": {
                kind: draw(evenly(0, 4))
                for kind in _KINDS
                if draw(evenly(0, 3))
            },
            "made": [choose(draw, _KINDS) for _ in range(draw(evenly(0, 3)))],
        }
        for name in (*_PARENTS, "mtty")
        if draw(evenly(0, 4))
    ]
    return {"enabled": enabled, "groups": groups, "parents": parents}


def _told(parent: dict[str, Any]) -> mdev.Parent:
    name = parent["name"]
    try:
        address = pci_address.PciAddress.parse(name)
    except ValueError:
        address = None
    return mdev.Parent(
        name,
        f"sys/devices/virtual/{name}/{name}"
        if address is None
        else f"sys/devices/pci0000:80/{name}",
        address,
        tuple(
            mdev.MdevType(kind, available=available)
            for kind, available in sorted(parent["types"].items())
        ),
    )


def _nova(nova: Nova, case: Case) -> Answer:
    parents = [(_told(parent), parent) for parent in case["parents"]]
    return nova.ask(
        "mdevs",
        enabled=case["enabled"],
        groups=case["groups"],
        parents=[
            {
                "dev_id": nova_mdevs.libvirt_name(told),
                "types": {
                    kind: {"availableInstances": available}
                    for kind, available in parent["types"].items()
                },
            }
            for told, parent in parents
        ],
        made=[
            {"parent": nova_mdevs.libvirt_name(told), "type": kind}
            for told, parent in parents
            for kind in parent["made"]
        ],
        node=_NODE,
    )


def _read(case: Case) -> tuple[nova_mdevs.NovaMdevs, Any]:
    """What we read of the options, and what the parents offer."""
    given = facts.CheckInput(
        options={
            nova_mdevs.ENABLED: case["enabled"],
            **{
                (f"mdev_{kind}", name): value
                for kind, group in case["groups"].items()
                for name, value in group.items()
            },
        }
    )
    there = {
        nova_mdevs.libvirt_name(_told(parent)) for parent in case["parents"]
    }
    read = nova_mdevs.read(given, there.__contains__)
    devices = [
        mdev.Mdev(f"{number}-{parent['name']}", parent["name"], kind)
        for parent in case["parents"]
        for number, kind in enumerate(parent["made"])
    ]
    mdevs = mdev.Mdevs(
        {parent["name"]: _told(parent) for parent in case["parents"]},
        {device.uuid: device for device in devices},
    )
    # Each device is somebody's: Nova's numbers don't say whose.
    return read, mdev_offers.of_host(mdevs, _SCAN, read, mdevs.devices)


def _plain(made: Iterable[provider.Provider]) -> dict[str, Any]:
    return {
        one.name: {
            name: {
                "total": units.total,
                "min_unit": 1,
                "step_size": 1,
                "reserved": units.reserved + units.blocked,
                "allocation_ratio": 1.0,
                "max_unit": units.max_unit,
            }
            for name, units in one.inventories.items()
        }
        for one in made
    }


def _compare(nova: Nova, case: Case) -> Iterable[Met]:
    theirs = _nova(nova, case)
    read, offers = _read(case)
    refused = any(named.wrong for named in read.named)
    same(theirs.error is not None, refused, (theirs, case))
    if refused:
        same("InvalidLibvirtMdevConfig", theirs.error, case)
        return ["refused"]
    made = mdev_parents.as_nova(offers, read.limits, _NODE)
    same(theirs.value, _plain(made), case)
    met: list[Met] = ["published"] if made else []
    if _plain(mdev_parents.ours(offers, read.limits, _NODE)) != theirs.value:
        met.append(
            deviations.MDEV_CAPPED if read.limits else deviations.MDEV_TOTALS
        )
    return met


QUESTIONS = (
    Question(
        "mediated devices",
        4,
        _cases(),
        _compare,
        {"published": 0.15, "refused": 0.05},
    ),
)


def _heard(nova: Nova, group: dict[str, Any], *available: int) -> Any:
    """Totals less what is reserved, Nova's and ours."""
    case = {
        "enabled": ["nvidia-35"],
        "groups": {"nvidia-35": group},
        "parents": [
            {"name": name, "types": {"nvidia-35": count}, "made": []}
            for name, count in zip(_PARENTS, available, strict=False)
        ],
    }
    read, offers = _read(case)
    ours = _plain(mdev_parents.ours(offers, read.limits, _NODE))
    return tuple(
        sorted(
            (name, units["total"], units["reserved"])
            for name, found in told.items()
            for units in found.values()
        )
        for told in (_nova(nova, case).value, ours)
    )


_ONE, _TWO = f"{_NODE}_pci_0000_84_00_0", f"{_NODE}_pci_0000_85_00_0"


@shows(
    deviations.MDEV_CAPPED,
    nova=[(_ONE, 16, 0)],
    ours=[(_ONE, 16, 0), (_TWO, 16, 12)],
)
def _capped(nova: Nova) -> Any:
    return _heard(nova, {"max_instances": 20}, 16, 16)


@shows(
    deviations.MDEV_TOTALS,
    nova=[(_ONE, 1, 0)],
    ours=[(_ONE, 1, 0), (_TWO, 1, 1)],
)
def _totals(nova: Nova) -> Any:
    return _heard(nova, {}, 1, 0)
