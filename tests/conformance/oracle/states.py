# SPDX-License-Identifier: Apache-2.0
"""Nova's device state machine over families of functions."""

import copy
from typing import Any

from nova import objects
from nova.pci import manager

from tests.conformance.oracle import world


def states(
    devices: list[dict[str, Any]], steps: list[tuple[str, str, str | None]]
) -> list[dict[str, Any]]:
    """Do ``steps`` one after another and tell what each one left.

    :param devices: ``address``, ``dev_type``, ``parent_addr``, and the
        ``status`` and ``instance_uuid`` to begin with
    :param steps: ``claim``, ``allocate``, ``free`` or ``remove``; the address
        of the device; the instance's UUID, None for nobody
    """
    family = [_device(number, one) for number, one in enumerate(devices)]
    by_address = {device.address: device for device in family}
    instances: dict[str, dict[str, Any]] = {}
    for device in family:
        if device.status == "allocated":
            instances.setdefault(
                device.instance_uuid,
                {"uuid": device.instance_uuid, "pci_devices": []},
            )["pci_devices"].append(copy.copy(device))
    told = []
    for verb, address, uuid in steps:
        # As at the end of each sync, the only time when devices are removed.
        manager.PciDevTracker._build_device_tree(family)
        instance = None
        if uuid is not None:
            instance = instances.setdefault(
                uuid, {"uuid": uuid, "pci_devices": []}
            )
        told.append(
            {
                **world.answer(
                    _step,
                    device=by_address[address],
                    verb=verb,
                    instance=instance,
                ),
                "devices": {
                    one.address: [one.status, one.instance_uuid]
                    for one in family
                },
            }
        )
    return told


def _device(number: int, told: dict[str, Any]) -> Any:
    known = {
        "status": "available",
        "parent_addr": None,
        "instance_uuid": None,
        "request_id": None,
        **told,
    }
    return objects.PciDevice(
        id=number, compute_node_id=1, extra_info={}, **known
    )


def _step(
    device: Any, verb: str, instance: dict[str, Any] | None
) -> list[str] | None:
    """Return the addresses that ``free`` gave back, in Nova's order."""
    if verb == "claim":
        device.claim(instance and instance["uuid"])
    elif verb == "allocate":
        device.allocate(instance)
    elif verb == "free":
        return [one.address for one in device.free(instance)]
    else:
        device.remove()
    return None
