# SPDX-License-Identifier: Apache-2.0
"""What a claim asks for, as a value: aliases, and what goes beyond them.

Each value is read into one form when it is made, so that two ways of writing
the same request are equal.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import (
    alias_parse,
    class_words,
    entry,
    function,
    values,
)

#: Most that one request asks for: the functions of a bus with ARI, and more
#: than any guest has slots for.
MOST: ty.Final = 4096
#: Characters of what is recorded as an alias's name.
_LONGEST: ty.Final = 255
_HEX: ty.Final = re.compile(r"(?:0[xX])?([0-9a-fA-F]{4})")
_ROOT: ty.Final = re.compile(r"(?:pci)?([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2})")
_INDEX: ty.Final = re.compile(r"([a-z0-9]+):([0-9]{1,6})")
_NUMBER: ty.Final = re.compile(r"-1|[0-9]{1,6}")
_COUNTED: ty.Final = re.compile(r"(.*):([0-9]{1,9})", re.DOTALL)
_NAME: ty.Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
_WORD: ty.Final = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
#: What 'driver' is where a function has none.
NO_DRIVER: ty.Final = "none"


class Strategy(enum.StrEnum):
    """How devices that could all serve a request are chosen between.

    A card is a PF with its VFs, or a function that is neither.
    """

    #: The card with the most in use, so that whole cards stay free.
    PACK = "pack"
    #: The card with the fewest in use.
    SPREAD = "spread"
    #: A card with none in use, else as pack.
    SEPARATE = "separate"
    #: As few NUMA nodes as possible, and of those the fullest that suffices.
    NUMA = "numa"


OLD_STRATEGIES: ty.Final = {"compact": str(Strategy.PACK)}


def _vendor(text: str) -> str | None:
    found = _HEX.fullmatch(text)
    return found and found[1].lower()


def _type(text: str) -> str | None:
    word = text.removeprefix("type-").upper()
    known = [str(kind) for kind in function.Kind]
    return f"type-{word}" if word in known else None


def _node(text: str) -> str | None:
    return str(int(text)) if _NUMBER.fullmatch(text) else None


def _word(text: str) -> str | None:
    return text if _WORD.fullmatch(text) else None


def _address(text: str) -> str | None:
    try:
        return str(pci_address.PciAddress.parse(text))
    except ValueError:
        return None


def _root(text: str) -> str | None:
    found = _ROOT.fullmatch(text)
    return found and f"pci{found[1]}:{found[2]}".lower()


def _yes(text: str) -> str | None:
    found = values.boolean(text)
    return None if found is None else "yes" if found else "no"


#: Each property that devices are asked for by: its form, and what is written.
PROPERTIES: ty.Final[
    ty.Mapping[str, tuple[ty.Callable[[str], str | None], str]]
] = {
    "vendor": (_vendor, "four hex digits, 10de"),
    "type": (_type, "PF, VF or PCI"),
    "numa_node": (_node, "a number, or -1 for none"),
    "driver": (_word, f"a driver's name, or {NO_DRIVER}"),
    "vgpu_type": (_word, "the number or the name of a type of vGPU"),
    "pf": (_address, "the full address of a PF, 0000:25:00.0"),
    "pcie_root": (_root, "a root complex, pci0000:00"),
    "iommufd": (_yes, "yes or no"),
}


#: The properties whose value may be a number, too.
NUMBERS: ty.Final = ("numa_node", "vgpu_type")


def property_value(key: str, text: str) -> str:
    """A property's value in the one form that is compared.

    :raises ConfigError: there is no such property, or it has no such value
    """
    if key not in PROPERTIES:
        raise exception.ConfigError(
            f"there is no property {key!r}", _known(key, PROPERTIES)
        )
    form, accepted = PROPERTIES[key]
    found = form(text.strip())
    if found is None:
        raise exception.ConfigError(
            f"{key} can't be {text!r}", f"accepted is {accepted}"
        )
    return found


def class_word(text: str) -> str:
    """A class, as ``host list --class`` has it.

    :raises ConfigError: there is none of this name
    """
    if text not in class_words.CLASSES:
        raise exception.ConfigError(
            f"there is no class {text!r}", _known(text, class_words.CLASSES)
        )
    return text


def index(word: str) -> tuple[str, int] | None:
    """Class and number of ``CLASS:INDEX``; None if it isn't written so."""
    found = _INDEX.fullmatch(word)
    return None if found is None else (found[1], int(found[2]))


def device_word(text: str) -> str:
    """An address, a name or ``CLASS:INDEX`` in one form.

    :raises ConfigError: it is none of these
    """
    word = text.strip()
    address = _address(word)
    if address is not None:
        return address
    of_class = index(word)
    if of_class is not None:
        return f"{class_word(of_class[0])}:{of_class[1]}"
    if _NAME.fullmatch(word) is None:
        raise exception.ConfigError(
            f"{text!r} is no device",
            "accepted are a full address, 0000:25:00.4, a name, and"
            " CLASS:INDEX, gpu:0",
        )
    return word


def counted(text: str) -> tuple[str, int]:
    """The type and the number of ``TYPE`` or ``TYPE:COUNT``.

    :raises ConfigError: it asks for none
    """
    known = _COUNTED.fullmatch(text)
    word, count = (known[1], int(known[2])) if known else (text, 1)
    if not word.strip() or count < 1:
        raise exception.ConfigError(
            f"{text!r} asks for no number of vGPUs of a type",
            "write TYPE or TYPE:COUNT, the count at least 1",
        )
    return word.strip(), count


def _known(word: str, known: ty.Iterable[str]) -> str:
    """What is accepted, and what is nearest to a word that isn't."""
    listed = [*map(str, known)]
    near = entry.nearest(word, listed)
    said = f"known are {', '.join(listed)}"
    return said if near is None else f"did you mean {near!r}? {said}"


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceRequest:
    """So many functions by what they are; all that is said has to hold.

    Candidates are the functions that a ``device_spec`` names.

    :param device_class: as ``host list --class`` has it; None for any
    :param named: by address, name or ``CLASS:INDEX``; empty for any
    :param properties: of :data:`PROPERTIES`
    :param count: None for all that are named, or for one
    :raises ConfigError: it asks for nothing, or for what there can't be
    """

    device_class: str | None = None
    named: tuple[str, ...] = ()
    properties: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    count: int | None = None

    def __post_init__(self) -> None:
        """Bring all of it into one form."""
        if self.device_class is not None:
            class_word(self.device_class)
        named = tuple(sorted(map(device_word, self.named)))
        twice = {word for word in named if named.count(word) > 1}
        if twice:
            raise exception.ConfigError(
                f"device {min(twice)} is asked for twice", "name it once"
            )
        object.__setattr__(self, "named", named)
        object.__setattr__(
            self,
            "properties",
            {
                key: property_value(key, text)
                for key, text in sorted(self.properties.items())
            },
        )
        if not (self.device_class or named or self.properties):
            raise exception.ConfigError(
                "it says nothing of the devices that are asked for",
                "give a class, a device or a property",
            )
        count = self.count
        if count is not None and not 1 <= count <= MOST:
            raise exception.ConfigError(
                f"{count} devices can't be asked for",
                f"a count is from 1 to {MOST}",
            )
        if named and count is not None and count > len(named):
            raise exception.ConfigError(
                f"{count} are asked for of {len(named)} named devices",
                "name more, or leave the count away for all of them",
            )
        object.__setattr__(self, "count", count or len(named) or 1)

    def __hash__(self) -> int:
        return hash(self.label)

    @property
    def wanted(self) -> int:
        """How many."""
        assert self.count is not None
        return self.count

    @property
    def label(self) -> str:
        """What stands where an alias's name does."""
        parts = []
        if self.device_class is not None:
            parts.append(f"class={self.device_class}")
        parts += [f"device={word}" for word in self.named]
        parts += [f"{key}={text}" for key, text in self.properties.items()]
        text = ",".join(parts)
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

    @property
    def takes_pfs(self) -> bool:
        """Whether a whole PF may be given: who wants one says so."""
        return bool(self.named) or self.properties.get("type") == "type-PF"

    def as_data(self) -> dict[str, ty.Any]:
        """The same as a request file has it."""
        data: dict[str, ty.Any] = {"count": self.wanted}
        if self.device_class is not None:
            data["class"] = self.device_class
        if self.named:
            data["named"] = list(self.named)
        if self.properties:
            data["properties"] = dict(self.properties)
        return data


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """All that one claim asks for: all of it is given, or none.

    :param alias: aliases and counts, ``A:2,B:1``
    :param vgpu_types: by id or name, ``T`` or ``T:2``
    :param devices: functions by what they are
    :param closest: the functions hang as near to each other as can be
        (:mod:`nova_vfio_variant.host.decide.nearness`)
    :param strategy: None chooses functions as Nova does, and mediated devices
        as ``pack``
    :param numa_cells: host NUMA nodes of the guest, None if it has no NUMA
        topology
    :param numa_policy: as in a flavor; it goes before the aliases' own
    :raises ConfigError: nothing is asked for, or there is no such policy
    """

    alias: str | None = None
    vgpu_types: tuple[str, ...] = ()
    devices: tuple[DeviceRequest, ...] = ()
    closest: bool = False
    strategy: Strategy | None = None
    numa_cells: tuple[int, ...] | None = None
    numa_policy: str | None = None

    def __post_init__(self) -> None:
        """See that it asks for something."""
        if self.alias is None and not self.vgpu_types and not self.devices:
            raise exception.ConfigError(
                "nothing is asked for",
                "ask by alias, by vGPU type, or by what devices are",
            )
        policy = self.numa_policy
        if policy is not None and policy not in alias_parse.NUMA_POLICIES:
            raise exception.ConfigError(
                f"NUMA policy {policy!r} is not known",
                _known(policy, alias_parse.NUMA_POLICIES),
            )


def of_words(
    wanted: str | Request | None,
    numa_cells: ty.Sequence[int] | None = None,
    numa_policy: str | None = None,
    vgpu_types: ty.Sequence[str] = (),
    strategy: str | None = None,
) -> Request:
    """A request of words, or the one that is given.

    :param wanted: aliases and counts, or a whole request
    :param strategy: or ``compact``, as ``pack`` was called
    :raises ConfigError: something is said beside a whole request, or is none
    """
    if isinstance(wanted, Request):
        if vgpu_types or (numa_cells, numa_policy, strategy) != (None,) * 3:
            raise exception.ConfigError(
                "a whole request is given, and more beside it",
                "say all of it in the request",
            )
        return wanted
    return Request(
        wanted,
        tuple(vgpu_types),
        numa_cells=None if numa_cells is None else tuple(numa_cells),
        numa_policy=numa_policy,
        strategy=None if strategy is None else strategy_of(strategy),
    )


def strategy_of(word: str) -> Strategy:
    """A strategy by its name; ``compact`` is how ``pack`` was called.

    :raises ConfigError: there is none of this name
    """
    word = OLD_STRATEGIES.get(word, word)
    if word not in {*Strategy}:
        raise exception.ConfigError(
            f"there is no strategy {word!r}", _known(word, [*Strategy])
        )
    return Strategy(word)
