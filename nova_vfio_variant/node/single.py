# SPDX-License-Identifier: Apache-2.0
"""One function of a node, bound and given back by hand.

It goes the way of ``host apply`` and ``host restore``: the same plan,
journal, refusals and recovery, for one function.
"""

from __future__ import annotations

import dataclasses
import json
import typing as ty

from nova_vfio_variant import exception, finding, source
from nova_vfio_variant.host.act import observer as host_observer
from nova_vfio_variant.host.act import resetting as act_resetting
from nova_vfio_variant.host.decide import host_spec
from nova_vfio_variant.host.decide import resetting as decide_resetting
from nova_vfio_variant.node import preparation
from nova_vfio_variant.pci import address as pci_address

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.decide import planning
    from nova_vfio_variant.node import context

Address = pci_address.PciAddress


class SingleDevices:
    """What is done to single functions of a node.

    :param on: the node
    :param observer: is told of what is done as it goes
    :param stop_persistenced: nvidia-persistenced, which has all of NVIDIA's
        cards open, is stopped meanwhile
    """

    def __init__(
        self,
        on: context.Context,
        observer: host_observer.Observer | None = None,
        *,
        stop_persistenced: bool = False,
    ) -> None:
        self._context = on
        self._observer = observer
        self._stops = stop_persistenced

    def plan_bind(self, wish: Wish) -> planning.Decision:
        """What :meth:`bind` would do now. Nothing is written."""
        return self._wishing(wish).plan([wish.address])

    def bind(self, wish: Wish) -> preparation.Result:
        """Take a function to a driver.

        :raises ConfigError: there is no such driver
        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        return self._wishing(wish).apply([wish.address])

    def plan_unbind(self, address: Address) -> planning.Decision:
        """What :meth:`unbind` would do now. Nothing is written."""
        return self._preparation().plan_restore([address])

    def unbind(self, address: Address) -> preparation.Result:
        """Make a function what it was before us, its VFs too.

        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        return self._preparation().restore([address])

    def plan_reset(self, address: Address) -> planning.Decision:
        """What :meth:`reset` would do now. Nothing is written."""
        return self._preparation().plan_by(
            lambda now: decide_resetting.decision(now, address)
        )

    def reset(self, address: Address) -> preparation.Result:
        """Reset a function, and see that it answers again.

        :raises HostError: the host can't be written
        :raises LockTimeout: another command writes
        """
        return self._preparation().act(
            lambda actor, quarantined: act_resetting.reset(
                actor, address, quarantined
            )
        )

    def _wishing(self, wish: Wish) -> preparation.Preparation:
        return self._preparation((wish.as_spec(),))

    def _preparation(
        self, given: tuple[host_spec.HostSpec, ...] = ()
    ) -> preparation.Preparation:
        return preparation.Preparation(
            self._context,
            self._observer,
            given,
            stop_persistenced=self._stops,
        )


class Wish(ty.NamedTuple):
    """To which driver a function is to be taken.

    :param address: of the function
    :param driver: as ``driver`` in host_spec
    :param companions: as ``companions`` in host_spec
    :param allow_pf: as ``allow_pf`` in host_spec
    """

    address: Address
    driver: str = host_spec.VARIANT
    companions: tuple[Address, ...] = ()
    allow_pf: bool = False

    def as_spec(self) -> host_spec.HostSpec:
        """The entry of host_spec that says the same.

        :raises ConfigError: there can be no such driver
        """
        text = json.dumps(
            {
                "address": str(self.address),
                "driver": self.driver,
                "companions": [*map(str, self.companions)],
                "allow_pf": self.allow_pf,
            }
        )
        specs, found = host_spec.parse_host_specs(
            [source.SourceText.of(text, "device bind", "vfio", "arguments")]
        )
        if finding.worst(found) is finding.Severity.ERROR:
            raise exception.ConfigError(
                f"{self.address} can't be bound to {self.driver!r}",
                findings=found,
            )
        return dataclasses.replace(specs[0], by_options=True)
