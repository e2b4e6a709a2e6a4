# SPDX-License-Identifier: Apache-2.0
"""Which network interfaces the host uses, and for what.

An IPv6 address shows in ``/proc``. One of IPv4 shows there by the route to
its network, which only an interface that is up has; no file tells what
addresses an interface has that is down. The kernel that we run on is asked
for them (netdevice(7)); of another root they can't be known.

What every interface gets by itself when it is set up says nothing of a use:
link-local addresses (fe80::/10, 169.254/16), and the routes to them and to
multicast groups.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import fcntl
import os
import socket
import struct
import sys
import typing as ty

from nova_vfio_variant.host.observe import use
from nova_vfio_variant.host.observe.use import Kind, Use
from nova_vfio_variant.host.tree import host_tree, paths
from nova_vfio_variant.pci import function as observed

_INTERFACES = "sys/class/net"
#: The interface of one stands below its virtio device.
_VIRTIO = "virtio-pci"
#: <linux/if.h>
_IFF_UP = 0x1
#: <linux/route.h>
_RTF_UP = 0x1
#: <linux/sockios.h>: the IPv4 addresses of all interfaces.
_SIOCGIFCONF = 0x8912
#: struct ifconf, and struct ifreq with the name that it begins with.
_IFCONF = struct.Struct("iP")
_IFREQ = struct.Struct("16s24x" if struct.calcsize("P") == 8 else "16s16x")
#: Where in it the address stands, and how one begins that is link-local.
_IPV4 = 20
_LOCAL_V4 = b"\xa9\xfe"
_MULTICAST_V4 = 0xE0
#: How IPv6 networks begin that are link-local, or multicast groups'.
_LOCAL_V6 = ("fe8", "fe9", "fea", "feb", "ff")
#: <net/ipv6.h>: IPV6_ADDR_LINKLOCAL, as /proc/net/if_inet6 has it.
_SCOPE_LINK = 0x20


@dataclasses.dataclass(frozen=True, slots=True)
class Routing:
    """Which interfaces the host's network rests on.

    :param default: those with a default route
    :param addressed: those with an address, or a route, that doesn't come by
        itself
    :param unread: why there may be more of them; None if all were read
    :param unseen: the root can't show addresses
    :param below: the interfaces of what stands below a function (virtio, a
        scalable function, a USB device), by its address
    """

    default: ty.Collection[str]
    addressed: ty.Collection[str]
    unread: str | None = None
    unseen: bool = False
    below: ty.Mapping[str, ty.Sequence[str]] = dataclasses.field(
        default_factory=dict
    )

    @classmethod
    def of(cls, tree: host_tree.HostTree) -> Routing:
        """Read it."""
        default: set[str] = set()
        addressed: set[str] = set()
        unread = None
        # Of a folder that is a live host, proc/net shows our own namespace.
        net = "proc/1/net"
        if tree.root == "/" or not tree.exists(net):
            net = "proc/net"
        for file, learn in (
            (f"{net}/route", _learn_v4),
            (f"{net}/ipv6_route", _learn_v6),
            (f"{net}/if_inet6", _learn_addresses),
        ):
            try:
                for line in (use.text(tree, file) or "").splitlines():
                    learn(line.split(), default, addressed)
            except (IndexError, OverflowError, ValueError):
                unread = f"/{file} makes no sense"
            except OSError as error:
                unread = f"/{file}: {error.strerror}"
        if tree.root == "/":
            try:
                addressed |= _asked()
            except OSError as error:
                unread = f"the addresses of interfaces: {error.strerror}"
        default.discard("lo")
        return cls(
            default, addressed, unread, use.is_picture(tree), _below(tree)
        )


def look(
    tree: host_tree.HostTree, function: observed.PciFunction, routing: Routing
) -> tuple[Use, ...]:
    """The uses of one function's interfaces."""
    home = f"{paths.DEVICES}/{function.address}"
    places = {name: f"{home}/net/{name}" for name in function.netdevs}
    for name in routing.below.get(str(function.address), ()):
        places.setdefault(name, f"{_INTERFACES}/{name}")
    if not places:
        # The folder is there as long as it has an interface, and shows those
        # of our own network namespace alone.
        folders = [home]
        if function.driver == _VIRTIO:
            folders += (
                f"{home}/{name}"
                for name in tree.listdir(home)
                if name.startswith("virtio")
            )
        if any(tree.exists(f"{folder}/net") for folder in folders):
            return (_network("its interface is in a network namespace"),)
    uses: list[Use] = []
    for name, place in places.items():
        try:
            if int(tree.read_bytes(f"{place}/flags"), 16) & _IFF_UP:
                uses.append(Use(Kind.LINK, f"{name} is up"))
        except (OSError, ValueError):
            uses.append(use.unknown(f"the state of {name} can't be read"))
        uses += _of_addresses(name, routing)
        try:
            uses += _of_links(tree, place, name)
        except OSError as error:
            uses.append(
                use.unknown(f"what {name} carries can't be read", error)
            )
    return tuple(uses)


def _below(tree: host_tree.HostTree) -> dict[str, list[str]]:
    """The interfaces that there are, by the function that they hang off."""
    found: dict[str, list[str]] = {}
    for name in tree.listdir(_INTERFACES):
        # One that vanishes meanwhile is nobody's.
        with contextlib.suppress(OSError):
            home = tree.real_path(f"{_INTERFACES}/{name}")
            address = use.last_address(home)
            if address is not None:
                found.setdefault(address, []).append(name)
    return found


def _of_addresses(name: str, routing: Routing) -> ty.Iterator[Use]:
    """What rests on an interface's addresses."""
    if name in routing.default:
        yield _network(f"{name} has the default route")
    elif name in routing.addressed:
        yield _network(f"{name} has an address")
    elif routing.unread is not None:
        yield use.unknown(
            f"whether {name} has an address can't be read: {routing.unread}"
        )


def _of_links(tree: host_tree.HostTree, place: str, name: str) -> list[Use]:
    """What an interface belongs to, or carries.

    :raises OSError: that can't be read
    """
    master = use.link(tree, f"{place}/master")
    if master is not None:
        above = master.rpartition("/")[2]
        return [_network(f"{name} belongs to {above}")]
    return [
        _network(f"{name} carries {entry.removeprefix('upper_')}")
        for entry in use.names(tree, place)
        if entry.startswith("upper_")
    ]


def _network(what: str) -> Use:
    return Use(Kind.NETWORK, what)


def _learn_v4(
    fields: list[str], default: set[str], addressed: set[str]
) -> None:
    """Learn from a line of ``/proc/net/route``; its header has no numbers.

    :raises IndexError, ValueError, OverflowError: it is no route
    """
    if fields[:2] == ["Iface", "Destination"]:
        return
    if int(fields[3], 16) & _RTF_UP:
        if fields[1] == fields[7] == "00000000":
            default.add(fields[0])
        to = int(fields[1], 16).to_bytes(4, sys.byteorder)
        if not to.startswith(_LOCAL_V4) and to[0] & 0xF0 != _MULTICAST_V4:
            addressed.add(fields[0])


def _learn_v6(
    fields: list[str], default: set[str], addressed: set[str]
) -> None:
    """Learn from a line of ``/proc/net/ipv6_route``.

    :raises IndexError, ValueError: it is no route
    """
    if int(fields[0], 16) == int(fields[1], 16) == 0:
        default.add(fields[9])
    if not fields[0].startswith(_LOCAL_V6):
        addressed.add(fields[9])


def _learn_addresses(
    fields: list[str], _default: set[str], addressed: set[str]
) -> None:
    """Learn from a line of ``/proc/net/if_inet6``.

    :raises IndexError, ValueError: it is no address
    """
    if int(fields[3], 16) != _SCOPE_LINK:
        addressed.add(fields[5])


def _asked() -> set[str]:
    """The interfaces that have an IPv4 address, be they up or down.

    One that is link-local doesn't count.

    :raises OSError: the kernel doesn't say
    """
    # Of any family (netdevice(7)): the unit may lack those of a network.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        room = 64
        while True:
            answer = array.array("B", bytes(room * _IFREQ.size))
            place, size = answer.buffer_info()
            told = fcntl.ioctl(asking, _SIOCGIFCONF, _IFCONF.pack(size, place))
            used, _ = _IFCONF.unpack(told)
            if used < size:
                break
            room *= 2
    # An address may have a name of its own: eth0:1. A name may be any bytes,
    # and is to be as it is in a list of files.
    data = answer[:used].tobytes()
    return {
        os.fsdecode(data[at : at + 16].partition(b"\0")[0]).partition(":")[0]
        for at in range(0, used, _IFREQ.size)
        if not data.startswith(_LOCAL_V4, at + _IPV4)
    }
