# SPDX-License-Identifier: Apache-2.0
"""What one ``[pci] alias`` says, and what a flavor asks for by name."""

import dataclasses

from nova_vfio_variant import source


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
    """

    alias_name: str
    count: int
    specs: tuple[Alias, ...]
    numa_policy: str
