# SPDX-License-Identifier: Apache-2.0
"""Mediated devices of VDSM's virtual machines, as its hooks ask for them."""

from __future__ import annotations

import contextlib
import logging
import os
import typing as ty

from nova_vfio_variant import exception, input_file
from nova_vfio_variant.guest import vdsm
from nova_vfio_variant.host.decide import mdev_choice
from nova_vfio_variant.node import guests, mdev_wishes, mdevs, syncing

if ty.TYPE_CHECKING:
    from lxml import etree

    from nova_vfio_variant.node import node as nodes
    from nova_vfio_variant.tracker import mdevs as tracked

_LOG = logging.getLogger(__name__)

#: Of a domain's XML: one with all that libvirt takes is far from it.
_MOST: ty.Final = 16 << 20


class Hook:
    """What a hook does.

    :param node: sees the host anew after each device
    :param environment: as VDSM gives it
    """

    def __init__(
        self,
        node: nodes.Node,
        environment: ty.Mapping[str, str],
    ) -> None:
        self._node = node
        self._environment = environment

    def before_start(self) -> None:
        """Make what a machine is to have, and write it into its XML.

        What is there already, as VDSM's own of the domain's metadata, is
        given as it is. What was made is removed where the rest fails.

        :raises ClaimError: what VDSM says can't be understood
        :raises HostRefused: something speaks against it
        :raises HostError: the host can't be written, or it failed
        """
        path, domain = self._domain()
        wanted = vdsm.wanted(self._environment, domain)
        if not wanted:
            return
        machine = vdsm.machine(self._environment, domain)
        ours = self._ours()
        with contextlib.ExitStack() as undo:
            added = False
            for wish in wanted:
                if not self._has(machine, wish, ours):
                    made = mdevs.Mdevs(self._node.context).create(
                        mdev_wishes.Wish(
                            wish.type_id,
                            uuid=wish.uuid,
                            instance_uuid=machine,
                            attributes=()
                            if wish.parameters is None
                            else (f"{vdsm.PARAMETERS}={wish.parameters}",),
                            strategy=mdev_choice.Strategy(wish.placement),
                        )
                    )
                    undo.callback(self._undo, made)
                device = guests.Guests(self._node.context).mediated(wish.uuid)
                added |= vdsm.add(domain, device)
            if added:
                _write(path, vdsm.to_bytes(domain))
            undo.pop_all()

    def after_destroy(self) -> ty.Iterator[exception.VfioVariantError]:
        """Remove what was made for a machine, one after another.

        :returns: what went wrong with each that is left
        :raises ClaimError: it isn't said which machine that is
        """
        machine = self._environment.get(vdsm.MACHINE, "")
        if not machine:
            _, domain = self._domain()
            machine = vdsm.machine(self._environment, domain)
        for ours in self._ours().values():
            if ours.instance_uuid != machine.lower():
                continue
            seen = self._node.context.verdicts.facts.mdevs
            if seen.unread is None and ours.uuid not in seen.devices:
                # Its row goes when things are reconciled.
                _LOG.info("mdev %s: is gone already", ours.uuid)
                continue
            try:
                mdevs.Mdevs(self._node.context).delete(
                    ours.uuid, ours.assignment
                )
            except exception.VfioVariantError as error:
                yield error

    def _domain(self) -> tuple[str, etree._Element]:
        """The file that VDSM names, and what is in it.

        :raises ClaimError: there is none, or it is no domain
        """
        path = self._environment.get(vdsm.DOMAIN)
        if not path:
            raise exception.ClaimError(
                f"{vdsm.DOMAIN} is not set",
                "VDSM runs this command, with the domain's file in it",
            )
        try:
            return path, vdsm.parse(input_file.read(path, _MOST))
        except OSError as error:
            raise exception.ClaimError(f"{path}: {error.strerror}") from error

    def _ours(self) -> dict[str, tracked.OurMdev]:
        """What we made, of a store that is upgraded if it is older.

        :raises LockTimeout: another command writes
        """
        on = self._node.context
        if not on.has_state:
            return {}
        with syncing.locked(on) as store:
            return store.mdevs.all()

    def _has(
        self,
        machine: str,
        wish: vdsm.Wanted,
        ours: ty.Mapping[str, tracked.OurMdev],
    ) -> bool:
        """Whether a machine has its device already, ours or another tool's."""
        seen = self._node.context.verdicts.facts.mdevs
        uuid = mdev_wishes.parsed(wish.uuid)
        there, row = seen.devices.get(uuid), ours.get(uuid)
        return (
            there is not None
            and not there.goes
            and mdev_choice.resolve(seen, wish.type_id) == there.type_id
            and (row is None or row.instance_uuid == machine)
        )

    def _undo(self, made: tracked.OurMdev) -> None:
        try:
            mdevs.Mdevs(self._node.context).delete(made.uuid, made.assignment)
        except exception.VfioVariantError as error:
            # What went wrong first is said; reconcile removes this one.
            _LOG.warning("mdev %s: is left: %s", made.uuid, error)


def _write(path: str, text: bytes) -> None:
    """Write in place: VDSM made the file, and reads it by its name.

    :raises ClaimError: it can't be written
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY)
        with open(fd, "wb") as file:
            file.truncate()
            file.write(text)
    except OSError as error:
        raise exception.ClaimError(f"{path}: {error.strerror}") from error
