# SPDX-License-Identifier: Apache-2.0
"""Whether the host itself needs a function: for its network, disk or screen.

Only what is seen counts: what can't be read is in use to whoever changes the
host, and no finding to a checker that anyone may run.
"""

from nova_vfio_variant.host import function as host_function
from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.host import use
from nova_vfio_variant.host.use import display, network, storage


class Loads:
    """What the functions of a host carry for it."""

    def __init__(self, host: host_tree.HostTree) -> None:
        self._host = host
        self._routing = network.Routing.of(host)
        self._disks = storage.look(host)

    def of(
        self, seen: host_function.PciFunction, *, passes_link: bool = False
    ) -> str | None:
        """What a function carries, as half a sentence; None for nothing.

        :param passes_link: its interfaces are up for those of its VFs, and
            that alone is no use
        """
        no_use = {use.Kind.UNKNOWN}
        if passes_link:
            no_use.add(use.Kind.LINK)
        uses = (
            *network.look(self._host, seen, self._routing),
            *self._disks.of(seen),
            *display.look(self._host, str(seen.address)),
        )
        return next((one.what for one in uses if one.kind not in no_use), None)
