# SPDX-License-Identifier: Apache-2.0
"""vGPU types of VFs, given and taken away by hand or as a file declares.

All goes the way of ``host apply``: decided as a whole, noted, written, read
back, and taken back where it fails.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.host.act import observer as host_observer
from nova_vfio_variant.host.act import recycle
from nova_vfio_variant.host.decide import (
    host_spec,
    planning,
    recycling,
    refusal,
    vgpu_changes,
    vgpu_obstacles,
    vgpu_types,
)
from nova_vfio_variant.host.observe import facts, vendor_vgpu
from nova_vfio_variant.node import preparation
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant import source
    from nova_vfio_variant.node import context

_REASON: ty.Final = "it is asked for"


class Vgpus:
    """The vGPU types of a node's VFs.

    :param on: the node
    :param observer: is told of what is done as it goes
    """

    def __init__(
        self,
        on: context.Context,
        observer: host_observer.Observer | None = None,
    ) -> None:
        self._context = on
        self._observer = observer

    def plan_set(
        self, address: pci_address.PciAddress, word: str
    ) -> planning.Decision:
        """What :meth:`set` would do now. Nothing is written.

        :param word: name or id of a type, or ``none``
        :raises HostError: the host can't be seen
        """
        return self._prepared().plan_by(_Setting(address, word))

    def set(
        self, address: pci_address.PciAddress, word: str
    ) -> preparation.Result:
        """Give a VF a type, or take it away.

        :param word: name or id of a type, or ``none``
        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        return self._prepared().apply_by(_Setting(address, word))

    def check(self, text: source.SourceText) -> planning.Decision:
        """What :meth:`apply` would do now; nothing if all is as declared.

        :raises ConfigError: the text can't be used, or not on this host
        """
        return self._prepared(entries(text)).plan()

    def apply(self, text: source.SourceText) -> preparation.Result:
        """Make cards what a text declares.

        :param text: entries as of host_spec, of vGPUs alone
        :raises ConfigError: the text can't be used
        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        return self._prepared(entries(text)).apply()

    def plan_recycle(self, card: pci_address.PciAddress) -> planning.Decision:
        """What :meth:`recycle` would do now. Nothing is written.

        :param card: address of the PF
        """
        return self._prepared().plan_by(
            lambda now: recycling.decision(now, card)
        )

    def recycle(self, card: pci_address.PciAddress) -> preparation.Result:
        """Make a card's VFs anew, and set their types again.

        :param card: address of the PF
        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        return self._prepared().act(
            lambda actor, quarantined: recycle.recycle(
                actor, card, quarantined
            )
        )

    def _prepared(
        self, given: tuple[host_spec.HostSpec, ...] = ()
    ) -> preparation.Preparation:
        return preparation.Preparation(self._context, self._observer, given)


def entries(text: source.SourceText) -> tuple[host_spec.HostSpec, ...]:
    """The entries of a text that declares vGPUs.

    :raises ConfigError: something is wrong with one, or it is about more
    """
    if not text.text.strip():
        raise exception.ConfigError(
            f"{text.file} is empty; nothing was changed",
            "write a list of entries: [] declares nothing",
        )
    specs, found = host_spec.parse_host_specs([text], vgpus_only=True)
    if finding.worst(found) is finding.Severity.ERROR:
        raise exception.ConfigError(
            f"{text.file} can't be used; nothing was changed", findings=found
        )
    return specs


class _Setting:
    """Decides what gives one VF its type.

    :param word: name or id of a type, or ``none``
    """

    def __init__(self, address: pci_address.PciAddress, word: str) -> None:
        self._address = address
        self._word = word

    def __call__(self, now: facts.HostFacts) -> planning.Decision:
        """On the host as it is now."""
        function = now.scan.get(self._address)
        against: tuple[finding.Finding, ...] = ()
        if function is None:
            against = refusal.no_such_function(now, self._address)
        elif function.physfn is None or self._address not in now.vgpus:
            against = (vgpu_obstacles.no_folder(now.scan, function),)
        if against or function is None or function.physfn is None:
            return planning.Decision(planning.NOTHING, against)
        type_id = vendor_vgpu.NONE
        notes: tuple[str, ...] = ()
        if self._word != host_spec.NO_TYPE:
            card = vgpu_changes.card_of(now, function.physfn)
            found = vgpu_types.resolve(
                self._word, card.known, card.address, now.records.vgpu_types
            )
            if isinstance(found, finding.Finding):
                return planning.Decision(planning.NOTHING, (found,))
            type_id = found.vgpu_type.id
            notes = (found.note,) if found.note else ()
        types = {self._address: type_id}
        return vgpu_changes.decision(
            types, now, _REASON, notes=notes, declared=True
        )
