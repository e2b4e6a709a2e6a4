# SPDX-License-Identifier: Apache-2.0
"""Whether nova-compute is on the host: ``[vfio] nova_compute``."""

from __future__ import annotations

import typing as ty

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts

#: Trait of what Nova publishes, since 34.
OWNER_NOVA: ty.Final = "OWNER_NOVA"


def is_absent(given: facts.CheckInput) -> bool:
    """Whether a file says that it isn't here, and no trace says otherwise.

    That we are told where to publish says so, too. False where nobody says.
    """
    said = _said(given)
    if said != "auto":
        return said == "no"
    return (
        ("vfio", "placement") in given.places
        and given.nova_seen is None
        and not _has_published(given)
    )


def beside_nova(given: facts.CheckInput) -> str | None:
    """Why nova-compute seems to be on this host; None if nothing says so.

    Types are declared there and not set on demand. Placement says more where
    it was asked.
    """
    if is_absent(given):
        return None
    if _said(given) == "yes":
        return "[vfio] nova_compute says that it is here"
    if given.nova_seen is not None:
        return given.nova_seen
    if ("vfio", "placement") in given.places:
        return f"providers below {given.root} in Placement are Nova's"
    if given.report_in_placement:
        return (
            "[pci] report_in_placement is on, and no [vfio] placement says"
            " that it is for nova-vfio to publish"
        )
    if given.options.get(("devices", "enabled_mdev_types")):
        return (
            "[devices] enabled_mdev_types, which nova-compute alone acts on,"
            " is set"
        )
    return None


def _said(given: facts.CheckInput) -> str:
    return str(given.options.get(("vfio", "nova_compute"), "auto"))


def _has_published(given: facts.CheckInput) -> bool:
    return given.published is not None and any(
        OWNER_NOVA in published.traits
        for published in given.published.providers.values()
    )
