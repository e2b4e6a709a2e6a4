# SPDX-License-Identifier: Apache-2.0
"""How the published providers differ from those that we would have.

Pure: what is published and what is desired in, rows out. The same function
:func:`settled` says what a provider's inventories become, so that a shown
difference and a written one can't disagree.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant.placement import provider

#: What the trait of whoever owns a provider begins with. Ours have none, and
#: who owns others' is no difference that a file could make.
OWNER = "OWNER_"

#: What only some inventories of ours say.
_STEPS = ("min_unit", "step_size")

Record = ty.Mapping[str, int | float]
Value = int | float | str | tuple[str, ...] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a provider differs.

    :param change: ``add`` for a provider that isn't published, ``delete``
        for one that shouldn't be, ``update`` otherwise
    :param provider: its name
    :param field: ``parent``, ``traits``, or ``CLASS.total`` and the like
    :param published: None where there is none
    :param desired: None where there shall be none
    """

    change: ty.Literal["add", "update", "delete"]
    provider: str
    field: str
    published: Value
    desired: Value


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """What a provider's inventories become.

    :param inventories: resource class -> the whole record
    :param kept: for each class that stays above what is desired, because so
        much of it is in use, a sentence that says so
    :param ours: resource class -> units of what is reserved that are ours
    """

    inventories: ty.Mapping[str, Record]
    kept: tuple[str, ...] = ()
    ours: ty.Mapping[str, int] = dataclasses.field(default_factory=dict)


def settled(
    desired: provider.Provider | None, published: provider.Published | None
) -> Settled:
    """The inventories that are both desired and possible.

    As in Nova, nothing goes below what is in use, and ``reserved`` is
    raised for a device of one time but never lowered: it is given back by
    whoever made the device clean. Unlike Nova, which leaves such fields out
    and so resets them with every change of total, what an operator set for
    ``reserved``, ``min_unit``, ``step_size`` or ``allocation_ratio`` stays.

    What is blocked is reserved beside that, and given back: of what is
    reserved only our own share moves. A provider that somebody owns has none.

    :param desired: None for a provider that shall go
    :param published: None for a provider that isn't there; its usages count
    """
    wanted = desired.inventories if desired else {}
    there = published.inventories if published else {}
    used = published.usages if published else {}
    name = desired.name if desired else published.name if published else ""
    inventories: dict[str, Record] = {}
    kept = []
    ours = {}
    owned = published is not None and any(
        trait.startswith(OWNER) for trait in published.traits
    )
    for resource_class in sorted({*wanted, *there}):
        inventory = wanted.get(resource_class, provider.Inventory(0, 0))
        total = max(inventory.total, used.get(resource_class, 0))
        if total == 0:
            continue
        if total > inventory.total:
            kept.append(
                f"{resource_class} of {name} stays at {total} where "
                f"{inventory.total} would be right: so many are in use"
            )
        record = dict(there.get(resource_class, {}))
        share = published.ours.get(resource_class, 0) if published else 0
        others = min(
            max(int(record.get("reserved", 0)) - share, inventory.reserved),
            total,
        )
        if not owned:
            share = max(
                inventory.blocked,
                min(share, inventory.blocked + inventory.unknown),
            )
            ours[resource_class] = share = min(share, total - others)
        inventories[resource_class] = record | {
            "total": total,
            "max_unit": max(inventory.max_unit, total),
            "reserved": others + share,
            **_units(inventory, total),
        }
    return Settled(inventories, tuple(kept), _some(ours))


def _units(inventory: provider.Inventory, total: int) -> dict[str, int]:
    """How much of it one consumer may have, and in which steps."""
    if not inventory.unit:
        return {}
    most = inventory.max_unit if inventory.unit > 1 else total
    return {
        "min_unit": inventory.unit,
        "max_unit": most,
        "step_size": inventory.unit,
    }


def _some(units: ty.Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in units.items() if number}


def left(
    desired: provider.Provider, published: provider.Published | None
) -> provider.Provider:
    """The desired provider as a report leaves it (:func:`settled`)."""
    return dataclasses.replace(
        desired,
        inventories={
            resource_class: provider.Inventory(
                *(
                    int(record[field])
                    for field in ("total", "max_unit", "reserved")
                )
            )
            for resource_class, record in settled(
                desired, published
            ).inventories.items()
        },
    )


def difference(
    published: ty.Mapping[str, provider.Published],
    desired: ty.Iterable[provider.Provider],
) -> tuple[Difference, ...]:
    """Every way in which the published differ from the desired.

    :param published: by name; each that is not desired counts as one to
        delete, so providers of others must not be among them
    :param desired: all that shall be there
    :returns: sorted by provider, then class and field
    """
    wanted = {rp.name: rp for rp in desired}
    return tuple(
        change
        for name in sorted({*wanted, *published})
        for change in _of_one(name, wanted.get(name), published.get(name))
    )


def _of_one(
    name: str,
    desired: provider.Provider | None,
    published: provider.Published | None,
) -> ty.Iterator[Difference]:
    what = settled(desired, published)
    kind: ty.Literal["add", "update", "delete"] = "update"
    if published is None:
        kind = "add"
    elif desired is None and not what.inventories:
        kind = "delete"
    there = published.inventories if published else {}
    for resource_class in sorted({*there, *what.inventories}):
        before = there.get(resource_class, {})
        after = what.inventories.get(resource_class, {})
        for field in ("total", "max_unit", "reserved", *_STEPS):
            if field in _STEPS and field not in after:
                continue
            if before.get(field) != after.get(field):
                yield Difference(
                    kind,
                    name,
                    f"{resource_class}.{field}",
                    before.get(field),
                    after.get(field),
                )
    has = published.traits if published else None
    shall = traits(desired, published)
    if kind == "delete":
        yield Difference(kind, name, "traits", has, None)
    elif has is None or {
        trait for trait in has if not trait.startswith(OWNER)
    } != set(shall):
        yield Difference(kind, name, "traits", has, shall)


def traits(
    desired: provider.Provider | None, published: provider.Published | None
) -> tuple[str, ...]:
    """The traits that a provider shall have.

    As Nova does, a provider's traits are replaced as a whole; one that is
    only there for what is still in use keeps its own.
    """
    if desired is not None:
        return desired.traits
    return published.traits if published else ()
