# SPDX-License-Identifier: Apache-2.0
"""Stopping nvidia-persistenced while something is done to a function.

It has each of NVIDIA's cards of the host open, so that a driver can't be taken
from one, nor one reset. That it was stopped is on disk before it is: what a
crash leaves stopped, the next command that changes the host starts again.
"""

from __future__ import annotations

import contextlib
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.host.act import systemd
from nova_vfio_variant.host.observe import function_state

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.act import actor as host_actor
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.tracker import store as tracker_store

SERVICE: ty.Final = "nvidia-persistenced"
#: The boot of the host in which it was stopped, while it is.
_STOPPED: ty.Final = "persistenced_stopped"


def left_stopped(
    store: tracker_store.Store, tree: host_tree.HostTree
) -> tuple[str, ...]:
    """What a command stopped in this boot, and has not started again."""
    boot = tree.read_text(function_state.BOOT_ID)
    return (SERVICE,) if boot and store.meta(_STOPPED) == boot else ()


@contextlib.contextmanager
def paused(
    actor: host_actor.Actor, store: tracker_store.Store, *, asked: bool
) -> ty.Iterator[None]:
    """Have it stopped, if it runs; start it again whatever happens.

    :param asked: without it, only what a crash left stopped is started
    :raises HostStepFailed: it can't be stopped
    :raises HostStepHung: systemd doesn't answer
    """
    if asked and systemd.is_active(actor.tree, SERVICE):
        store.set_meta(_STOPPED, actor.journal.boot)
        try:
            systemd.make_active(actor.tree, SERVICE, active=False)
        except BaseException:
            _start(actor, store)
            raise
        actor.observer.note(f"{SERVICE} is stopped")
    try:
        yield
    finally:
        if left_stopped(store, actor.tree):
            _start(actor, store)


def _start(actor: host_actor.Actor, store: tracker_store.Store) -> None:
    """Start it again, or tell that it isn't."""
    try:
        systemd.make_active(actor.tree, SERVICE, active=True)
    except exception.HostError as error:
        actor.observer.failed(
            f"{SERVICE} was stopped, and is not started again:"
            f" {error.message}: {systemd.TOOL} start {SERVICE}"
        )
        return
    store.set_meta(_STOPPED, "")
    actor.observer.note(f"{SERVICE} is started again")
