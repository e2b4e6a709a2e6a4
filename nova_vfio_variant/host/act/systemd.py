# SPDX-License-Identifier: Apache-2.0
"""Stopping and starting a service of the host's, each read back."""

from __future__ import annotations

import os
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host import process
from nova_vfio_variant.host.observe import programs

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.tree import host_tree

TOOL: ty.Final = "systemctl"
#: Seconds: systemd itself kills what doesn't end in 90.
_DEADLINE: ty.Final = 120.0


def is_active(tree: host_tree.HostTree, service: str) -> bool:
    """Whether a service runs.

    :raises HostStepFailed: systemd can't be asked
    :raises HostStepHung: it doesn't answer
    """
    return _run(tree, service, "is-active", "--quiet") is None


def make_active(
    tree: host_tree.HostTree, service: str, *, active: bool
) -> None:
    """Start or stop a service, and see that it is so.

    :raises HostStepFailed: it isn't
    :raises HostStepHung: systemd doesn't answer
    """
    verb = "start" if active else "stop"
    said = _run(tree, service, verb)
    if said is None and is_active(tree, service) is not active:
        said = f"it is {'not active' if active else 'still active'}"
    if said is not None:
        raise exception.HostStepFailed(
            f"{TOOL} {verb} {service}: {said}",
            "run the command as root" if os.geteuid() else None,
        )


def _run(tree: host_tree.HostTree, service: str, *words: str) -> str | None:
    """Ask systemd.

    :returns: what it says against it; None where it says yes
    :raises HostStepFailed: it can't be asked
    """

    def work() -> str:
        done = programs.run(tree, TOOL, *words, service)
        if done.returncode == 0:
            return ""
        return done.stdout.strip() or f"it ended with {done.returncode}"

    try:
        return " ".join(process.run(work, _DEADLINE).split()) or None
    except OSError as error:
        raise exception.HostStepFailed(
            f"{TOOL} {words[0]} {service}: {error.strerror}",
            f"stop {service} by hand",
        ) from error
