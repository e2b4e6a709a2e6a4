# SPDX-License-Identifier: Apache-2.0
"""Functions for the requests of one claim, one request after another."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import choosing, request_devices, vgpu_claims
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.node import mdev_claims, ordering
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import alias

#: What is chosen for at once.
Part = request_devices.Need | vgpu_claims.Wishes


@dataclasses.dataclass(frozen=True, slots=True)
class Taking:
    """One claim's functions, being chosen.

    :param vgpus: chooses those for types
    :param instance_uuid: None for whoever comes: nothing is to be made then
    :param devices: all that are tracked
    :param answers: the verdict on each that is free
    :param order: None for Nova's
    """

    vgpus: vgpu_claims.VgpuClaims
    instance_uuid: str | None
    devices: ty.Sequence[tracked.Device]
    judge: host_verdicts.Verdicts
    answers: choosing.Verdicts
    choice: mdev_claims.Choice
    order: ordering.Order | None

    def of(
        self, turn: ty.Sequence[Part]
    ) -> tuple[choosing.Taken, vgpu_claims.Made]:
        """Functions for requests, one after another.

        :param turn: the wishes stand together, aliases of plain devices first
        :raises NotEnoughDevices: there are not so many
        """
        taken: choosing.Taken = []
        made: vgpu_claims.Made = []
        for need in turn:
            if isinstance(need, request_devices.Need):
                try:
                    taken += self._plain([need.request], taken, need.fits)
                except exception.NotEnoughDevices as error:
                    if not need.fits:
                        error.message += f"; {need.told}"
                    raise
                continue
            plain = [wish.request for wish in need if not wish.types]
            if plain:
                taken += self._plain(plain, taken, None)
            for wish in need:
                if wish.types:
                    some = self.vgpus.chosen(
                        wish,
                        choosing.but(self.devices, taken),
                        self.judge,
                        self.instance_uuid,
                        (self.choice.numa_cells, self.choice.sockets),
                        self._order(taken),
                    )
                    taken += some
                    if self.instance_uuid is None:
                        continue
                    for _, chosen in some:
                        made += self.vgpus.to_make(
                            wish, chosen, self.judge, self.instance_uuid
                        )
        return taken, made

    def _plain(
        self,
        requests: ty.Sequence[alias.PciRequest],
        taken: choosing.Taken,
        only: ty.Collection[pci_address.PciAddress] | None,
    ) -> choosing.Taken:
        """For aliases, or of devices that are what is asked for."""
        left = choosing.but(self.devices, taken)
        return choosing.choose(
            [one for one in left if only is None or one.address in only],
            {
                one.address: self.answers[one.address]
                for one in left
                if one.status == tracked.Status.AVAILABLE
                and one.address in self.answers
            },
            requests,
            self.choice.numa_cells,
            self.choice.sockets,
            self.vgpus.doubtful(self.judge),
            self._order(taken),
        )

    def _order(self, taken: choosing.Taken) -> ordering.Order | None:
        if self.order is None:
            return None
        return self.order.having(one for _, some in taken for one in some)
