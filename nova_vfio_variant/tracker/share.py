# SPDX-License-Identifier: Apache-2.0
"""Whose it is what a resource provider has reserved."""

from __future__ import annotations

import dataclasses
import typing as ty


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """A write of a class's inventory that was begun.

    :param units: how much of what is reserved is ours once it is done
    :param generation: of the provider before it
    :param before: all that was reserved before it
    :param after: all that is reserved once it is done
    """

    units: int
    generation: int
    before: int
    after: int


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """How much of what a provider has reserved of a class is ours.

    Placement knows one number; what an operator set, or what stands there
    for a device of one time, must not go when ours goes.

    :param units: as of the last write that ended
    :param write: one that was begun and, as far as we know, not ended
    """

    units: int
    write: Write | None = None

    def now(self, generation: int, reserved: int) -> int:
        """How much is ours, with what Placement says.

        A crash leaves a write of which nobody knows whether it was done. It
        was not if the generation stands, and was if what it writes is there.
        Where neither is so, and not what was there before either, somebody
        else wrote since. Then the least counts as ours: what is too much
        reserved can be seen and mended, what is given out can't.

        :param generation: of the provider
        :param reserved: all that it has reserved of the class
        """
        units = self.units
        write = self.write
        if write is not None and generation != write.generation:
            if reserved == write.after:
                units = write.units
            elif reserved != write.before and generation > (
                write.generation + 1
            ):
                units = min(units, write.units)
        return min(units, reserved)


#: Of one provider, by resource class.
Shares = ty.Mapping[str, Share]


def of(units: ty.Mapping[str, int]) -> dict[str, Share]:
    """Shares of so many units, nothing being written."""
    return {name: Share(number) for name, number in units.items()}
