# SPDX-License-Identifier: Apache-2.0
"""Ordered steps that take a host from what is seen to what is wanted.

A :class:`Plan` holds changes, each of one function and each with its steps:
a change is what is finished or undone as a whole.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import typing as ty

from nova_vfio_variant.host.observe import function_state
from nova_vfio_variant.pci import function

#: No step may take longer, and nobody waits longer for a lock, in seconds.
_PATIENCE = 86400.0


class StepState(enum.StrEnum):
    """How far a step has come."""

    PLANNED = "planned"
    EXPECTED = "expected"
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"


class Action(enum.StrEnum):
    """What kind of write a step is."""

    CREATE_MDEV = "create-mdev"
    LOAD_MODULE = "load-module"
    PROBE = "probe"
    RESET = "reset"
    REMOVE_MDEV = "remove-mdev"
    SET_AUTOPROBE = "set-autoprobe"
    SET_NUMVFS = "set-numvfs"
    SET_OVERRIDE = "set-override"
    SET_HETEROGENEOUS = "set-heterogeneous"
    SET_MDEV_ATTRIBUTE = "set-mdev-attribute"
    SET_VGPU_TYPE = "set-vgpu-type"
    UNBIND = "unbind"

    @classmethod
    def _missing_(cls, value: object) -> ty.NoReturn:
        raise ValueError(f"{value!r} is no action")


#: What is done to a mediated device.
OF_MDEVS: ty.Final = frozenset(
    {Action.CREATE_MDEV, Action.REMOVE_MDEV, Action.SET_MDEV_ATTRIBUTE}
)


class Command(enum.StrEnum):
    """What begins changes; recovering ends those of all."""

    APPLY = "apply"
    RESTORE = "restore"
    MDEV = "mdev"
    RESET = "reset"
    VGPU = "vgpu"


class Outcome(enum.StrEnum):
    """How a change ended.

    One that is done was ``restored`` where it took its function back.
    """

    DONE = "done"
    UNDONE = "undone"
    GONE = "gone"
    RESTORED = "restored"


class What(enum.StrEnum):
    """What a change changes."""

    MODULE = "module"
    VFS = "vfs"
    DRIVER = "driver"
    VGPU = "vgpu"
    MDEV = "mdev"
    RESET = "reset"


def seconds(number: object) -> float:
    """A time to wait.

    :raises ValueError: nobody waits that long
    """
    if (
        isinstance(number, bool)
        or not isinstance(number, int | float)
        or not math.isfinite(number)
        or not 0 <= number <= _PATIENCE
    ):
        raise ValueError(f"{number!r} is no number of seconds to wait")
    return float(number)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One write to the host, with the way back.

    :param subject: PCI address of the function, the module, or the UUID of
        the mediated device, as text
    :param action: what kind of write
    :param value: what is to be seen afterwards: a count, ``0`` or ``1``, a
        driver's name, the id of a vGPU type, ``PARENT/TYPE`` of a mediated
        device or ``NAME=VALUE`` of its attribute, the way of a reset; empty for none, for a probe
        that the kernel is free to answer as it likes
    :param prior: what stood there before, which the undo puts back
    :param reason: why, in one sentence
    :param deadline: seconds that the write may take
    :param provider: for ``set-numvfs``, whose way of making VFs; for what
        is about vGPUs, whose framework
    """

    subject: str
    action: Action
    value: str
    prior: str
    reason: str
    deadline: float = 10.0
    provider: str = "sysfs"

    def as_data(self) -> dict[str, ty.Any]:
        """As plain values that JSON and privsep take."""
        return {**dataclasses.asdict(self), "action": str(self.action)}

    @classmethod
    def of_data(cls, data: ty.Mapping[str, ty.Any]) -> Step:
        """What :meth:`as_data` gave.

        :raises KeyError, TypeError, ValueError: it is no step
        """
        for name, value in data.items():
            if name != "deadline" and not isinstance(value, str):
                raise TypeError(f"{name} is {value!r}, and no text")
        step = cls(**{**data, "action": Action(data["action"])})
        seconds(step.deadline)
        return step

    @property
    def undo(self) -> str:
        """What puts back what the step changes, as a person would say it."""
        if self.action is Action.LOAD_MODULE:
            return "none: the module stays loaded"
        if self.action is Action.CREATE_MDEV:
            return str(Action.REMOVE_MDEV)
        if self.action is Action.REMOVE_MDEV:
            return "none: what it held is gone"
        if self.action is Action.SET_MDEV_ATTRIBUTE:
            return "none: it goes with the device"
        if self.action is Action.RESET:
            return "none: what it held is gone"
        if self.action is Action.UNBIND:
            return f"bind {self.prior}"
        if self.action is Action.PROBE:
            return "unbind" if self.value else "none"
        return _shown(self.action, self.prior)

    @property
    def shown(self) -> str:
        """The action with its value, as a person would say it."""
        return _shown(self.action, self.value)

    def __str__(self) -> str:
        return f"{self.subject} {self.shown}"


def _shown(action: Action, value: str) -> str:
    if action is Action.SET_OVERRIDE and not value:
        return "clear-override"
    return f"{action} {value}".strip()


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What is done to one function, finished or undone as a whole.

    :param subject: PCI address, the module's name, or the UUID of the
        mediated device, as text
    :param what: of which kind it is
    :param before: what stood there before
    :param after: what is to stand there; its driver may be
        :data:`.function_state.KERNELS_CHOICE`
    :param steps: in the order in which they are done
    :param pf: of a VF, its PF
    :param lost: the VFs that vanish on the way, as they were
    :param expected: it can't be done before the changes before it, and is
        decided anew then
    :param identity: which function it is; None for a module, for a function
        that isn't there yet, and in journals that didn't say
    """

    subject: str
    what: What
    before: function_state.State
    after: function_state.State
    steps: tuple[Step, ...]
    pf: str | None = None
    lost: ty.Mapping[str, function_state.State] = dataclasses.field(
        default_factory=dict
    )
    expected: bool = False
    identity: function.Identity | None = None

    @property
    def provider(self) -> str | None:
        """Whose way of making VFs it goes; None if it makes none."""
        for step in self.steps:
            if step.action is Action.SET_NUMVFS:
                return step.provider
        return None

    @property
    def framework(self) -> str | None:
        """Whose vGPUs it is about; None if it is about none."""
        for step in self.steps:
            if step.action in (Action.SET_VGPU_TYPE, Action.SET_HETEROGENEOUS):
                return step.provider
        return None

    @property
    def key(self) -> tuple[str, What, str | None]:
        """What tells it from the others of one plan, and of one command.

        A VF may lose one vGPU type and be given another in one command.
        """
        return self.subject, self.what, self.after.vgpu_type

    @property
    def functions(self) -> tuple[str, ...]:
        """The addresses of all that it concerns.

        None for a module; none for a mediated device, which is somebody's
        and no part of what a function is.
        """
        if self.what in (What.MODULE, What.MDEV):
            return ()
        return (self.subject, *self.lost)

    def as_data(self) -> dict[str, ty.Any]:
        """As plain values that JSON takes."""
        return dataclasses.asdict(self)

    @classmethod
    def of_data(cls, data: ty.Mapping[str, ty.Any]) -> Change:
        """What :meth:`as_data` gave.

        :raises KeyError, TypeError, ValueError: it is no change
        """
        identity = data.get("identity")
        for name in ("subject", "pf"):
            if not isinstance(data[name], str | None):
                raise TypeError(f"{name} is {data[name]!r}, and no text")
        return cls(
            data["subject"],
            What(data["what"]),
            function_state.State.of_data(data["before"]),
            function_state.State.of_data(data["after"]),
            tuple(Step.of_data(step) for step in data["steps"]),
            data["pf"],
            {
                name: function_state.State.of_data(state)
                for name, state in data["lost"].items()
            },
            bool(data["expected"]),
            None if identity is None else function.Identity.of_data(identity),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """Changes in the order in which they are done.

    :param changes: nothing to do where empty
    """

    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of all changes, in order."""
        return tuple(step for change in self.changes for step in change.steps)

    @property
    def ready(self) -> tuple[Change, ...]:
        """The changes that can be done now."""
        return tuple(change for change in self.changes if not change.expected)


@dataclasses.dataclass(frozen=True, slots=True)
class Prior:
    """What a function was before we first touched it.

    :param state: all that we change, as it was
    :param pf: of a VF, its PF
    :param made: the VF came into being by what we did to its PF
    :param left: what we last made of its driver; None where we didn't
    :param vfs_left: of a PF, the numbers of VFs that are ours, each with
        ``sriov_drivers_autoprobe``: the one that we left, or while a change
        isn't ended all that it comes by
    """

    state: function_state.State
    pf: str | None
    made: bool
    left: function_state.State | None = None
    identity: function.Identity | None = None
    vfs_left: frozenset[tuple[int | None, bool | None]] = frozenset()

    def is_strange(self, now: function_state.State) -> bool:
        """Whether somebody else changed the function's driver."""
        return self.left is not None and now.is_strange(self.state, self.left)

    def has_strange_vfs(self, now: function_state.State) -> bool:
        """Whether somebody else gave a PF VFs, or took them away."""
        mine = {*self.vfs_left, (self.state.numvfs, self.state.autoprobe)}
        return (now.numvfs, now.autoprobe) not in mine


@dataclasses.dataclass(slots=True)
class Unfinished:
    """A change that was begun and not ended.

    :param number: its place in the journal
    :param change: as it was planned
    :param command: which one began it
    :param done: its steps that are known to be done
    :param begun: the step that was begun last, if it didn't end
    :param trouble: what stopped it: an error, or a write that hung
    :param hung: a write hung
    :param prior: what its function was before us, as known when it was begun
    """

    number: int
    change: Change
    command: Command
    done: list[Step] = dataclasses.field(default_factory=list)
    begun: Step | None = None
    trouble: str | None = None
    hung: bool = False
    prior: Prior | None = None
