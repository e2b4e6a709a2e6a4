# SPDX-License-Identifier: Apache-2.0
"""What an answer of Placement's looks like, and where one doesn't."""

from __future__ import annotations

import math
import typing as ty

#: A type, ``[each]``, ``{"key": one}``, ``{str: each}``, or a tuple of
#: types, of which None is null.
Shape = ty.Any

_NAMES = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
    bool: "a boolean",
    type(None): "null",
}


def wrong(value: object, shape: Shape, at: str = "the body") -> str | None:
    """What is wrong with a value that came as JSON; None if nothing is.

    :param at: what to call the value
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return _mistyped(value, dict, at)
        if str in shape:
            return _first(
                wrong(one, shape[str], f"{key!r:.100} in {at}")
                for key, one in value.items()
            )
        return _first(
            wrong(value[key], one, f"{key!r} in {at}")
            if key in value
            else f"{at} has no {key!r}"
            for key, one in shape.items()
        )
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _mistyped(value, list, at)
        return _first(
            wrong(one, shape[0], f"number {place} of {at}")
            for place, one in enumerate(value, 1)
        )
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if any(
        value is None
        if kind is None
        else isinstance(value, kind) and not isinstance(value, bool)
        for kind in kinds
    ):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{at} is {value}"
        return None
    return _mistyped(value, kinds[0], at)


def _first(found: ty.Iterable[str | None]) -> str | None:
    return next((one for one in found if one is not None), None)


def _mistyped(value: object, wanted: type, at: str) -> str:
    return f"{at} is {_NAMES[type(value)]}, not {_NAMES[wanted]}"
