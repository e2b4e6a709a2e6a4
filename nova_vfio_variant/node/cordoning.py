# SPDX-License-Identifier: Apache-2.0
"""Giving a device, or a whole card, to nobody new; and who is still on it."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.decide import obstacles, refusal
from nova_vfio_variant.host.observe import use
from nova_vfio_variant.node import (
    placement_side,
    syncing,
    tracked_devices,
    waiting,
)
from nova_vfio_variant.pci import mdev_names
from nova_vfio_variant.tracker import cordons

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.host.observe import facts as host_facts
    from nova_vfio_variant.node import context as node_context
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function as observed
    from nova_vfio_variant.tracker import store as tracker_store

_LOG = logging.getLogger(__name__)

#: What says that somebody is on a function; a network interface of the
#: host's, for one, doesn't.
_ON_IT: ty.Final = frozenset({use.Kind.OPEN, use.Kind.VDPA, use.Kind.UNKNOWN})


@dataclasses.dataclass(frozen=True, slots=True)
class Unenforced:
    """Why somebody else may give a device away, and what is to be done.

    :param reason: one sentence
    :param mends: commands, in the order in which they are run
    """

    reason: str
    mends: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class User:
    """Who is on a device.

    :param subject: the function's address, or the mediated device's UUID
    :param instance_uuid: whose it is; None if nobody says
    :param what: a claim and its state, or what is seen on the host
    """

    subject: str
    instance_uuid: str | None
    what: str


class Cordoning:
    """Cordons devices, and lifts that.

    :param on: what one call sees of the node
    """

    def __init__(self, on: node_context.Context) -> None:
        self._context = on

    def cordon(
        self, address: pci_address.PciAddress, reason: str
    ) -> Unenforced | None:
        """Let nobody new have a function; of a PF, nor its VFs.

        It is on disk before Placement hears of it, and stays until
        :meth:`uncordon`. The same again changes nothing.

        :param reason: why, in a line
        :returns: why it doesn't hold for whom we don't give devices to; None
            where it does
        :raises HostError: the host has no such function, or it is a bridge
        :raises LockTimeout: another command writes
        :raises StoreError: the store can't be read or written
        """
        function = self._context.function(address)
        if function.is_any_bridge:
            raise refusal.error((obstacles.is_bridge(function),))
        with syncing.locked(self._context) as store:
            known = {one.address: one for one in store.cordons.all()}.get(
                address
            )
            if (
                known is None
                or known.reason != reason
                or known.identity.is_another(function.identity)
            ):
                store.cordons.put(address, reason, function.identity)
                _LOG.info("device %s: cordoned: %s", address, reason)
            return self._enforced(store, function, reason)

    def uncordon(
        self, address: pci_address.PciAddress
    ) -> tuple[bool, Unenforced | None]:
        """Lift a cordon.

        :returns: whether there was one; and why the device isn't offered
            again yet, None where it is
        :raises HostError: the host can't be seen
        :raises LockTimeout: another command writes
        :raises StoreError: the store can't be read or written
        """
        if not self._context.has_state:
            return False, None
        with syncing.locked(self._context) as store:
            lifted = store.cordons.remove(address)
            if lifted:
                _LOG.info("device %s: no longer cordoned", address)
            function = self._context.scan.get(address)
            if function is None:
                return lifted, None
            left = self._enforced(store, function, None) if lifted else None
            return lifted, self._with_pf(store, function) or left

    def _with_pf(
        self, store: tracker_store.Store, function: observed.PciFunction
    ) -> Unenforced | None:
        """Whether a VF is cordoned by what was said of its PF."""
        pf = function.physfn
        reason = pf and cordons.standing(
            store.cordons.all(), self._context.scan.get
        ).get(pf)
        if not reason:
            return None
        return Unenforced(
            f"{function.address} is cordoned with its PF {pf}: {reason}",
            (f"nova-vfio device uncordon {pf}",),
        )

    def users(self, address: pci_address.PciAddress) -> tuple[User, ...]:
        """Who is on a function now, or on what is below it.

        Claims, and what is seen on the host. What can't be known counts.
        """
        host = self._context.verdicts.facts
        family = {
            function.address
            for function in host.scan.functions
            if address in (function.address, function.physfn)
        }
        claimed = {*self._claimed(family, host)}
        mine = {user.subject for user in claimed}
        found = {
            *claimed,
            *_seen(family, host),
            *(
                user
                for user in _below(family, host)
                if user.subject not in mine
            ),
        }
        return tuple(sorted(found, key=lambda user: (user.subject, user.what)))

    def _claimed(
        self,
        family: ty.Collection[pci_address.PciAddress],
        host: host_facts.HostFacts,
    ) -> ty.Iterator[User]:
        """Who has a claim."""
        if not self._context.has_state:
            return
        with self._context.open_store(read_only=True) as store:
            claims = tracked_devices.claims(self._context, store)
            kinds = tracked_devices.mdev_kinds(store)
        parents = {str(at) for at in family}
        for claim in claims:
            of_it = [str(at) for at in claim.addresses if at in family]
            of_it += (
                uuid
                for uuid in claim.mdevs
                if mdev_names.parse_kind(kinds[uuid])[0] in parents
            )
            for subject in of_it:
                yield User(
                    subject,
                    claim.instance_uuid,
                    f"its claim is {claim.state}",
                )

    def _enforced(
        self,
        store: tracker_store.Store,
        function: observed.PciFunction,
        reason: str | None,
    ) -> Unenforced | None:
        """Let Placement know, where that is ours to do.

        :param reason: why it is to be reserved; None where it no more is
        :returns: why Placement doesn't
        """
        from nova_vfio_variant.declaration import nova_here

        try:
            given = syncing.declared(self._context)
            syncing.sync(self._context, store)
            beside = nova_here.beside_nova(given)
            if beside is not None:
                return self._of_nova(given, function, beside, reason)
            devices = [
                device
                for device in store.devices()
                if function.address in (device.address, device.parent_addr)
            ]
            published = placement_side.PlacementSide(
                self._context
            ).publication(store)
            published.publish(devices, also=self._parents(given, function))
        except exception.VfioVariantError as error:
            told = "not reserved" if reason else "reserved still"
            return Unenforced(
                f"it is {told} in Placement: {error.message}",
                ("nova-vfio inventory report",),
            )
        return None

    @staticmethod
    def _parents(
        given: facts.CheckInput, function: observed.PciFunction
    ) -> frozenset[str]:
        """The names of the providers of a function's mediated devices."""
        from nova_vfio_variant.declaration import nova_mdevs

        return frozenset(
            f"{given.root}_{nova_mdevs.libvirt_name(parent)}"
            for parent in given.host_facts.mdevs.parents.values()
            if parent.address is not None
            and (seen := given.host_facts.scan.get(parent.address)) is not None
            and function.address in (seen.address, seen.physfn)
        )

    def _of_nova(
        self,
        given: facts.CheckInput,
        function: observed.PciFunction,
        beside: str,
        reason: str | None,
    ) -> Unenforced | None:
        """Nova's provider counts the VFs of a PF, and is Nova's to write."""
        from nova_vfio_variant.placement import tree

        family = [
            device
            for device in given.desired
            if function.address in (device.address, device.parent_addr)
        ]
        if function.physfn is not None:
            if not family or reason is None:
                return None
            because = f"--reason {shlex.quote(reason)}"
            return Unenforced(
                f"Nova may give it to a guest all the same: {beside}, and"
                f" what Nova publishes counts the VFs of {function.physfn},"
                " of which none can be kept back; nova-vfio gives it to"
                " nobody",
                (f"nova-vfio device cordon {function.physfn} {because}",),
            )
        providers, _ = tree.build(family, given.root)
        left = []
        held = self._held(given)
        for rp in providers:
            for name, inventory in rp.inventories.items():
                units = inventory.total if reason else 0
                there = held.get(rp.name, {}).get(name)
                if there is None or there != units:
                    left.append(
                        "openstack resource provider inventory set"
                        " $(openstack resource provider list --name"
                        f" {shlex.quote(rp.name)} -f value -c uuid) --amend"
                        f" --resource {name}:reserved={units}"
                    )
        if not left:
            return None
        may = (
            "Nova may give it to a guest all the same"
            if reason
            else "Nova gives it to nobody while it is reserved in Placement"
        )
        return Unenforced(
            f"{may}: {beside}, and what Nova publishes is not ours to write",
            tuple(left),
        )

    def _held(
        self, given: facts.CheckInput
    ) -> dict[str, dict[str, float | None]]:
        """What is reserved of each provider, where Placement can be asked."""
        if given.options.get(("vfio", "placement")) != "service":
            return {}  # Nova's is another one.
        found = placement_side.PlacementSide(self._context).held(given)
        if found.published is None:
            return {}
        return {
            name: {
                of: record.get("reserved")
                for of, record in published.inventories.items()
            }
            for name, published in found.published.providers.items()
        }


def drained(
    now: ty.Callable[[], Cordoning],
    address: pci_address.PciAddress,
    wait: float = 0.0,
) -> tuple[User, ...]:
    """Who is still on a function, or on what is below it.

    :param now: gives a :class:`Cordoning` that sees the node as it is now
    :param wait: look again for so many seconds, while anybody is
    :raises HostError: the host can't be seen
    :raises StoreError: the store can't be read
    """
    return waiting.while_any(lambda: now().users(address), wait)


def _seen(
    family: ty.Iterable[pci_address.PciAddress], host: host_facts.HostFacts
) -> ty.Iterator[User]:
    """Who is seen on some functions."""
    for at in family:
        for seen in host.in_use.get(at, ()):
            if seen.kind in _ON_IT:
                who = seen.holder
                whose = None if who is None else who.instance_uuid
                yield User(str(at), whose, seen.what)


def _below(
    family: ty.Iterable[pci_address.PciAddress], host: host_facts.HostFacts
) -> ty.Iterator[User]:
    """The mediated devices of some functions, whoever made them."""
    for at in family:
        for device in host.mdevs.of_parent(str(at)):
            yield User(
                device.uuid, None, f"a mediated device of {at}, in no claim"
            )
