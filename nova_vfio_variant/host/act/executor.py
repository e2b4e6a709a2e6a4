# SPDX-License-Identifier: Apache-2.0
"""Doing one step, in a process of its own, and reading back."""

import typing as ty

from nova_vfio_variant.host import process, vf_provider
from nova_vfio_variant.host.act import sysfs_writer
from nova_vfio_variant.host.decide import plan

#: Does a step and tells what is to be seen afterwards; as :func:`forked`. It
#: is given the descriptors of the locks that the helper keeps, and what to
#: call now and then while it waits.
Perform = ty.Callable[[plan.Step, tuple[int, ...], process.Meanwhile], str]


def do(worker: sysfs_writer.Hands, step: plan.Step) -> str:
    """Do a step and read back. It may block for ever.

    :returns: what stands there now, in the form of the step's value
    :raises OSError: the kernel refused
    """
    subject, value = step.subject, step.value
    if step.action is plan.Action.LOAD_MODULE:
        worker.load_module(subject)
        return worker.has_driver(subject)
    if step.action is plan.Action.SET_OVERRIDE:
        worker.set_override(subject, value)
        return worker.override(subject)
    if step.action is plan.Action.UNBIND:
        worker.unbind(subject)
        return worker.driver(subject)
    if step.action is plan.Action.PROBE:
        worker.probe(subject)
        return worker.driver(subject, value)
    if step.action is plan.Action.SET_AUTOPROBE:
        worker.set_autoprobe(subject, value == "1")
        return worker.autoprobe(subject)
    assert step.action is plan.Action.SET_NUMVFS, step.action
    way = vf_provider.named(step.provider)
    way.set_numvfs(worker, subject, int(value))
    return str(worker.numvfs(subject, int(value)))


def forked(worker: sysfs_writer.Hands) -> Perform:
    """Do each step in a helper process with the step's deadline."""

    def perform(
        step: plan.Step, keep: tuple[int, ...], meanwhile: process.Meanwhile
    ) -> str:
        return process.run(
            lambda: do(worker, step), step.deadline, keep, meanwhile
        )

    return perform
