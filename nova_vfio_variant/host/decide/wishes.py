# SPDX-License-Identifier: Apache-2.0
"""What the entries of ``host_spec`` say of each function, put together."""

from __future__ import annotations

import collections
import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.host.decide import codes, host_spec
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as observed


@dataclasses.dataclass(slots=True)
class Wish:
    """What all entries together want of one function."""

    num_vfs: int | None = None
    driver: str | None = None
    companions: tuple[pci_address.PciAddress, ...] = ()
    allow_pf: bool = False
    by: dict[str, host_spec.HostSpec] = dataclasses.field(default_factory=dict)


Wishes = ty.Mapping[pci_address.PciAddress, Wish]


def gather(
    specs: ty.Iterable[host_spec.HostSpec],
    functions: ty.Iterable[observed.PciFunction],
) -> tuple[Wishes, tuple[finding.Finding, ...]]:
    """What all entries want of each function that one of them names.

    :returns: and where two of them disagree
    """
    conflicts = []
    wishes: dict[pci_address.PciAddress, Wish] = collections.defaultdict(Wish)
    told = set()
    for function in functions:
        for spec in specs:
            if not spec.selects(function):
                continue
            key: str
            value: int | str
            if spec.num_vfs is not None and function.sriov_totalvfs:
                key, value = "num_vfs", spec.num_vfs
            elif spec.driver is not None and spec.num_vfs is None:
                key, value = "driver", spec.driver
            else:
                continue
            wish = wishes[function.address]
            other = wish.by.setdefault(key, spec)
            known = getattr(wish, key)
            if known is None:
                setattr(wish, key, value)
            elif known != value and (other.index, spec.index) not in told:
                told.add((other.index, spec.index))
                conflicts.append(
                    spec.on(
                        codes.HOST_SPEC_CONFLICT,
                        f"{key} of {function.address} is {value} here and "
                        f"{known} at {other.location}",
                        key,
                        "let one entry name it, or both say the same",
                    )
                )
            wish.companions += spec.companions
            wish.allow_pf = wish.allow_pf or spec.allow_pf
    return dict(wishes), tuple(conflicts)
