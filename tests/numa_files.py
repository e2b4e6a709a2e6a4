# SPDX-License-Identifier: Apache-2.0
"""What a host with several NUMA nodes has in sysfs."""


def numa(*sockets: int) -> dict[str, str]:
    """Files of a host's NUMA nodes, each with a processor of this socket."""
    files = {}
    for node, socket in enumerate(sockets):
        files[f"sys/devices/system/node/node{node}/cpulist"] = f"{node}\n"
        files[
            f"sys/devices/system/cpu/cpu{node}/topology/physical_package_id"
        ] = f"{socket}\n"
    return files
