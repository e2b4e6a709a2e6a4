# SPDX-License-Identifier: Apache-2.0
"""The node as an object that lives long: for managers of virtual machines."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.node import (
    adopting,
    checking,
    claim_explaining,
    claim_guard,
    claims,
    context,
    cordoning,
    placement_side,
    preparation,
    reconcile,
    reporting,
    tracked_devices,
    vgpu_health,
    vgpus,
)

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.act import observer
    from nova_vfio_variant.pci import request


class Node:
    """A compute node. It keeps nothing of what it saw.

    Every use of a property sees configuration, host and store anew; within
    one call each is looked at once::

        node = Node(config_files=["/etc/nova/nova.conf"])
        node.claims.claim(instance_uuid, "A16_16A:1")

    :param config_files: None for Nova's default files
    :param config_dirs: None for Nova's default drop-ins
    :param host_root: ``/``, another folder, or a recorded host
    :param state_path: None for the default
    """

    def __init__(
        self,
        config_files: ty.Sequence[str] | None = None,
        config_dirs: ty.Sequence[str] | None = None,
        host_root: str = "/",
        state_path: str | None = None,
    ) -> None:
        self._given = (config_files, config_dirs, host_root, state_path)

    @property
    def context(self) -> context.Context:
        """What a call sees, from now on."""
        return context.Context(*self._given)

    @property
    def checking(self) -> checking.Checking:
        """Checking and explaining the configuration."""
        return checking.Checking(self.context)

    @property
    def devices(self) -> tracked_devices.TrackedDevices:
        """The tracked devices, and the verdict on each."""
        return tracked_devices.TrackedDevices(self.context)

    @property
    def claims(self) -> claims.Claims:
        """Giving devices to instances, and taking them back."""
        return claims.Claims(self.context)

    def explain_claim(
        self, instance_uuid: str, wanted: request.Request
    ) -> claim_explaining.Explanation:
        """What a claim would get now, and why. Nothing is written.

        :raises ConfigError: the configuration has errors, or the request
            can't be
        """
        return claim_explaining.explain(self.context, instance_uuid, wanted)

    def guarded_claim(
        self,
        instance_uuid: str,
        wanted: str | request.Request | None,
        **more: ty.Any,
    ) -> claim_guard.ClaimGuard:
        """A claim that is given back where its block is left by an exception.

        :param more: of :meth:`~nova_vfio_variant.node.claims.Claims.claim`
        """
        return claim_guard.ClaimGuard(
            lambda: self.claims,
            instance_uuid,
            lambda now: now.claim(instance_uuid, wanted, **more),
        )

    def adopted_claim(
        self, instance_uuid: str, assignment: str | None = None
    ) -> claim_guard.ClaimGuard:
        """A claim that somebody made before, such as we before a restart.

        Entering its block prepares it, and raises where it is gone.

        :param assignment: of the claim; None for whichever there is
        """
        return claim_guard.ClaimGuard(
            lambda: self.claims,
            instance_uuid,
            lambda now: now.prepare(instance_uuid, assignment),
        )

    @property
    def adopting(self) -> adopting.Adopting:
        """Taking over what Nova claimed."""
        return adopting.Adopting(self.context)

    def vgpus(self, observer: observer.Observer | None = None) -> vgpus.Vgpus:
        """Giving VFs their vGPU types.

        :param observer: is told of what is done as it goes
        """
        return vgpus.Vgpus(self.context, observer)

    @property
    def reconciling(self) -> reconcile.Reconciling:
        """Bringing what is ours back to what it should be."""
        return reconcile.Reconciling(self.context)

    @property
    def cordoning(self) -> cordoning.Cordoning:
        """Giving devices to nobody new."""
        return cordoning.Cordoning(self.context)

    @property
    def vgpu_health(self) -> vgpu_health.VgpuHealth:
        """How guests do on vGPUs."""
        return vgpu_health.VgpuHealth(self.context)

    @property
    def placement(self) -> placement_side.PlacementSide:
        """What Placement has, beside what it should have."""
        return placement_side.PlacementSide(self.context)

    @property
    def reporting(self) -> reporting.Reporting:
        """Making Placement equal to what is declared."""
        return reporting.Reporting(self.context)

    def preparation(
        self, observer: observer.Observer | None = None
    ) -> preparation.Preparation:
        """Preparing the host, and restoring it.

        :param observer: is told of what is done as it goes
        """
        return preparation.Preparation(self.context, observer)
