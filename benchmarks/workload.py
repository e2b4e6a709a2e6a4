# SPDX-License-Identifier: Apache-2.0
"""The work that both sides are given: hosts and device specs, as plain data.

Imports nothing of ours, for it is read by Nova's interpreter too.
"""

import json
from typing import Any

#: Physical functions of each host, and so specs, pools and providers.
PFS = 64
VENDOR_ID = "8086"
PF_PRODUCT_ID = "10c9"
VF_PRODUCT_ID = "10ca"

#: One spec for every VF, whatever its PF.
ALL_VFS = [json.dumps({"vendor_id": VENDOR_ID, "product_id": VF_PRODUCT_ID})]


def host(vfs: int) -> list[dict[str, Any]]:
    """Return PFs with ``vfs`` VFs among them, on two NUMA nodes.

    Each PF begins a bus of its own, its VFs follow on the same bus.
    """
    functions: list[dict[str, Any]] = []
    for bus in range(PFS):
        of_this_pf = vfs // PFS + (bus < vfs % PFS)
        pf = f"0000:{bus:02x}:00.0"
        functions.append(
            {
                "address": pf,
                "vendor_id": VENDOR_ID,
                "product_id": PF_PRODUCT_ID,
                "dev_type": "type-PF",
                "numa_node": bus % 2,
                "sriov_totalvfs": of_this_pf,
            }
        )
        functions.extend(
            {
                "address": f"0000:{bus:02x}:{place >> 3:02x}.{place & 7}",
                "vendor_id": VENDOR_ID,
                "product_id": VF_PRODUCT_ID,
                "dev_type": "type-VF",
                "parent_addr": pf,
                "numa_node": bus % 2,
            }
            for place in range(1, of_this_pf + 1)
        )
    return functions


def vfs_of(functions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the VFs alone."""
    return [one for one in functions if one["dev_type"] == "type-VF"]


def specs() -> dict[str, list[str]]:
    """Return the four sets of 64 ``device_spec`` values, by kind."""
    return {
        "pf_address": [
            json.dumps(
                {
                    "address": f"0000:{bus:02x}:00.0",
                    "product_id": VF_PRODUCT_ID,
                }
            )
            for bus in range(PFS)
        ],
        "glob": [
            json.dumps({"address": f"*:{bus:02x}:*.*"}) for bus in range(PFS)
        ],
        "ids_miss": [
            json.dumps({"vendor_id": VENDOR_ID, "product_id": f"{n:04x}"})
            for n in range(PFS)
        ],
        "regex": [
            json.dumps({"address": {"bus": f"{bus:02x}"}})
            for bus in range(PFS)
        ],
    }
