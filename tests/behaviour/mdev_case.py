# SPDX-License-Identifier: Apache-2.0
"""A host that takes some mediated devices."""

import typing as ty

from tests.behaviour.case import BehaviourCase

INSTANCE = "8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"


class MdevCase(BehaviourCase):
    """Has mtty (24 ports) and mdpy (4 displays)."""

    def setUp(self) -> None:
        super().setUp()
        for module in ("mtty", "mdpy"):
            self.host.modprobe(module)
        self.addCleanup(self._remove_all)

    def _remove_all(self) -> None:
        for row in self.all():
            # To remove one that is open waits.
            if row["state"] == "there" and not row["used_by"]:
                self.write(f"sys/bus/mdev/devices/{row['uuid']}/remove", "1")

    def all(self) -> list[dict[str, ty.Any]]:
        """What ``mdev list`` shows."""
        return self.done("mdev", "list", "-f", "json").rows

    def create(self, *words: str) -> dict[str, ty.Any]:
        """Make one."""
        [row] = self.done("mdev", "create", *words, "-q", "-f", "json").rows
        return row
