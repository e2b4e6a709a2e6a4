# SPDX-License-Identifier: Apache-2.0
"""Which network interfaces the host uses, and for what.

An IPv4 address shows by the route to its network, which only an interface
that is up has; an IPv6 address shows by itself.
"""

import dataclasses
import typing as ty

from nova_vfio_variant.host import function as observed
from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.host.use import Kind, Use

#: <linux/if.h>
_IFF_UP = 0x1
#: <linux/route.h>
_RTF_UP = 0x1


@dataclasses.dataclass(frozen=True, slots=True)
class Routing:
    """Which interfaces the host's network rests on.

    :param default: those with a default route
    :param addressed: those with an address
    """

    default: ty.Collection[str]
    addressed: ty.Collection[str]

    @classmethod
    def of(cls, tree: host_tree.HostTree) -> "Routing":
        """Read it."""
        default, addressed = _routes(tree)
        return cls(default, addressed | _addressed_v6(tree))


def look(
    tree: host_tree.HostTree, function: observed.PciFunction, routing: Routing
) -> tuple[Use, ...]:
    """The uses of one function's interfaces."""
    uses = []
    folder = f"sys/bus/pci/devices/{function.address}/net"
    if not function.netdevs and tree.exists(folder):
        # The folder is there as long as it has an interface, and shows those
        # of our own network namespace alone.
        uses.append(_network("its interface is in a network namespace"))
    for name in function.netdevs:
        place = f"{folder}/{name}"
        flags = tree.read_text(f"{place}/flags")
        if flags is None:
            uses.append(
                Use(Kind.UNKNOWN, f"the state of {name} can't be read")
            )
        elif int(flags, 16) & _IFF_UP:
            uses.append(_network(f"{name} is up"))
        if name in routing.default:
            uses.append(_network(f"{name} has the default route"))
        elif name in routing.addressed:
            uses.append(_network(f"{name} has an address"))
        master = tree.readlink(f"{place}/master")
        if master is not None:
            above = master.rpartition("/")[2]
            uses.append(_network(f"{name} belongs to {above}"))
            continue
        for entry in tree.listdir(place):
            if entry.startswith("upper_"):
                above = entry.removeprefix("upper_")
                uses.append(_network(f"{name} carries {above}"))
    return tuple(uses)


def _network(what: str) -> Use:
    return Use(Kind.NETWORK, what)


def _routes(tree: host_tree.HostTree) -> tuple[set[str], set[str]]:
    """The interfaces with a default route, and those with any of IPv4."""
    default = set()
    routed = set()
    for line in (tree.read_text("proc/net/route") or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and int(fields[3], 16) & _RTF_UP:
            routed.add(fields[0])
            if fields[1] == fields[7] == "00000000":
                default.add(fields[0])
    for line in (tree.read_text("proc/net/ipv6_route") or "").splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[0] == "0" * 32 and fields[1] == "00":
            default.add(fields[9])
    default.discard("lo")
    return default, routed


def _addressed_v6(tree: host_tree.HostTree) -> set[str]:
    text = tree.read_text("proc/net/if_inet6") or ""
    return {line.split()[-1] for line in text.splitlines() if line.split()}
