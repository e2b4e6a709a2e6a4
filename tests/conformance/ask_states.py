# SPDX-License-Identifier: Apache-2.0
"""Questions about the state machine of devices over PF and VF families."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.check import deviations
from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.pci.address import PciAddress
from nova_vfio_variant.tracker.device import Device, Status
from nova_vfio_variant.tracker.family import Families
from tests.conformance.hosts import Host, choose, evenly, hosts
from tests.conformance.nova import Nova
from tests.conformance.question import Question, same, shows

_INSTANCES = (
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
)
_VERBS = ("claim", "claim", "allocate", "allocate", "free", "free", "remove")
#: Mostly those in which a family still takes a step.
_STATUSES = (
    "available", "available", "available", "claimed", "allocated",
    "unavailable", "unavailable", "unclaimable",
)  # fmt: skip
_TOLD = ("address", "dev_type", "parent_addr", "status", "instance_uuid")

Step = tuple[str, str, str | None]
State = dict[str, list[str | None]]


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    """A host whose functions are claimed, allocated, freed and removed."""
    host = draw(hosts())
    # A few devices only, so that steps meet.
    few = host[: draw(evenly(1, 8))]
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(_VERBS),
                st.sampled_from([one["address"] for one in few]),
                st.sampled_from(_INSTANCES),
            ),
            min_size=1,
            max_size=12,
        )
    )
    nobody = draw(evenly(0, 3)) == 0
    if draw(evenly(0, 1)) == 0:
        # As a crash, or bug 1969496, may leave them.
        for one in few:
            one["status"] = choose(draw, _STATUSES)
            if one["status"] in {"claimed", "allocated"}:
                one["instance_uuid"] = choose(draw, _INSTANCES)
    return {
        "host": few,
        "steps": [
            (verb, address, None if verb == "free" and nobody else instance)
            for verb, address, instance in steps
        ],
    }


class _Ours:
    """Our state machine, asked step by step as Nova's is."""

    def __init__(self, host: Host) -> None:
        self.devices = {
            one["address"]: Device(
                PciAddress.parse(one["address"]),
                one["vendor_id"],
                one["product_id"],
                one["dev_type"],
                one["numa_node"],
                PciAddress.parse(one["parent_addr"])
                if "parent_addr" in one
                else None,
                "CUSTOM_X",
                status=Status(one.get("status", "available")),
                instance_uuid=one.get("instance_uuid"),
            )
            for one in host
        }

    def step(self, verb: str, address: str, instance: str | None) -> bool:
        """Do one step; tell whether it was refused."""
        families = Families(
            tracked_device
            for tracked_device in self.devices.values()
            if tracked_device.status not in {"removed", "deleted"}
        )
        where = PciAddress.parse(address)
        args = () if verb == "remove" else (instance,)
        try:
            getattr(families, verb)(where, *args)
        except (exception.InvalidDeviceStatus, exception.DeviceNotFound):
            return True
        for device in families.changes():
            self.devices[str(device.address)] = device
        return False

    def state(self) -> State:
        return {
            address: [str(device.status), device.instance_uuid]
            for address, device in self.devices.items()
        }


def _compare(nova: Nova, case: dict[str, Any]) -> Iterable[Deviation]:
    theirs = nova.ask(
        "states",
        devices=[
            {key: one[key] for key in _TOLD if key in one}
            for one in case["host"]
        ],
        steps=case["steps"],
    )
    assert theirs.error is None, theirs
    ours = _Ours(case["host"])
    for step, told in zip(case["steps"], theirs.value, strict=True):
        assert not told.get("uncaught"), (told, step, case)
        refused = ours.step(*step)
        same("error" in told, refused, (step, case))
        if told["devices"] != ours.state():
            _taken_away(step, told["devices"], ours.state(), case)
            return [deviations.FREED_FROM_OWNER]
    return []


def _taken_away(
    step: Step, theirs: State, ours: State, case: dict[str, Any]
) -> None:
    """All that differs is in use, and Nova made it available by a free."""
    same(step[0], "free", (step, case))
    for address, (status, owner) in ours.items():
        if theirs[address] != [status, owner]:
            assert status in {"claimed", "allocated"}, (step, case)
            same(theirs[address], ["available", owner], (step, case))


@shows(
    deviations.FREED_FROM_OWNER,
    nova=["available", _INSTANCES[1]],
    ours=["allocated", _INSTANCES[1]],
)
def _freed_from_owner(nova: Nova) -> tuple[Any, Any]:
    host: Host = [
        {
            "address": "0000:25:00.0",
            "vendor_id": "10de",
            "product_id": "25b6",
            "numa_node": 0,
            "dev_type": "type-PF",
            "status": "allocated",
            "instance_uuid": _INSTANCES[0],
        },
        {
            "address": "0000:25:00.4",
            "vendor_id": "10de",
            "product_id": "25b7",
            "numa_node": 0,
            "dev_type": "type-VF",
            "parent_addr": "0000:25:00.0",
            "status": "allocated",
            "instance_uuid": _INSTANCES[1],
        },
    ]
    step = ("free", "0000:25:00.0", None)
    told = nova.ask(
        "states",
        devices=[
            {key: one[key] for key in _TOLD if key in one} for one in host
        ],
        steps=[step],
    )
    ours = _Ours(host)
    ours.step(*step)
    vf = "0000:25:00.4"
    return told.value[0]["devices"][vf], ours.state()[vf]


QUESTIONS = (Question("device states", 10, _cases(), _compare),)
