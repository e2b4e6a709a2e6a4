# SPDX-License-Identifier: Apache-2.0
"""Nova's inventories of mediated devices, of a host told as plain data."""

import collections
import types
from typing import Any

from nova.conf import devices
from nova.virt.libvirt import driver
from oslo_config import cfg


def mdevs(
    enabled: list[str],
    groups: dict[str, dict[str, Any]],
    parents: list[dict[str, Any]],
    made: list[dict[str, str]],
    node: str,
) -> dict[str, Any]:
    """What Nova publishes of a host.

    :param groups: type -> the options of its group
    :param parents: as libvirt lists them: ``dev_id``, and ``types``, each with
        its ``availableInstances``
    :param made: devices that are there, each with ``parent`` and ``type``
    :returns: provider's name -> resource class -> total
    """
    conf = cfg.ConfigOpts()
    devices.register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    conf.set_override("enabled_mdev_types", enabled, "devices")
    devices.register_dynamic_opts(conf)
    for kind, options in groups.items():
        for name, value in options.items():
            conf.set_override(name, value, f"mdev_{kind}")
    virtual = {
        "/sys/devices/virtual/" + parent["dev_id"].replace("_", "/")
        for parent in parents
        if not parent["dev_id"].startswith("pci_")
    }
    compute = object.__new__(driver.LibvirtDriver)
    compute.pgpu_type_mapping = collections.defaultdict(str)
    compute.mdev_class_mapping = collections.defaultdict(lambda: "VGPU")
    compute.mdev_classes = set()
    compute.mdev_type_max_mapping = collections.defaultdict(str)
    compute.pgpu_type_default = None
    compute.virtual_mdevs = set()
    compute._get_mediated_devices = lambda types: [
        device for device in made if device["type"] in types
    ]
    compute._get_mdev_capable_devices = lambda types: [
        {
            "dev_id": parent["dev_id"],
            "types": {
                kind: offered
                for kind, offered in parent["types"].items()
                if kind in types
            },
        }
        for parent in parents
        if any(kind in types for kind in parent["types"])
    ]
    tree = Tree()
    seen = types.SimpleNamespace(
        path=types.SimpleNamespace(exists=virtual.__contains__)
    )
    before = driver.CONF, driver.os
    driver.CONF, driver.os = conf, seen
    try:
        compute.supported_vgpu_types = compute._get_supported_vgpu_types()
        compute._ensure_pgpu_providers(
            compute._get_gpu_inventories(), tree, node
        )
    finally:
        driver.CONF, driver.os = before
    return tree.inventories


class Tree:
    """As much of Nova's provider tree as is asked for."""

    def __init__(self) -> None:
        self.inventories: dict[str, Any] = {}

    def exists(self, name: str) -> bool:
        """Whether it was made."""
        return name in self.inventories

    def remove(self, name: str) -> None:
        """Forget it."""
        del self.inventories[name]

    def new_child(self, name: str, parent: str) -> None:
        """Make it."""
        del parent
        self.inventories[name] = {}

    def data(self, name: str) -> str:
        """Anything that stands for it."""
        return name

    def update_inventory(self, name: str, inventory: Any) -> None:
        """Remember it."""
        self.inventories[name] = inventory

    def add_traits(self, name: str, *traits: str) -> None:
        """Nothing: whose it is is another question's."""
