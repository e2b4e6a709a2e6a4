# SPDX-License-Identifier: Apache-2.0
"""What a flavor would get, as values."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import flavor_fit

NONE: ty.Final = "none"
UNKNOWN: ty.Final = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Gets:
    """What one alias, or one resource group, would get.

    :param asks: as the flavor asks for it
    :param state: ready, preparable, none or unknown
    :param devices: those that the next guest would get; none for a group,
        whose devices Placement doesn't know
    :param providers: that these are published by, or that serves the group
    :param numa_nodes: that these are on
    :param at_once: how many devices could be had at once; None for a group
    :param refused: why it gets nothing
    """

    asks: str
    state: str
    devices: flavor_fit.FittingDevices = ()
    providers: tuple[str, ...] = ()
    numa_nodes: tuple[int, ...] = ()
    at_once: int | None = None
    refused: flavor_fit.Refused | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class FlavorAnswer:
    """What a flavor would get.

    :param name: None where nobody said
    :param gets: for each alias, then for each group; empty where it asks for
        no device, or can't be read
    :param guests: how many guests of it there could be at once; None where it
        asks for no device, or nobody can say
    :param findings: what is wrong with it
    :param instead: commands that let it ask for our devices
    """

    name: str | None
    gets: tuple[Gets, ...] = ()
    guests: int | None = None
    findings: tuple[finding.Finding, ...] = ()
    instead: tuple[str, ...] = ()

    @property
    def is_wrong(self) -> bool:
        """Whether no host could serve it."""
        return finding.worst(self.findings) is finding.Severity.ERROR

    @property
    def is_served(self) -> bool:
        """Whether all that it asks for is to be had here."""
        return not self.is_wrong and all(
            one.state not in (NONE, UNKNOWN) for one in self.gets
        )
