# SPDX-License-Identifier: Apache-2.0
"""What one ``[pci] device_spec`` entry says."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import source
from nova_vfio_variant.pci import pattern


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One entry of ``[pci] device_spec``.

    A value of the option may hold a list of entries; each is a DeviceSpec,
    and ``index`` counts them over all values: the first match wins.

    :param index: place in the order of matching, counted from 0
    :param text: the value that it was read from
    :param start: offset in the text where the entry's ``{`` stands
    :param end: offset in the text just behind its ``}``
    :param keys: for each key, the offsets (start, end) of its key and of its
        value: ``(key_start, key_end, value_start, value_end)``
    :param address: None matches every address
    :param vendor_id: four lower-case hex digits, None for any
    :param product_id: four lower-case hex digits, None for any
    :param devname: name of a network interface
    :param managed: None where the entry doesn't say: libvirt manages it
    :param live_migratable: None where the entry doesn't say
    :param one_time_use: None where the entry doesn't say
    :param resource_class: as written, not normalised
    :param traits: as written, split at commas and stripped
    :param tags: every tag that makes a pool key in Nova, with its value as
        Nova stores it (``managed`` and the like as "true" and "false",
        ``physical_network``, ``trusted``, ``remote_managed``, and keys
        that nobody knows); without resource_class and traits
    """

    index: int
    text: source.SourceText
    start: int
    end: int
    keys: ty.Mapping[str, tuple[int, int, int, int]]
    address: pattern.AddressPattern | None = None
    vendor_id: str | None = None
    product_id: str | None = None
    devname: str | None = None
    managed: bool | None = None
    live_migratable: bool | None = None
    one_time_use: bool | None = None
    resource_class: str | None = None
    traits: tuple[str, ...] = ()
    tags: ty.Mapping[str, ty.Any] = dataclasses.field(default_factory=dict)

    @property
    def location(self) -> source.Location:
        """Where the entry begins."""
        return self.text.at(self.start)

    def __str__(self) -> str:
        return self.text.text[self.start : self.end]
