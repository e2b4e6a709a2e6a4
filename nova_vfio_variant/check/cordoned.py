# SPDX-License-Identifier: Apache-2.0
"""Rules about what somebody cordoned."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import facts, nova_here


def standing(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """What nobody new gets, until it is lifted by hand."""
    if given.scan is None:
        return
    beside = nova_here.beside_nova(given)
    for at, reason in sorted(given.records.cordoned.items()):
        function = given.scan.get(at)
        more = ""
        if function is None:
            more = "; this host doesn't have it now"
        elif function.physfn is not None and beside is not None:
            more = f"; Nova may give it to a guest all the same: {beside}"
        yield finding.Finding(
            codes.CORDONED,
            f"it is cordoned: {reason}{more}",
            subject=str(at),
            hint=f"nova-vfio device uncordon {at}",
        )


def of_another(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """What isn't cordoned, for another device was."""
    for at, reason in sorted(given.records.uncordoned.items()):
        yield finding.Finding(
            codes.CORDON_OF_ANOTHER,
            f"it isn't cordoned: another device was, at its address ({reason})",
            subject=str(at),
            hint=f"nova-vfio device uncordon {at}",
        )


RULES: tuple[facts.Rule, ...] = (standing, of_another)
