# SPDX-License-Identifier: Apache-2.0
"""What packages bring to a seam: classes under an entry point."""

from __future__ import annotations

import typing as ty

from stevedore import extension

from nova_vfio_variant import exception

#: Is told the name of a class that can't be had, and why.
Failed = ty.Callable[[str, BaseException], None]


def load(
    namespace: str, *given: object, failed: Failed | None = None
) -> list[tuple[str, ty.Any]]:
    """One object of each class that is installed.

    :param namespace: the entry point
    :param given: what each class is called with
    :param failed: is told of those that can't be had; stevedore logs them if
        None
    :returns: each with its name, which another package's may have, too
    """

    def told(_: object, place: ty.Any, error: BaseException) -> None:
        assert failed is not None
        failed(place.name, error)

    installed: extension.ExtensionManager[ty.Any] = extension.ExtensionManager(
        namespace,
        invoke_on_load=True,
        invoke_args=given,
        on_load_failure_callback=None if failed is None else told,
    )
    return [(way.name, way.obj) for way in installed]


def missing(what: str, name: str, namespace: str) -> exception.HostError:
    """The error that what a plan or a journal names isn't installed.

    :param what: a kind of plug-in: ``vGPU framework``
    """
    return exception.HostError(
        f"no {what} is installed as {name!r} under {namespace}",
        "install the package again, or the one that had it",
    )
