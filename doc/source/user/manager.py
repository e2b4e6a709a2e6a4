# SPDX-License-Identifier: Apache-2.0
"""Runs one QEMU with the devices of a claim: manager.py INSTANCE ALIAS:COUNT"""

import subprocess
import sys

from nova_vfio_variant import exception
from nova_vfio_variant.node.node import Node


def run(node: Node, instance: str, wanted: str, qemu: list[str]) -> int:
    """Claim, run the guest to its end, and give back."""
    with node.guarded_claim(instance, wanted) as guard:
        devices = [
            f"-device=vfio-pci,host={address}"
            for claim in guard.claims
            for address in claim.addresses
        ]
        guest = subprocess.Popen([*qemu, *devices])
        guard.started()
    status = guest.wait()
    node.claims.release(instance, assignment=guard.assignment, wait=10.0)
    return status


if __name__ == "__main__":
    try:
        sys.exit(run(Node(), *sys.argv[1:3], sys.argv[3:]))
    except exception.VfioVariantError as error:
        sys.exit(f"{error.message}\n{error.hint or ''}")
