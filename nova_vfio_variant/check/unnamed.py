# SPDX-License-Identifier: Apache-2.0
"""Devices that an alias asks for and no entry of device_spec names."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes, families, mends
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.pci import alias as pci_alias
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import pattern
from nova_vfio_variant.pci import spec as pci_spec


class Unnamed:
    """Devices that the host has and no entry of device_spec takes."""

    def __init__(self, given: facts.CheckInput) -> None:
        self._given = given
        self._by_ids: dict[
            tuple[str, str], list[host_function.PciFunction]
        ] = {}
        for seen in given.functions:
            if (
                seen.address not in given.spec_of
                and seen.address.domain <= pattern.MAX_DOMAIN
            ):
                ids = (seen.vendor_id, seen.product_id)
                self._by_ids.setdefault(ids, []).append(seen)
        self._written: dict[str, list[mends.Entry] | None] = {}

    def told(self, alias: pci_alias.Alias) -> finding.Finding | None:
        """That an alias asks for them, and the entry that names them."""
        ids = (alias.vendor_id or "", alias.product_id or "")
        kinds = (
            {"type-PCI", "type-VF"}
            if alias.device_type is None
            else {alias.device_type}
        )
        found = [
            seen
            for seen in self._by_ids.get(ids, ())
            if seen.dev_type in kinds
        ]
        if not found:
            return None
        # Beside their PF they can't be published, so it is one or the other.
        blamed = [
            spec
            for pf in sorted(
                {function.physfn for function in found if function.physfn}
            )
            if (spec := self._given.spec_of.get(pf)) is not None
        ]
        entries = self._entries(alias, found, blamed)
        message = (
            f"no device satisfies alias {alias.name!r}: this host has"
            f" {families.counted(found)} ({facts.named(found)}), and no"
            f" device_spec names {facts.it(found)}"
        )
        if not blamed:
            return facts.on_alias(
                codes.ALIAS_UNSATISFIED,
                message,
                alias,
                None,
                f"Add device_spec = {mends.value(entries)}"
                if entries
                else None,
            )
        return facts.on_spec(
            codes.ALIAS_UNSATISFIED,
            f"{message}; this entry takes {found[0].physfn} alone",
            blamed[0],
            None,
            alias.name,
            f"Write {mends.in_place_of(blamed[0], entries)} in its place."
            if entries
            else None,
        )

    def _entries(
        self,
        alias: pci_alias.Alias,
        found: ty.Sequence[host_function.PciFunction],
        blamed: ty.Sequence[pci_spec.DeviceSpec],
    ) -> list[mends.Entry] | None:
        base: mends.Entry = {}
        if blamed:
            base |= mends.written(blamed[0])
        elif all(function.vfio for function in found):
            base["managed"] = "no"
        if alias.resource_class:
            base["resource_class"] = alias.resource_class
        if alias.traits:
            base["traits"] = ",".join(alias.traits)
        if alias.live_migratable is not None:
            base["live_migratable"] = "yes" if alias.live_migratable else "no"
        key = repr((found[0].address, len(found), base))
        if key not in self._written:
            self._written[key] = mends.taking(
                found, self._given.functions, base
            )
        return self._written[key]
