# SPDX-License-Identifier: Apache-2.0
"""What of another host takes the place of an instance's devices there."""

from __future__ import annotations

import dataclasses
import shlex
import typing as ty

from nova_vfio_variant.guest import devices
from nova_vfio_variant.host.decide import migration as migration_decided
from nova_vfio_variant.node import migration

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.declaration import verdicts as host_verdicts
    from nova_vfio_variant.node import context
    from nova_vfio_variant.tracker import device as tracked


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, in its order.

    :param at: ``source`` or ``target``
    :param command: as a shell takes it
    """

    at: str
    command: str


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How an instance's devices move, as far as nothing changes meanwhile.

    :param pairs: of each device that has one there, and that one
    :param steps: none where something is against it
    :param against: what is, each half a sentence
    """

    pairs: tuple[tuple[tracked.Device, tracked.Device], ...]
    steps: tuple[Step, ...]
    against: tuple[str, ...]


def plan(on: context.Context, there: context.Context, instance: str) -> Plan:
    """Which devices of a host can take the place of an instance's.

    Nothing is claimed: a host that is only looked at can't be written to, so
    that the claim there, of these very devices, is the first of the steps.

    :param on: where the instance is
    :param there: where it is to go; what is recorded there isn't seen
    :raises ClaimError: it has no device
    :raises ConfigError: the other host's configuration has errors
    :raises HostError: a host can't be seen
    """
    against: list[str] = []
    pairs: list[tuple[tracked.Device, tracked.Device]] = []
    target = _Target(there.sound, instance)
    for move in migration.Migration(on).check(instance):
        name = devices.name(move.device)
        if not move.can:
            against.append(f"{name} can't move: {move.movable.reason}")
        elif isinstance(move.device, devices.Mediated):
            against.append(f"{name} is a mediated device, which isn't planned")
        elif on.function(move.device.address).has_vgpu_folder:
            against.append(f"{name} is a vendor's vGPU, which isn't planned")
        else:
            found = target.take(move.device)
            if isinstance(found, str):
                against.append(f"{name} finds no place: {found}")
            else:
                pairs.append((move.device, found))
    steps = () if against else _steps(instance, pairs)
    return Plan(tuple(pairs), steps, tuple(against))


class _Target:
    """The host to which an instance is to go."""

    def __init__(self, given: facts.CheckInput, instance: str) -> None:
        assert given.scan is not None
        assert given.verdicts is not None
        self._scan = given.scan
        self._judge: host_verdicts.Verdicts = given.verdicts
        self._instance = instance
        self._free = list(given.desired)

    def take(self, source: tracked.Device) -> tracked.Device | str:
        """A device that is as the source's; else why there is none."""
        alike = [each for each in self._free if _kind(each) == _kind(source)]
        why = (
            f"no {source.vendor_id}:{source.product_id} of class"
            f" {source.resource_class} is left there"
        )
        for device in alike:
            reason = self._against(device)
            if reason is None:
                self._free.remove(device)
                return device
            why = f"{device.address} there: {reason}"
        return why

    def _against(self, device: tracked.Device) -> str | None:
        verdict = self._judge.at(device.address, self._instance)
        if not verdict.is_assignable:
            return verdict.obstacles[0].message
        movable = migration.of_tracked(self._scan, device)
        if movable.answer is migration_decided.Answer.NO:
            return movable.reason
        return None


def _kind(device: tracked.Device) -> tuple[str, ...]:
    """What has to be the same on both hosts."""
    return (
        device.vendor_id,
        device.product_id,
        device.dev_type,
        device.resource_class,
    )


def _steps(
    instance: str,
    pairs: ty.Iterable[tuple[tracked.Device, tracked.Device]],
) -> tuple[Step, ...]:
    """What to run, in its order: the target's devices are claimed first."""
    of_instance = ("--instance", instance)
    claim = [
        word for _, new in pairs for word in ("--device", str(new.address))
    ]
    return tuple(
        Step(at, shlex.join(("nova-vfio", "claim", *words)))
        for at, words in (
            ("target", ("create", *of_instance, *claim)),
            ("target", ("prepare", *of_instance)),
            # Once the guest runs there.
            ("target", ("started", *of_instance)),
            ("source", ("release", *of_instance)),
        )
    )
