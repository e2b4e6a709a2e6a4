# SPDX-License-Identifier: Apache-2.0
"""Resource-class and trait names as Nova publishes them.

The rules are those of nova/compute/pci_placement_translator.py; where they
lead to names that Placement refuses, :mod:`nova_vfio_variant.check.deviations` says
what is done in their place.
"""

from __future__ import annotations

import functools
import re
import typing as ty

import os_resource_classes

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import values

#: Placement's limit for either kind of name, ``CUSTOM_`` included.
MAX_LENGTH: ty.Final = 255

_CUSTOM = "CUSTOM_"
#: As text: the os-traits of OpenStack 2025.1 doesn't have all of them.
_MANAGED: ty.Final = "COMPUTE_MANAGED_PCI_DEVICE"
_LIVE_MIGRATABLE: ty.Final = "HW_PCI_LIVE_MIGRATABLE"
_ONE_TIME_USE: ty.Final = "HW_PCI_ONE_TIME_USE"
_OUTSIDE = re.compile("[^A-Z0-9_]+")


def resource_class(name: str | None, vendor_id: str, product_id: str) -> str:
    """The class that a device is published as.

    :param name: as the operator wrote it; None or empty for the default
    """
    if not name:
        return f"CUSTOM_PCI_{vendor_id}_{product_id}".upper()
    name = name.upper()
    if name in os_resource_classes.STANDARDS:
        return name
    return _custom(name, os_resource_classes.normalize_name)


def traits(names: ty.Iterable[str]) -> tuple[str, ...]:
    """The traits that a device is published with, sorted.

    :param names: as the operator wrote them; empty ones count as absent
    """
    stripped = (name.strip() for name in names)
    return tuple(sorted({trait(name) for name in stripped if name}))


def device_traits(device: values.Device) -> tuple[str, ...]:
    """All traits that a device is published with, sorted.

    Its own, and those that Nova gives (``_get_traits_for_dev``) as far as
    os-traits knows them: the Placement of such a release knows no more.
    """
    found = {_MANAGED}
    if device.tags.get("live_migratable") == "true":
        found.add(_LIVE_MIGRATABLE)
    # On a VF one_time_use is refused.
    if device.parent_addr is None and (
        device.tags.get("one_time_use") == "true"
    ):
        found.add(_ONE_TIME_USE)
    return tuple(sorted({*device.traits, *(found & _standard_traits())}))


@functools.lru_cache(maxsize=1024)
def trait(name: str) -> str:
    """One trait as it is published.

    Standard traits count in capitals only: ``hw_gpu_api_vulkan`` becomes
    ``CUSTOM_HW_GPU_API_VULKAN``.
    """
    if name in _standard_traits():
        return name
    import os_traits

    return _custom(name.upper(), os_traits.normalize_name)


@functools.cache
def _standard_traits() -> frozenset[str]:
    import os_traits

    return frozenset(os_traits.get_traits())


def _custom(name: str, normalize: ty.Callable[[str], str]) -> str:
    """A custom name in capitals, with each run of other characters as _."""
    if name.startswith(_CUSTOM):
        # Nova leaves these as they are, and Placement refuses CUSTOM_A-B.
        return _OUTSIDE.sub("_", name)
    return normalize(name)
