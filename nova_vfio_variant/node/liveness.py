# SPDX-License-Identifier: Apache-2.0
"""Whether an instance lives: the seam for whoever knows.

A source is a class under the entry point ``nova_vfio_variant.liveness``. What
nobody can tell counts as alive: a guest may come at any moment to what would
be taken from it.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import logging
import typing as ty
import uuid

from nova_vfio_variant import exception, plugins, shown
from nova_vfio_variant.host.observe import running
from nova_vfio_variant.host.tree import host_tree

_LOG = logging.getLogger(__name__)

NAMESPACE: ty.Final = "nova_vfio_variant.liveness"

#: Bytes that a list of instances may have: 100,000 of them.
MOST: ty.Final = 4 << 20
#: What such a list says where no instance lives.
_NOBODY = "none"
#: How many reasons a sentence names.
_NAMED = 3


class State(enum.StrEnum):
    """What is known of an instance."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """Whether an instance lives.

    :param state: what it comes to
    :param why: who says so, or why nobody can, as half a sentence
    """

    state: State
    why: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether it surely lives no more."""
        return self.state is State.NO


class Source(abc.ABC):
    """Somebody who knows which instances live.

    One is made for each look at a host, so that it may keep what it saw.

    :param tree: the host
    """

    def __init__(self, tree: host_tree.HostTree) -> None:
        self.tree = tree

    @abc.abstractmethod
    def ask(self, instance_uuid: str) -> Answer:
        """Whether an instance lives, as far as this one knows.

        :param instance_uuid: in lower case, with its dashes
        :returns: ``no`` only where it would know of it; what is raised counts
            as ``unknown``
        """


class _Seen(Source):
    """One that looks once, and sees all at once."""

    said: ty.ClassVar[str]

    @abc.abstractmethod
    def look(self) -> running.Running:
        """See it."""

    @functools.cached_property
    def _seen(self) -> running.Running:
        return self.look()

    def ask(self, instance_uuid: str) -> Answer:
        """By what was seen."""
        if instance_uuid in self._seen.instances:
            return Answer(State.YES, self.said)
        if self._seen.untold:
            return Answer(State.UNKNOWN, _counted(self._seen.untold))
        return Answer(State.NO)


class Processes(_Seen):
    """QEMU's and Cloud Hypervisor's processes."""

    said = "a process runs its guest"

    def look(self) -> running.Running:
        """See :func:`.running.of_processes`."""
        return running.of_processes(self.tree)


class Libvirt(_Seen):
    """libvirt's domains, by the files that it keeps of them."""

    said = "libvirt has a domain for it"

    def look(self) -> running.Running:
        """See :func:`.running.of_libvirt`."""
        return running.of_libvirt(self.tree)


class Listed(Source):
    """A list of all instances that live.

    :param instances: their UUIDs
    """

    def __init__(
        self, tree: host_tree.HostTree, instances: ty.Collection[str]
    ) -> None:
        super().__init__(tree)
        self._instances = frozenset(instances)

    def ask(self, instance_uuid: str) -> Answer:
        """Those that aren't on it don't live."""
        if instance_uuid in self._instances:
            return Answer(State.YES, "it is on the list of those that live")
        return Answer(State.NO)


class Liveness:
    """All that is known of which instances live.

    :param sources: who is asked
    :param untold: why a source that is installed can't be asked
    """

    def __init__(
        self, sources: ty.Sequence[Source], untold: ty.Sequence[str] = ()
    ) -> None:
        self._sources = tuple(sources)
        self._untold = tuple(untold)
        self._known: dict[str, Answer] = {}

    @classmethod
    def of(
        cls,
        tree: host_tree.HostTree,
        listed: ty.Collection[str] | None = None,
    ) -> Liveness:
        """Whoever is installed.

        :param listed: the instances that live, as somebody says; None if
            nobody does
        """
        untold: list[str] = []

        def failed(name: str, error: BaseException) -> None:
            untold.append(f"source {name}: {error}")

        sources: list[Source] = [
            source
            for _, source in plugins.load(NAMESPACE, tree, failed=failed)
        ]
        if not sources:
            untold.append(f"nobody is installed under {NAMESPACE}")
        if listed is not None:
            sources.append(Listed(tree, listed))
        return cls(sources, untold)

    def ask(self, instance_uuid: str) -> Answer:
        """Whether an instance lives.

        Whoever says yes is believed; else it is unknown if anybody doesn't
        know, or can't be asked. Raises nothing.
        """
        name = instance_uuid.lower()
        if name not in self._known:
            self._known[name] = self._asked(name)
        return self._known[name]

    def _asked(self, name: str) -> Answer:
        unknown = [*self._untold]
        for source in self._sources:
            try:
                answer = source.ask(name)
                if answer.state == State.YES:
                    return answer
                if answer.state != State.NO:
                    unknown.append(answer.why)
            except Exception as error:  # noqa: BLE001 - somebody else's code
                _LOG.debug("%s: %r", type(source).__name__, error)
                unknown.append(f"{type(source).__name__}: {error}")
        if unknown or not self._sources:
            return Answer(State.UNKNOWN, _counted(unknown))
        return Answer(State.NO, "nobody who would know of it does")


def parse(text: bytes, place: str) -> frozenset[str]:
    """The UUIDs of a list, one a line; blank lines don't count.

    :param place: where it is from, as the user named it
    :raises VfioVariantError: a line is none; or the list is empty, as that of
        a program that failed is, and doesn't say ``none``
    """
    nobody = False
    found, wrong = set(), []
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.decode(errors="replace").strip()
        if not word:
            continue
        if word == _NOBODY:
            nobody = True
            continue
        try:
            found.add(str(uuid.UUID(word)))
        except ValueError:
            wrong.append(f"{place}:{number}: {shown.short(word)!r} is no UUID")
    if wrong:
        more = f", and {len(wrong) - 1} more lines" if len(wrong) > 1 else ""
        raise exception.VfioVariantError(
            wrong[0] + more,
            "write the UUIDs of the instances that live, one a line",
        )
    if nobody is bool(found):
        raise exception.VfioVariantError(
            f"{place} has UUIDs and says {_NOBODY!r}"
            if found
            else f"{place} has no UUID",
            "write the UUIDs of the instances that live, one a line, or"
            f" {_NOBODY!r} where there are none",
        )
    return frozenset(found)


def _counted(reasons: ty.Sequence[str]) -> str:
    """The first few of some reasons, and how many more there are."""
    named = "; ".join(reasons[:_NAMED])
    more = len(reasons) - _NAMED
    return f"{named}; and {more} more" if more > 0 else named
