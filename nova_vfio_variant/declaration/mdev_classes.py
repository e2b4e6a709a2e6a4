# SPDX-License-Identifier: Apache-2.0
"""Mediated devices that an alias asks for by their resource class. Pure.

The class is the one that their parent is published with: ``VGPU``, or the
``mdev_class`` of the group that names it.
"""

from __future__ import annotations

import typing as ty

from nova_vfio_variant.declaration import nova_here, nova_mdevs

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts
    from nova_vfio_variant.host.observe import mdev
    from nova_vfio_variant.pci import alias

#: Parent's name -> the type that is made of it.
Parents = ty.Mapping[str, str]


def asked_of(
    given: facts.CheckInput, alias_specs: ty.Iterable[alias.Alias]
) -> Parents:
    """The parents that an alias asks for, on a host where we publish them.

    None where a function has the class: then that is meant.

    :param alias_specs: the aliases of one name
    """
    asking = [spec for spec in alias_specs if spec.resource_class]
    if (
        not asking
        or given.scan is None
        or not given.options.get(nova_mdevs.ENABLED)
        or nova_here.beside_nova(given) is not None
        or {spec.asked_class for spec in asking}
        & {device.resource_class for device in given.desired}
    ):
        return {}
    read = nova_mdevs.read(given)
    found = {}
    for parent in given.host_facts.mdevs.parents.values():
        kind = read.made_of(parent)
        of_class = read.resource_class(parent)
        if kind is not None and any(
            spec.asked_class == of_class and _fits(given, spec, parent)
            for spec in asking
        ):
            found[parent.name] = kind
    return found


def _fits(
    given: facts.CheckInput, spec: alias.Alias, parent: mdev.Parent
) -> bool:
    """Whether what else an alias says is so of a parent.

    Its provider has no traits, and its devices no tags.
    """
    if spec.traits or spec.live_migratable or spec.device_type:
        return False
    if not (spec.vendor_id or spec.product_id):
        return True
    function = None
    if given.scan is not None and parent.address is not None:
        function = given.scan.get(parent.address)
    return (
        function is not None
        and spec.vendor_id in (None, function.vendor_id)
        and spec.product_id in (None, function.product_id)
    )
