# SPDX-License-Identifier: Apache-2.0
"""Where tracking and claiming is meant to differ: one small case each."""

import dataclasses
from typing import Any

from nova_vfio_variant.check import deviations
from nova_vfio_variant.pci import parse
from nova_vfio_variant.source import SourceText
from nova_vfio_variant.tracker import sync
from tests.conformance.ask_tracker import INSTANCES
from tests.conformance.both import Both
from tests.conformance.hosts import observed
from tests.conformance.nova import Answer, Nova
from tests.conformance.question import shows

_PF = {
    "address": "0000:25:00.0",
    "vendor_id": "10de",
    "product_id": "25b6",
    "dev_type": "type-PF",
    "numa_node": 0,
    "sriov_totalvfs": 4,
    "ifname": "eth0",
}
FAMILY = [
    _PF,
    *(
        {
            "address": f"0000:25:00.{number}",
            "vendor_id": "10de",
            "product_id": "25b7",
            "dev_type": "type-VF",
            "numa_node": 0,
            "parent_addr": "0000:25:00.0",
        }
        for number in (4, 5)
    ),
]
_VF_ALIAS = (
    '{"name": "vf", "vendor_id": "10de", "product_id": "25b7",'
    ' "device_type": "type-VF"}'
)
_PF_ALIAS = (
    '{"name": "pf", "vendor_id": "10de", "product_id": "25b6",'
    ' "device_type": "type-PF"}'
)


def _case(specs: str, *steps: dict[str, Any]) -> dict[str, Any]:
    """A small host and what happens to it."""
    return {
        "host": FAMILY,
        "specs": [specs],
        "aliases": [_VF_ALIAS, _PF_ALIAS],
        "sockets": (0, 0),
        "steps": steps,
    }


def _claim(number: int, extra_spec: str) -> dict[str, Any]:
    return {
        "do": "claim",
        "instance": INSTANCES[number],
        "extra_spec": extra_spec,
        "policy": None,
        "numa": None,
    }


def _last(nova: Nova, case: dict[str, Any]) -> tuple[Answer, Both, Any]:
    """Take the steps, and return what both sides said to the last one."""
    both = Both(nova, case)
    for step in case["steps"]:
        both.step(step)
    told = both.tell().value
    return Answer.read(told["steps"][-1]), both, told


@shows(deviations.CLAIM_OF_NOTHING, nova=[], ours=None)
def _claim_of_nothing(nova: Nova) -> tuple[Any, Any]:
    theirs, both, _ = _last(nova, _case("[]", _claim(0, "vf:1")))
    return theirs.said, both.answers[-1]


@shows(deviations.NEWCOMER_BLOCKED, nova="available", ours="unclaimable")
def _newcomer_blocked(nova: Nova) -> tuple[Any, Any]:
    _, both, told = _last(
        nova,
        _case(
            '{"product_id": "25b6"}',
            _claim(0, "pf:1"),
            {"do": "respec", "specs": ["{}"]},
        ),
    )
    return told["states"][-1][1]["status"], both.states[-1][1]["status"]


@shows(
    deviations.ORDER_AFTER_FREE, nova=["0000:25:00.4"], ours=["0000:25:00.5"]
)
def _order_after_free(nova: Nova) -> tuple[Any, Any]:
    theirs, both, _ = _last(
        nova,
        _case(
            '{"product_id": "25b7"}',
            _claim(0, "vf:1"),
            _claim(1, "vf:1"),
            {"do": "free", "instance": INSTANCES[0]},
            {"do": "free", "instance": INSTANCES[1]},
            _claim(2, "vf:1"),
        ),
    )
    return theirs.said, both.answers[-1]


@shows(
    deviations.FAILED_CLAIM,
    nova="PciDeviceRequestFailed",
    ours=["0000:25:00.0"],
)
def _failed_claim(nova: Nova) -> tuple[Any, Any]:
    theirs, both, _ = _last(
        nova,
        _case("{}", _claim(0, "vf:1,pf:1"), _claim(1, "pf:1")),
    )
    return theirs.said, both.answers[-1]


@shows(
    deviations.INTERFACE_GONE,
    nova=[["0000:25:00.4", "0000:25:00.5"], "PciDevicePoolEmpty"],
    ours=[[], []],
)
def _interface_gone(nova: Nova) -> tuple[Any, Any]:
    alone = '{"devname": "eth0", "product_id": "25b7", "managed": "no"}'
    theirs: list[Any] = []
    ours = []
    for specs in (alone, f"[{alone}, {{}}]"):
        both = Both(nova, _case(specs))
        both.ours.sync([])
        ours.append([str(device.address) for device in both.ours.devices])
        both.add({"do": "sync", "host": []})
        told = both.tell().value
        given = [at for pool in told["pools"] for at in pool["devices"]]
        theirs.append(Answer.read(told["steps"][0]).error or given)
    return theirs, ours


@shows(deviations.CAME_BACK, nova=1, ours=2)
def _came_back(nova: Nova) -> tuple[Any, Any]:
    case = _case(
        '{"product_id": "25b7"}',
        _claim(0, "vf:1"),
        {"do": "sync", "host": []},
        {"do": "sync", "host": FAMILY},
        {"do": "free", "instance": INSTANCES[0]},
    )
    _, both, told = _last(nova, case)
    return len(told["devices"]), len(both.ours.devices)


@shows(deviations.PF_STAYS_BLOCKED, nova="unclaimable", ours="available")
def _pf_stays_blocked(nova: Nova) -> tuple[Any, Any]:
    case = _case(
        "{}",
        _claim(0, "vf:2"),
        {"do": "sync", "host": [FAMILY[0], FAMILY[2]]},
        {"do": "free", "instance": INSTANCES[0]},
    )
    _, both, told = _last(nova, case)
    return told["devices"][0]["status"], both.states[-1][0]["status"]


@shows(
    deviations.FAMILY_IN_NO_POOL,
    nova=["available", "PciDeviceRequestFailed"],
    ours=["available", ["0000:25:00.0"]],
)
def _family_in_no_pool(nova: Nova) -> tuple[Any, Any]:
    theirs, both, told = _last(
        nova,
        _case(
            "{}",
            _claim(0, "vf:1"),
            {"do": "sync", "host": FAMILY[:2]},
            {"do": "free", "instance": INSTANCES[0]},
            _claim(1, "pf:1"),
        ),
    )
    return (
        [told["states"][-2][0]["status"], theirs.said],
        [both.states[-2][0]["status"], both.answers[-1]],
    )


@shows(deviations.PF_LATER, nova=1, ours=3)
def _pf_later(nova: Nova) -> tuple[Any, Any]:
    case = _case('{"address": "0000:25:00.0"}')
    both = Both(nova, {**case, "host": []})
    both.pfs = {"0000:25:00.0"}
    both.step({"do": "sync", "host": FAMILY})
    told = both.tell().value
    return len(told["devices"]), len(both.ours.devices)


@shows(deviations.NULL_TAG, nova=["0000:25:00.5"], ours=["0000:25:00.4"])
def _null_tag(nova: Nova) -> tuple[Any, Any]:
    case = _case(
        '[{"address": "0000:25:00.4", "trusted": "true"},'
        ' {"address": "0000:25:00.5", "physical_network": null}]',
        _claim(0, "vf:1"),
    )
    theirs, both, _ = _last(nova, case)
    return theirs.said, both.answers[-1]


@shows(deviations.PARENT_IFNAME, nova=None, ours="eth0")
def _parent_ifname(nova: Nova) -> tuple[Any, Any]:
    _, both, told = _last(
        nova, _case("{}", {"do": "free", "instance": INSTANCES[0]})
    )
    return (
        told["devices"][1]["extra_info"].get("parent_ifname"),
        both.ours.devices[1].extra_info["parent_ifname"],
    )


@shows(deviations.MANAGED_ALWAYS, nova=None, ours="true")
def _managed_always(nova: Nova) -> tuple[Any, Any]:
    _, both, told = _last(
        nova, _case("{}", {"do": "free", "instance": INSTANCES[0]})
    )
    return (
        told["devices"][1]["extra_info"].get("managed"),
        both.ours.devices[1].extra_info["managed"],
    )


@shows(
    deviations.DRIVER_TOLD,
    nova=[None, None, None],
    ours=["nvidia_vgpu_vfio", "nvidia_vgpu_vfio", "90"],
)
def _driver_told(nova: Nova) -> tuple[Any, Any]:
    _, _, told = _last(
        nova,
        _case('{"managed": "no"}', {"do": "free", "instance": INSTANCES[0]}),
    )
    specs, _ = parse.parse_device_specs([SourceText.of('{"managed": "no"}')])
    functions = [
        dataclasses.replace(
            seen, driver="nvidia_vgpu_vfio", vfio=True, iommu_group=90
        )
        for seen in observed(FAMILY)
    ]
    ours = sync.desired(specs, functions)[1]
    told_of = ("driver", "vfio_driver", "iommu_group")
    return (
        [told["devices"][1]["extra_info"].get(key) for key in told_of],
        [ours.extra_info.get(key) for key in told_of],
    )


@shows(deviations.PLACE_WAITS, nova="type-PCI", ours="type-VF")
def _place_waits(nova: Nova) -> tuple[Any, Any]:
    alone = {**FAMILY[1], "dev_type": "type-PCI"}
    del alone["parent_addr"]
    case = _case(
        "{}",
        _claim(0, "pf:1"),
        {"do": "sync", "host": [FAMILY[0], alone, FAMILY[2]]},
    )
    _, both, told = _last(nova, case)
    return told["states"][-1][1]["dev_type"], both.states[-1][1]["dev_type"]
