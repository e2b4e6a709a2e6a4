# SPDX-License-Identifier: Apache-2.0
"""How a host's steps are done, its locks taken, its processes looked into."""

from __future__ import annotations

import abc
import typing as ty

from nova_vfio_variant.host import process, vf_provider, vgpu
from nova_vfio_variant.host.act import lock, sysfs_writer
from nova_vfio_variant.host.decide import plan
from nova_vfio_variant.host.observe import mdev
from nova_vfio_variant.host.observe.use import device_files, processes
from nova_vfio_variant.pci import mdev_names


def do(writer: sysfs_writer.SysfsWriter, step: plan.Step) -> str:
    """Do a step and read back. It may block for ever.

    :returns: what stands there now, in the form of the step's value
    :raises OSError: the kernel refused
    """
    subject, value = step.subject, step.value
    if step.action is plan.Action.LOAD_MODULE:
        writer.load_module(subject)
        return writer.has_driver(subject)
    if step.action in _OF_ONE:
        return _do_one(writer, step)
    if step.action is plan.Action.SET_AUTOPROBE:
        writer.set_autoprobe(subject, value == "1")
        return writer.autoprobe(subject)
    if step.action is plan.Action.SET_VGPU_TYPE:
        framework = vgpu.named(step.provider)
        framework.set_type(writer, subject, value)
        return framework.current(writer.root, subject)
    if step.action is plan.Action.SET_HETEROGENEOUS:
        framework = vgpu.named(step.provider)
        framework.set_heterogeneous(writer, subject, value == "1")
        return framework.heterogeneous(writer.root, subject)
    if step.action in plan.OF_MDEVS:
        return _do_mdev(writer, step)
    assert step.action is plan.Action.SET_NUMVFS, step.action
    way = vf_provider.named(step.provider)
    way.set_numvfs(writer, subject, int(value))
    if int(value):
        # While the kernel still gives them no driver.
        writer.settle()
    return str(writer.numvfs(subject, int(value)))


#: What is done to a function by itself, whatever it is.
_OF_ONE: ty.Final = frozenset(
    {
        plan.Action.PROBE,
        plan.Action.RESET,
        plan.Action.SET_OVERRIDE,
        plan.Action.UNBIND,
    }
)


def _do_one(writer: sysfs_writer.SysfsWriter, step: plan.Step) -> str:
    """Change the driver of a function, or reset it."""
    subject, value = step.subject, step.value
    if step.action is plan.Action.SET_OVERRIDE:
        writer.set_override(subject, value)
        return writer.override(subject)
    if step.action is plan.Action.UNBIND:
        writer.unbind(subject)
        return writer.driver(subject)
    if step.action is plan.Action.PROBE:
        writer.probe(subject)
        return writer.driver(subject, value)
    writer.reset(subject)
    return value if writer.answers(subject) else ""


def _do_mdev(writer: sysfs_writer.SysfsWriter, step: plan.Step) -> str:
    """Make a mediated device, or remove it, or write an attribute of its.

    Attributes aren't read back: some can't be, and others read as something
    else.
    """
    if step.action is plan.Action.SET_MDEV_ATTRIBUTE:
        writer.set_mdev_attribute(
            step.subject, *mdev_names.parse_attribute(step.value)
        )
        return step.value
    if step.action is plan.Action.CREATE_MDEV:
        writer.create_mdev(step.subject, *mdev_names.parse_kind(step.value))
    else:
        writer.remove_mdev(step.subject)
    return mdev.now(writer.root, step.subject)


class Executor(abc.ABC):
    """Does what an actor wants of a host."""

    @abc.abstractmethod
    def perform(
        self,
        step: plan.Step,
        keep: tuple[int, ...],
        meanwhile: process.Meanwhile,
    ) -> str:
        """Do a step within its deadline, and tell what is to be seen then.

        :param keep: the descriptors of the locks that the helper keeps
        :param meanwhile: called now and then while it is waited for
        :raises OSError: the kernel refused
        :raises Hung: the deadline passed
        :raises HostStepFailed: it is not done for whoever asks
        """

    @abc.abstractmethod
    def hold(
        self, keys: ty.Iterable[str], timeout: float
    ) -> ty.ContextManager[tuple[int, ...]]:
        """Hold locks; as :func:`.lock.hold`.

        :returns: the descriptors that helpers have to keep open
        """

    @abc.abstractmethod
    def open_files(self) -> device_files.OpenFiles:
        """What all processes have open.

        :raises HostError: it can't be seen any more
        """


class LocalExecutor(Executor):
    """Does it as we are, each step in a process of its own."""

    def __init__(self, writer: sysfs_writer.SysfsWriter) -> None:
        self._writer = writer
        self._root = writer.root.root or "/"

    def perform(
        self,
        step: plan.Step,
        keep: tuple[int, ...],
        meanwhile: process.Meanwhile,
    ) -> str:
        """See :meth:`Executor.perform`."""
        return process.run(
            lambda: do(self._writer, step), step.deadline, keep, meanwhile
        )

    def hold(
        self, keys: ty.Iterable[str], timeout: float
    ) -> ty.ContextManager[tuple[int, ...]]:
        """See :meth:`Executor.hold`."""
        return lock.hold(self._root, keys, timeout)

    def open_files(self) -> device_files.OpenFiles:
        """See :meth:`Executor.open_files`."""
        return processes.look(self._writer.root)
