# SPDX-License-Identifier: Apache-2.0
"""All that needs privileges: two functions that take and give plain data.

For root they run in the command itself. For others they run in a privsep
daemon as root with two capabilities, to see what other users' processes have
open. The files of sysfs are root's own, so that writing them takes none; and
modprobe, being a program that root starts, has its own.
"""

import dataclasses
import os
import typing as ty

from oslo_privsep import capabilities, daemon, priv_context

from nova_vfio_variant import exception
from nova_vfio_variant.host import act, hands, helper, lock, plan
from nova_vfio_variant.host import tree as host_tree
from nova_vfio_variant.host.use import processes

#: The one host there is to change; nobody else's word is taken for it.
ROOT: ty.Final = "/"

context = priv_context.PrivContext(
    "nova_vfio_variant",
    cfg_section="vfio_privsep",
    pypath=f"{__name__}.context",
    capabilities=[
        capabilities.CAP_SYS_PTRACE,
        capabilities.CAP_DAC_READ_SEARCH,
    ],
)


@context.entrypoint
def do_step(
    step: dict[str, ty.Any], locks: list[str], owner: int
) -> tuple[str, int, str]:
    """Do one step on this host, in a helper process with its deadline.

    :param step: the fields of a :class:`~nova_vfio_variant.host.plan.Step`;
        :class:`~nova_vfio_variant.host.hands.Hands` checks each again
    :param locks: files of the locks that the caller holds
    :param owner: process id of the caller
    :returns: ``ok`` and what is seen, ``os`` and an errno with its text,
        ``hung`` and the process that is left, or ``failed`` and why
    """
    try:
        wanted = plan.Step(**step)
        with lock.adopt(locks, owner) as keep:
            worker = hands.of_directory(ROOT)
            return "ok", 0, act.forked(worker)(wanted, keep)
    except OSError as error:
        return "os", error.errno or 0, error.strerror or str(error)
    except helper.Hung as error:
        return "hung", error.pid, error.message
    except exception.VfioVariantError as error:
        return "failed", 0, str(error)
    except (TypeError, ValueError) as error:
        return "failed", 0, str(error)


@context.entrypoint
def look_into_processes() -> tuple[list[tuple[int, str, str]], list[str]]:
    """What all processes have open of what may be a function's.

    :returns: (process id, command, path) of each; and those that could not
        be looked into, with the reason
    """
    found = processes.look(host_tree.HostTree.open(ROOT))
    return [(one.pid, one.command, one.path) for one in found.holders], list(
        found.unreadable
    )


def perform(step: plan.Step, keep: tuple[int, ...]) -> str:
    """Do one step with privileges; see :data:`act.Perform`.

    :param keep: descriptors of the locks that are held
    """
    paths = [os.readlink(f"/proc/self/fd/{fd}") for fd in keep]
    kind, number, text = do_step(dataclasses.asdict(step), paths, os.getpid())
    if kind == "os":
        raise OSError(number, text)
    if kind == "hung":
        raise helper.Hung(text, number)
    if kind == "failed":
        raise exception.HostStepFailed(text)
    return str(text)


def open_files() -> processes.OpenFiles:
    """What all processes have open, seen with privileges."""
    holders, unreadable = look_into_processes()
    return processes.OpenFiles(
        tuple(processes.Holder(*one) for one in holders), tuple(unreadable)
    )


def start() -> None:
    """Start the privsep daemon, before anything is done with it.

    :raises HostError: we are not allowed to
    """
    try:
        context.start()
    except (daemon.FailedToDropPrivileges, OSError) as error:
        raise exception.HostError(
            f"the host can't be changed without root's privileges: {error}",
            "run as root, or let sudo start privsep-helper for this user",
        ) from error
