# SPDX-License-Identifier: Apache-2.0
"""``[vfio]``: what is ours."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    "vfio",
    title="VFIO variant driver devices",
    help="What nova-vfio itself is told. Nova ignores this group.",
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "placement",
        default="embedded",
        choices=[
            (
                "embedded",
                (
                    "a Placement of our own: its application runs inside each"
                    " command, with an SQLite database in the state path"
                ),
            ),
            (
                "service",
                (
                    "the cloud's Placement service, reached as the group"
                    " ``[placement]`` says"
                ),
            ),
            (
                "none",
                (
                    "none: the store alone says whose a device is, for hosts"
                    " without OpenStack; nothing is published"
                ),
            ),
        ],
        help="Which Placement inventories are published to.",
    ),
    cfg.StrOpt(
        "nova_compute",
        default="auto",
        choices=[
            (
                "auto",
                (
                    "it is looked for: its process, its unit at boot, what it"
                    " published, and options that it alone reads"
                ),
            ),
            ("yes", "it is, whether it runs just now or not"),
            ("no", "it isn't, whatever the files say that it would read"),
        ],
        help="""
Whether nova-compute is on this host.

Beside it vGPU types are declared and not set on demand, and no mediated device
is made of a parent whose devices ``[devices] enabled_mdev_types`` has it hand
out: it would give ours to any guest. What it publishes is shown and compared,
and never written.

``auto`` takes ``[vfio] placement`` in a file for a host without Nova, unless
there is a trace of it.
""",
    ),
    cfg.StrOpt(
        "provider_root",
        default="$host",
        sample_default="<[DEFAULT] host>",
        help="""
Name of the resource provider that PCI devices are published below.

Nova names the provider of a compute node after its hypervisor hostname.
""",
    ),
    cfg.StrOpt(
        "provider_layout",
        default="nova",
        choices=[
            (
                "nova",
                (
                    "one provider for each physical function, as Nova has it;"
                    " its VFs all have one resource class and the same traits"
                ),
            ),
            (
                "per_class",
                (
                    "one provider for each physical function and resource class,"
                    " named ``<root>_<ADDRESS>_<CLASS>``, so that VFs of one card"
                    " may differ"
                ),
            ),
        ],
        help="""
How the VFs of a physical function are grouped into resource providers.

It can't be changed while there are claims.
""",
    ),
    cfg.BoolOpt(
        "reserve_blocked",
        default=True,
        help="""
Whether devices that can't be given to any guest as they are, for a reason that
lasts, are published as reserved, so that no request is sent to this host for
them. Such a reason is another driver in the IOMMU group, a missing vGPU type,
or a quarantine, but not a file that is open just now.

Only the units that were reserved so are given back later: what an operator
reserved stays. Switched off, they are given back by the next report. Where
Nova publishes the devices nothing is reserved.
""",
    ),
    cfg.BoolOpt(
        "resource_class_from_type",
        default=False,
        help="""
Whether a VF that has a vGPU type is of that type's resource class where its
``[pci] device_spec`` names none: ``CUSTOM_`` and the name of the type, without
its vendor and normalised as Nova does, such as ``CUSTOM_A16_16A`` for ``NVIDIA
A16-16A``. Types that come and go with claims give none.

Nova doesn't know this option. Where nova-compute reads the same file, write
the class into each ``device_spec``: ``nova-vfio config suggest`` prints them.
""",
    ),
    cfg.StrOpt(
        "state_group",
        help="""
The group of the users who share the state path, by name or id.

Without it a state path has to belong to root, or to the user who runs the
command, and nobody else may write in it: any other is refused. With it, the
folder and its files may also belong to members of this group, and the mode
may let the group write there. New files are readable for it, and writable
too where the folder is.

Whoever may write there decides what a command does that reads it: members of
this group have all rights of each other, and of root if root reads it.
""",
    ),
    cfg.MultiStrOpt(
        "host_spec",
        default=[],
        help="""
What ``nova-vfio host apply`` makes of this host: how many VFs a physical
function has, which driver a function is bound to, and which vGPU types a
card's virtual functions have. A JSON object, or a list of them; the option may
be repeated. Addresses are written as in ``[pci] device_spec``.

For example::

    host_spec = { "address": "0000:25:00.0", "num_vfs": 16 }
    host_spec = { "address": "0000:25:00.*", "vendor_id": "10de",
                  "product_id": "25b6", "driver": "variant" }
    host_spec = { "address": "0000:41:00.0",
                  "vgpu_types": { "NVIDIA L40S-12Q": 2 } }
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the group and its options."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)
