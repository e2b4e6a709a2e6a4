# SPDX-License-Identifier: Apache-2.0
"""A device that offers mediated devices, as a fake host remembers it."""

from __future__ import annotations

import dataclasses
import errno


@dataclasses.dataclass
class Parent:
    """A device that offers mediated devices.

    :param path: its directory below the root
    :param driver: name of the mdevs' driver
    :param capacity: how much there is to share out
    :param costs: how much an mdev of each type takes of it
    :param counted: its driver leaves the counting to the mdev core
    :param mdevs: the type of each mdev there is, by UUID
    :param of: the driver that offers them, where it is a PCI function
    :param texts: more files of each type: ``{"i915-GVTg_V5_4": {"name": ...}}``
    :param attributes: files that each mdev has, such as
        ``nvidia/vgpu_params``
    :param takes: of an attribute, the values that the driver takes, as an
        expression, and the error that all others give; any without one
    :param card: what it shares its capacity with, and then it takes one
        mdev alone: VFs that are parents; of its own if empty
    :param one_type: while there are some, of its card, it takes no other type
    :param full: what its driver answers where nothing is left
    """

    path: str
    driver: str
    capacity: int
    costs: dict[str, int]
    counted: bool = False
    mdevs: dict[str, str] = dataclasses.field(default_factory=dict)
    of: str = ""
    texts: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    takes: dict[str, tuple[str, int]] = dataclasses.field(default_factory=dict)
    card: str = ""
    one_type: bool = False
    full: int = errno.ENOSPC
