# SPDX-License-Identifier: Apache-2.0
"""The parts of a store that have tables of their own."""

from __future__ import annotations

import abc
import contextlib
import functools
import typing as ty

from nova_vfio_variant.tracker import (
    allowance,
    claim_records,
    cordons,
    mdevs,
    memory,
    names,
    vgpu_reports,
    vgpus,
)

if ty.TYPE_CHECKING:
    import sqlalchemy as sa


class Parts(abc.ABC):
    """What is recorded beside devices and their owners."""

    @abc.abstractmethod
    def _read(self) -> contextlib.AbstractContextManager[sa.Connection]:
        """Begin a transaction that reads."""

    @abc.abstractmethod
    def _write(self) -> contextlib.AbstractContextManager[sa.Connection]:
        """Begin a transaction that writes."""

    @functools.cached_property
    def claim_records(self) -> claim_records.ClaimRecords:
        """Where the claim of each instance is in its life."""
        return claim_records.ClaimRecords(self._read, self._write)

    @functools.cached_property
    def provider_memory(self) -> memory.StoredProviderMemory:
        """What is remembered of the providers that we made."""
        return memory.StoredProviderMemory(self._read, self._write)

    @functools.cached_property
    def allowances(self) -> allowance.Allowances:
        """The obstacles that somebody overruled."""
        return allowance.Allowances(self._read, self._write)

    @functools.cached_property
    def names(self) -> names.Names:
        """What operators call devices."""
        return names.Names(self._read, self._write)

    @functools.cached_property
    def cordons(self) -> cordons.Cordons:
        """The functions of which no new claim is made."""
        return cordons.Cordons(self._read, self._write)

    @functools.cached_property
    def mdevs(self) -> mdevs.OurMdevs:
        """The mediated devices that we made."""
        return mdevs.OurMdevs(self._read, self._write)

    @functools.cached_property
    def vgpus(self) -> vgpus.OurVgpus:
        """The vGPUs that we made, and the types that cards have."""
        return vgpus.OurVgpus(self._read, self._write)

    @functools.cached_property
    def vgpu_reports(self) -> vgpu_reports.VgpuReports:
        """How starts of guests on vGPUs went."""
        return vgpu_reports.VgpuReports(self._read, self._write)
