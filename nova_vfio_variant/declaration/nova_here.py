# SPDX-License-Identifier: Apache-2.0
"""Whether nova-compute is on the host, as far as what was read says."""

from __future__ import annotations

import typing as ty

if ty.TYPE_CHECKING:
    from nova_vfio_variant.declaration import facts


def beside_nova(given: facts.CheckInput) -> str | None:
    """Why nova-compute seems to be on this host; None if nothing says so.

    Types are declared there and not set on demand. Placement says more where
    it was asked.
    """
    if given.without_nova:
        return None
    if ("vfio", "placement") in given.places:
        return f"providers below {given.root} in Placement are Nova's"
    if given.report_in_placement:
        return (
            "[pci] report_in_placement is on, and no [vfio] placement says"
            " that it is for nova-vfio to publish"
        )
    return None
