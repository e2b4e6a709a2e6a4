# SPDX-License-Identifier: Apache-2.0
"""Which functions are the closest together. Pure.

The distance of two functions is what they still share: 0, a card (a PF and its
VFs); 1, the port of a root complex, and so a switch or a slot; 2, a root
complex; 3, a NUMA node; 4, the host alone. Of sets, that one is closest whose
two farthest functions are nearest, then the one whose distances between all
pairs have the smallest sum, then the one that comes first in order.
"""

from __future__ import annotations

import collections
import itertools
import typing as ty

from nova_vfio_variant import exception

#: What functions share, the widest first; two that share all of it are at
#: distance 0.
Path = tuple[ty.Hashable, ty.Hashable, ty.Hashable, ty.Hashable]

#: What two functions at each distance share.
SHARED: ty.Final = (
    "card",
    "switch",
    "root complex",
    "NUMA node",
    "host",
)
_FARTHEST: ty.Final = len(SHARED) - 1

#: The sum of distances, and the numbers of the functions, in rising order.
_Set = tuple[int, tuple[int, ...]]
#: The best set of each size.
_Best = list[_Set]


def path(
    node: int | None, root: str | None, port: str | None, card: str
) -> Path:
    """What a function shares with others; what isn't known, with none.

    :param node: its NUMA node
    :param root: its root complex
    :param port: the first bridge on the way from there
    :param card: its PF, or itself
    """
    known_root = ("of", card) if root is None else root
    return (
        ("of", known_root) if node is None else node,
        known_root,
        ("of", card) if port is None else port,
        card,
    )


def distance(one: Path, other: Path) -> int:
    """How far two functions are from each other, 0 to 4."""
    for shared, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        if mine != theirs:
            return _FARTHEST - shared
    return 0


def measure(paths: ty.Sequence[Path]) -> tuple[int, int]:
    """The largest distance in a set, and the sum of all of its pairs."""
    found = [
        distance(one, other) for one, other in itertools.combinations(paths, 2)
    ]
    return max(found, default=0), sum(found)


def closest(
    paths: ty.Sequence[Path], count: int, beside: ty.Sequence[Path] = ()
) -> tuple[int, ...]:
    """The functions that are closest together.

    :param paths: of those to choose from, the preferred first
    :param count: how many
    :param beside: of functions that are chosen already, and count with them
    :returns: their numbers in ``paths``, in rising order
    :raises NotEnoughDevices: there are not so many
    """
    if count > len(paths):
        raise exception.NotEnoughDevices(
            f"{count} asked for, and {len(paths)} can be given"
        )
    for shared in range(_FARTHEST, -1, -1):
        groups: dict[Path, list[int]] = collections.defaultdict(list)
        for number, each in enumerate(paths):
            groups[_prefix(each, shared)].append(number)
        there = {_prefix(each, shared) for each in beside}
        found = [
            _best(paths, numbers, beside, shared, count)[count]
            for prefix, numbers in groups.items()
            if len(numbers) >= count and there <= {prefix}
        ]
        if found:
            return min(found)[1]
    raise AssertionError("the host is shared by all")


def _prefix(path: Path, shared: int) -> ty.Any:
    return path[:shared]


def _best(
    paths: ty.Sequence[Path],
    numbers: ty.Sequence[int],
    beside: ty.Sequence[Path],
    shared: int,
    count: int,
) -> _Best:
    """The best sets of each size up to a count, of functions of one group.

    Their distances are those of a tree, so that the best set of a group is
    made of the best sets of its parts.

    :param numbers: of the functions of the group, in rising order
    :param beside: those of the group that are chosen already
    :param shared: how much of a path the group shares
    """
    if shared == _FARTHEST:
        return [
            (0, tuple(numbers[:size]))
            for size in range(min(count, len(numbers)) + 1)
        ]
    parts: dict[ty.Any, list[int]] = collections.defaultdict(list)
    chosen: dict[ty.Any, list[Path]] = collections.defaultdict(list)
    for number in numbers:
        parts[_prefix(paths[number], shared + 1)].append(number)
    for each in beside:
        chosen[_prefix(each, shared + 1)].append(each)
    far = _FARTHEST - shared
    best: _Best = [(0, ())]
    before = 0
    for part in (*parts, *(one for one in chosen if one not in parts)):
        there = len(chosen.get(part, ()))
        of_part = _best(
            paths, parts.get(part, ()), chosen.get(part, ()), shared + 1, count
        )
        best = _joined(best, of_part, before, there, far, count)
        before += there
    return best


def _joined(
    one: _Best, other: _Best, before: int, there: int, far: int, count: int
) -> _Best:
    """The best sets of two parts of a group.

    :param before: how many of the first part are chosen already
    :param there: how many of the second
    :param far: the distance from one part to the other
    """
    found: dict[int, _Set] = {}
    for mine, (cost, numbers) in enumerate(one):
        for theirs, (more, others) in enumerate(other):
            if mine + theirs > count:
                break
            total = cost + more + far * (mine + before) * (theirs + there)
            known = found.get(mine + theirs)
            if known is None or total <= known[0]:
                made = (total, tuple(sorted((*numbers, *others))))
                if known is None or made < known:
                    found[mine + theirs] = made
    return [found[size] for size in range(len(found))]
