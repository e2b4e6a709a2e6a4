# SPDX-License-Identifier: Apache-2.0
"""``resources…``, ``trait…`` and ``group_policy``, as Nova's scheduler reads them.

The rules are those of ``nova.scheduler.utils.ResourceRequest`` and
``nova.objects.request_spec.RequestGroup``. What they skip with a line in a log
is an error here.
"""

from __future__ import annotations

import dataclasses
import re
import typing as ty

import os_resource_classes

from nova_vfio_variant import finding
from nova_vfio_variant.pci import flavor_codes

if ty.TYPE_CHECKING:
    from nova_vfio_variant.pci import extra_specs

_CUSTOM: ty.Final = "CUSTOM_"
#: ``ResourceRequest.XS_KEYPAT``
_KEY = re.compile(r"(resources|trait)([a-zA-Z0-9_-]{1,64})?:(.*)", re.DOTALL)
#: What somebody meant to be such a key.
_MEANT = re.compile(r"(resource|trait)[^:]*:")
_AMONG: ty.Final = ("required", "forbidden")
_POLICIES: ty.Final = ("none", "isolate")


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """What one provider has to have, or, unnumbered, any of a host.

    :param suffix: its number or name; empty for the one that has none
    :param resources: class -> units, without those of which none is wanted
    """

    suffix: str
    resources: ty.Mapping[str, int]
    required: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        """Its extra specs, on one line."""
        return ", ".join(
            (
                *(
                    f"resources{self.suffix}:{name}={units}"
                    for name, units in self.resources.items()
                ),
                *(f"trait{self.suffix}:{t}=required" for t in self.required),
                *(f"trait{self.suffix}:{t}=forbidden" for t in self.forbidden),
            )
        )


@dataclasses.dataclass(frozen=True, slots=True)
class AskedGroups:
    """All of a flavor's.

    :param groups: in the order in which the flavor names them
    :param policy: none or isolate; None where the flavor says nothing
    """

    groups: tuple[Group, ...] = ()
    policy: str | None = None


NOTHING: ty.Final = AskedGroups()


class _Reader:
    def __init__(self) -> None:
        self.resources: dict[str, dict[str, int]] = {}
        self.traits: dict[str, dict[str, set[str]]] = {}
        self.places: dict[str, extra_specs.Setting] = {}
        self.findings: list[finding.Finding] = []

    def note(
        self, given: extra_specs.Setting, message: str, *, key: bool = False
    ) -> None:
        """A setting that Nova skips."""
        self.findings.append(
            given.on(
                flavor_codes.MEANS_NOTHING,
                message,
                given.key_at if key else None,
            )
        )

    def add(self, given: extra_specs.Setting) -> None:
        """Take one of ``resources…`` or ``trait…``; leave any other."""
        # re's dollar sign takes one line break behind the end.
        match = _KEY.fullmatch(given.key)
        if match is None:
            if _MEANT.match(given.key):
                self.note(
                    given,
                    f"{given.key} is neither resourcesN:CLASS nor"
                    " traitN:TRAIT, and is ignored",
                    key=True,
                )
            return
        suffix = match[2] or ""
        self.places.setdefault(suffix, given)
        # Nova makes the group before it looks at what is in it.
        self.resources.setdefault(suffix, {})
        traits = self.traits.setdefault(
            suffix, {word: set() for word in _AMONG}
        )
        if match[1] == "resources":
            self._resource(given, match[3], suffix)
        elif given.value in _AMONG:
            traits[given.value].add(match[3])
        else:
            self.note(
                given, f"{given.value!r} is neither required nor forbidden"
            )

    def _resource(
        self, given: extra_specs.Setting, name: str, suffix: str
    ) -> None:
        if (
            not name.startswith(_CUSTOM)
            and name not in os_resource_classes.STANDARDS
        ):
            self.note(
                given,
                f"{name!r} is no resource class: those that are not standard"
                f" begin with {_CUSTOM}",
                key=True,
            )
            return
        try:
            amount = int(given.value)
        except ValueError:
            amount = -1
        if amount < 0:
            self.note(given, f"{given.value!r} is no number of units")
        else:
            self.resources[suffix][name] = amount

    def groups(self) -> tuple[Group, ...]:
        """Those that ask for anything (``strip_zeros``)."""
        found = (
            Group(
                suffix,
                {name: units for name, units in of_group.items() if units},
                frozenset(self.traits[suffix]["required"]),
                frozenset(self.traits[suffix]["forbidden"]),
            )
            for suffix, of_group in self.resources.items()
        )
        return tuple(
            group
            for group in found
            if group.resources or group.required or group.forbidden
        )


def read(
    settings: ty.Mapping[str, extra_specs.Setting],
) -> tuple[AskedGroups, tuple[finding.Finding, ...]]:
    """What extra specs ask for by resource class, and what is wrong there."""
    reader = _Reader()
    for given in settings.values():
        reader.add(given)
    policy = None
    said = settings.get("group_policy")
    if said is not None:
        if said.value in _POLICIES:
            policy = said.value
        else:
            reader.note(said, f"{said.value!r} is neither none nor isolate")
    groups = reader.groups()
    numbered = [group for group in groups if group.suffix]
    reader.findings += (
        reader.places[group.suffix].on(
            flavor_codes.TRAITS_ALONE,
            f"group {group.suffix!r} has traits, and asks for no resource",
            reader.places[group.suffix].key_at,
        )
        for group in numbered
        if not group.resources
    )
    if len(numbered) > 1 and policy is None:
        reader.findings.append(
            reader.places[numbered[1].suffix].on(
                flavor_codes.NO_GROUP_POLICY,
                f"there are {len(numbered)} numbered groups, and no"
                " group_policy",
                reader.places[numbered[1].suffix].key_at,
            )
        )
    return AskedGroups(groups, policy), tuple(reader.findings)
