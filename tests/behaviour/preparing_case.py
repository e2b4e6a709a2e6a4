# SPDX-License-Identifier: Apache-2.0
"""A host that is prepared and taken back, and what it was before."""

import pathlib
import re
import typing as ty

from nova_vfio_variant.host.observe import snapshot
from nova_vfio_variant.host.tree import opening
from tests.behaviour.case import BehaviourCase
from tests.behaviour.host import EDU, EDU_TOO, NIC, NIC_TOO, PF

FOUR = f'{{"address": "{PF}", "num_vfs": 4}}'
#: Not those of the other igb, which may be a guest's.
VFIO = (
    '{"address": "0000:21:*.*", "vendor_id": "8086", "product_id": "10ca",'
    ' "driver": "vfio-pci"}'
)
PAIR = (
    f'{{"address": "{NIC}", "driver": "vfio-pci",'
    f' "companions": ["{NIC_TOO}"]}}'
)
EDUS = (
    f'{{"address": "{EDU}", "driver": "vfio-pci"}}',
    f'{{"address": "{EDU_TOO}", "driver": "vfio-pci"}}',
)
#: What counts events: interfaces, VFIO devices.
_COUNTER = re.compile(r"\b(?:ifindex|iflink)\b|(?<=/vfio)\d+|(?<=/eth)\d+")


def contents(root: pathlib.Path) -> dict[str, object]:
    """What a recording of a host has, without what counts events.

    Modules stay loaded, and so do their drivers.
    """
    found: dict[str, object] = {}
    for path, entry in snapshot.entries(opening.open_tree(str(root))).items():
        name = _COUNTER.sub("N", path)
        # Other tests load modules, and the kernel counts and sleeps.
        if name.startswith(_OTHERS) or _KERNELS.search(name):
            continue
        if isinstance(entry, str):
            found[name] = _COUNTER.sub("N", entry)
        elif not name.endswith("/N"):
            found[name] = entry
        else:
            found[name] = None
    return found


#: What modules bring, of mediated devices too, that other tests load.
_OTHERS = (
    "proc/modules",
    "sys/module/",
    "sys/class/mdev_bus/",
    "sys/bus/mdev/",
    "sys/devices/virtual/mdpy",
    "sys/devices/virtual/mtty",
)
#: What is the kernel's own business.
_KERNELS = re.compile(
    r"^sys/bus/pci/drivers/[^/]+(?:/module)?$|/(?:enable|power_state)$"
)


class PreparingCase(BehaviourCase):
    """Knows how the host was before."""

    #: After a boot.
    booted: ty.ClassVar[dict[str, object]] = {}

    def setUp(self) -> None:
        super().setUp()
        if not self.booted:
            self.booted.update(contents(self.host.root))
        self.before = self.booted

    def assert_as_before(self) -> None:
        """Nothing is left to take back, and all is as it was."""
        self.done("host", "restore", "--dry-run")
        before, after = self.before, contents(self.host.root)
        changed = {
            name: (before.get(name), after.get(name))
            for name in {*before, *after}
            if before.get(name, 0) != after.get(name, 0)
        }
        self.assertEqual({}, changed)

    def apply(self, *entries: str, more: str = "") -> list[str]:
        """Declare, plan, apply; afterwards there is nothing to do.

        :returns: the steps that were done
        """
        self.declare(*entries, more=more)
        planned = None
        if not self.host.is_slow:
            planned = self.run_command("host", "plan", "-f", "json")
            self.assertEqual(1, planned.status, planned.err)
        ran = self.done("host", "apply", "-f", "json")
        self.assertEqual({"done"}, {row["state"] for row in ran.rows})
        steps = [f"{row['subject']} {row['action']}" for row in ran.rows]
        if planned is not None:
            # What was expected has its turn once it can be done.
            self.assertEqual(
                sorted(
                    f"{row['subject']} {row['action']}" for row in planned.rows
                ),
                sorted(steps),
            )
        self.assertEqual(
            (0, "[]\n", ""), self.run_command("host", "plan", "-f", "json")
        )
        return steps

    def restore(self, *addresses: str) -> None:
        """Take it back."""
        self.done("host", "restore", *addresses)

    def refusal(self, *entries: str) -> str:
        """Nothing is done, and why."""
        self.declare(*entries)
        ran = self.run_command("host", "apply", "-q")
        self.assertEqual(2, ran.status)
        self.assert_as_before()
        return ran.err
