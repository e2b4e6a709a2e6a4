# SPDX-License-Identifier: Apache-2.0
"""The world Nova is shown: its options, and a host told as plain data.

A host is a list of functions. The keys that Nova's libvirt driver reports
are handed on as they are (``address``, ``vendor_id``, ``product_id``,
``dev_type``, ``numa_node``, ``parent_addr``, ``parent_ifname``,
``capabilities``); those of :data:`SYSFS_KEYS` answer what Nova reads from
sysfs by itself.
"""

import io
import json
import logging
import os
import posixpath
import traceback
from collections.abc import Callable
from typing import Any

# Nova's objects do not need a patched interpreter.
os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"

from nova import conf, exception, objects
from nova.pci import utils

Function = dict[str, Any]
Host = list[Function]

#: What the kernel tells and libvirt does not.
SYSFS_KEYS = frozenset({"ifname", "sriov_totalvfs", "sriov_vf_device"})

objects.register_all()
CONF = conf.CONF
CONF([], default_config_files=[], default_config_dirs=[])
# Nova warns at length of what the answers tell anyway.
logging.disable(logging.CRITICAL)


class Sysfs:
    """The part of sysfs that ``nova.pci.utils`` reads, told by a host."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.path = self

    def show(self, host: Host) -> None:
        """Let Nova see ``host`` from now on."""
        self.files.clear()
        self.links.clear()
        for function in host:
            folder = f"/sys/bus/pci/devices/{function['address']}"
            self.links[folder] = ""
            folders = [folder]
            if function.get("ifname"):
                net = f"/sys/class/net/{function['ifname']}/device"
                self.links[net] = f"../../../{function['address']}"
                folders.append(net)
            for folder in folders:
                self.files[f"{folder}/vendor"] = f"0x{function['vendor_id']}"
                self.files[f"{folder}/device"] = f"0x{function['product_id']}"
                for name in ("sriov_totalvfs", "sriov_vf_device"):
                    if function.get(name) is not None:
                        self.files[f"{folder}/{name}"] = f"{function[name]}\n"

    def open(self, path: str) -> io.StringIO:
        """Stand in for the built-in ``open``."""
        try:
            return io.StringIO(self.files[posixpath.normpath(path)])
        except KeyError:
            raise FileNotFoundError(path) from None

    def isdir(self, path: str) -> bool:
        """Stand in for ``os.path.isdir``."""
        return posixpath.normpath(path) in self.links

    def readlink(self, path: str) -> str:
        """Stand in for ``os.readlink``."""
        return self.links[path]

    join = staticmethod(posixpath.join)


SYSFS = Sysfs()
utils.os = SYSFS
utils.open = SYSFS.open


def configure(
    *,
    report_in_placement: bool = False,
    pci_in_placement: bool = False,
    virt_type: str = "kvm",
) -> None:
    """Set the few options that Nova's pure parts look up by themselves."""
    wanted = (
        ("pci", "report_in_placement", report_in_placement),
        ("filter_scheduler", "pci_in_placement", pci_in_placement),
        ("libvirt", "virt_type", virt_type),
    )
    for group, name, value in wanted:
        if CONF[group][name] != value:
            CONF.set_override(name, value, group)


def reported(host: Host) -> Host:
    """Return what Nova's libvirt driver would report of ``host``."""
    return [
        {k: v for k, v in function.items() if k not in SYSFS_KEYS}
        for function in host
    ]


def reported_text(host: Host) -> str:
    """Return the same as the JSON text that the tracker is given."""
    return json.dumps(reported(host))


def answer(ask: Callable[..., Any], **args: Any) -> dict[str, Any]:
    """Ask Nova something and return its answer, or its refusal.

    An error that does not come out of Nova's code is one of the oracle's own
    and is raised again.
    """
    try:
        return {"ok": ask(**args)}
    except exception.NovaException as error:
        return {"error": type(error).__name__, "message": str(error)}
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if not any("/site-packages/nova/" in f.filename for f in frames):
            raise
        return {
            "error": type(error).__name__,
            "message": str(error),
            "uncaught": True,
        }
