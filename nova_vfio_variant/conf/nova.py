# SPDX-License-Identifier: Apache-2.0
"""Nova's options that we read, with the names and defaults that it has.

Source: nova.conf.pci, nova.conf.scheduler, nova.conf.netconf,
nova.conf.libvirt and nova.conf.devices of Nova 34.0.0.
"""

from __future__ import annotations

import socket
import typing as ty

from oslo_config import cfg, types

DEFAULT_OPTS: list[cfg.Opt] = [
    cfg.HostDomainOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<current_hostname>",
        help="Name of this compute host, as Nova has it.",
    ),
]

PCI_OPTS: list[cfg.Opt] = [
    cfg.MultiStrOpt(
        "device_spec",
        default=[],
        deprecated_opts=[
            cfg.DeprecatedOpt("passthrough_whitelist", group="pci"),
            cfg.DeprecatedOpt("pci_passthrough_whitelist", group="DEFAULT"),
        ],
        help="""
PCI devices that guests may have, in Nova's own words: a JSON object, or a
list of them; the option may be repeated. The first match wins.

For example::

    device_spec = { "vendor_id": "10de", "product_id": "25b6",
                    "address": "0000:25:00.4",
                    "resource_class": "CUSTOM_A16_16A", "managed": "no" }
""",
    ),
    cfg.MultiStrOpt(
        "alias",
        default=[],
        deprecated_name="pci_alias",
        deprecated_group="DEFAULT",
        help="""
A name under which flavors ask for PCI devices, in Nova's own words: a JSON
object; the option may be repeated.

For example::

    alias = { "device_type": "type-VF", "vendor_id": "10de",
              "product_id": "25b6", "name": "A16_16A",
              "resource_class": "CUSTOM_A16_16A" }

With ``[filter_scheduler] pci_in_placement`` the resource class alone will do.
""",
    ),
    cfg.BoolOpt(
        "report_in_placement",
        default=False,
        help="Nova publishes PCI devices to Placement. Can't be undone.",
    ),
]

FILTER_SCHEDULER_OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        "pci_in_placement",
        default=False,
        help="Nova schedules and claims PCI devices through Placement.",
    ),
    cfg.ListOpt(
        "enabled_filters",
        default=[
            "ComputeFilter",
            "ComputeCapabilitiesFilter",
            "ImagePropertiesFilter",
            "ServerGroupAntiAffinityFilter",
            "ServerGroupAffinityFilter",
        ],
        help="Filters of Nova's scheduler; PCI devices need one of their own.",
    ),
]

LIBVIRT_OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        "live_migration_permit_post_copy",
        default=False,
        help="Nova may switch a live migration to post-copy.",
    ),
]

DEVICES_OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        "enabled_mdev_types",
        default=[],
        deprecated_name="enabled_vgpu_types",
        help="Types of mediated devices that guests may have.",
    ),
]

#: What the name of the group of a type of mediated devices begins with.
OF_MDEV_TYPE: ty.Final = "mdev_"
#: Likewise by its old name, in which device_addresses alone is read.
OF_VGPU_TYPE: ty.Final = "vgpu_"

#: Group -> its options, for all of Nova's that we read.
OPTS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": DEFAULT_OPTS,
    "pci": PCI_OPTS,
    "filter_scheduler": FILTER_SCHEDULER_OPTS,
    "libvirt": LIBVIRT_OPTS,
    "devices": DEVICES_OPTS,
}


def mdev_type_opts(kind: str) -> list[cfg.Opt]:
    """The options of the group of a type (``register_dynamic_opts``).

    :param kind: one of ``[devices] enabled_mdev_types``
    """
    return [
        cfg.ListOpt(
            "device_addresses",
            default=[],
            item_type=types.String(),
            deprecated_group=f"{OF_VGPU_TYPE}{kind}",
        ),
        cfg.StrOpt(
            "mdev_class",
            default="VGPU",
            regex=r"^(VGPU|CUSTOM_[A-Z0-9_]+)$",
            max_length=255,
        ),
        cfg.IntOpt("max_instances", min=1),
    ]


def register_mdev_types(conf: cfg.ConfigOpts) -> None:
    """Register the groups of the types that are enabled."""
    for kind in conf.devices.enabled_mdev_types:
        conf.register_opts(mdev_type_opts(kind), group=f"{OF_MDEV_TYPE}{kind}")


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register what we read of Nova's options."""
    for group, opts in OPTS.items():
        conf.register_opts(opts, group=None if group == "DEFAULT" else group)
