# SPDX-License-Identifier: Apache-2.0
"""What one ``[pci] alias`` says, and what a flavor asks for by name."""

from __future__ import annotations

import dataclasses

from nova_vfio_variant import source
from nova_vfio_variant.pci import names


@dataclasses.dataclass(frozen=True, slots=True)
class Alias:
    """One ``[pci] alias``. Several may share a name: any of them will do.

    :param name: 1 to 256 characters
    :param text: the value that it was read from
    :param vendor_id: four lower-case hex digits
    :param product_id: four lower-case hex digits
    :param device_type: ``type-PCI``, ``type-PF`` or ``type-VF``
    :param numa_policy: required, legacy, preferred or socket
    :param resource_class: as written, not normalised
    :param traits: as written, split at commas and stripped
    :param live_migratable: None asks for either
    :param capability_type: Nova reads it, and no device satisfies it
    :param in_placement: with ``[filter_scheduler] pci_in_placement`` an alias
        without a resource class asks for that of its ids
    """

    name: str
    text: source.SourceText
    vendor_id: str | None = None
    product_id: str | None = None
    device_type: str | None = None
    numa_policy: str = "legacy"
    resource_class: str | None = None
    traits: tuple[str, ...] = ()
    live_migratable: bool | None = None
    capability_type: str | None = None
    in_placement: bool = False

    @property
    def asked_class(self) -> str | None:
        """The resource class that its devices have; None for any.

        As nova.objects.request_spec asks Placement for it.
        """
        if self.resource_class or self.in_placement:
            return names.resource_class(
                self.resource_class,
                self.vendor_id or "",
                self.product_id or "",
            )
        return None

    @property
    def asked_traits(self) -> tuple[str, ...]:
        """The traits that its devices all have, as they are published."""
        return names.traits(self.traits)

    @property
    def location(self) -> source.Location:
        """Where its value begins."""
        return self.text.at(0)


@dataclasses.dataclass(frozen=True, slots=True)
class PciRequest:
    """So many devices of one alias (nova.objects.InstancePCIRequest).

    :param alias_name: the alias asked for
    :param count: how many devices
    :param specs: the aliases of that name; any of them satisfies
    :param numa_policy: required, legacy, preferred or socket
    :param is_alias: False where its name is none, but says what devices are
    """

    alias_name: str
    count: int
    specs: tuple[Alias, ...]
    numa_policy: str
    is_alias: bool = True

    @property
    def subject(self) -> str:
        """What an error about it begins with."""
        name = self.alias_name
        return f"alias {name!r}" if self.is_alias else name
