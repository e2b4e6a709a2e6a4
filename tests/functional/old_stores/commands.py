# SPDX-License-Identifier: Apache-2.0
"""What each command does with a store of old, and words for it."""

import typing as ty

from tests.functional import cli_case

#: A function that nobody has there.
FREE: ty.Final = "0000:21:10.0"
_MORE: ty.Final = ("--instance", cli_case.TWO, "--alias", "vf:1")

#: Commands that write to the store, with their status.
WRITE: ty.Final[dict[str, tuple[tuple[str, ...], int]]] = {
    "device sync": ((), 0),
    "device allow": ((FREE, "--code", "VFIO512", "--reason", "it is so"), 0),
    "device disallow": ((FREE,), 1),
    "device register": ((FREE,), 0),
    "device unregister": ((FREE,), 2),
    # It is a VF of a provider that may be Nova's.
    "device cordon": ((FREE, "--reason", "it is so"), 1),
    "device drain": ((FREE, "--reason", "it is so"), 1),
    "device uncordon": ((FREE,), 1),
    "claim create": (_MORE, 0),
    "claim adopt": (("--instance", cli_case.ONE), 2),
    "claim prepare": (("--instance", cli_case.ONE), 0),
    "claim started": (("--instance", cli_case.ONE), 0),
    "claim release": (("--instance", cli_case.ONE), 0),
    "claim delete": ((cli_case.ONE,), 0),
    # Of a machine that had nothing.
    "guest vdsm-hook": (("after_vm_destroy",), 0),
    "inventory report": ((), 0),
    "host apply": ((), 0),
    "host restore": ((FREE,), 0),
    "host recover": ((), 0),
    "device bind": ((FREE,), 0),
    "device unbind": ((FREE,), 0),
    "device reset": ((FREE,), 0),
    "device scrub": ((FREE,), 2),
    "mdev create": (("mtty-1",), 2),
    "mdev delete": ((cli_case.ONE,), 2),
    "vgpu report": ((FREE, "--assignment", "none", "ok"), 2),
    "vgpu clear": ((FREE,), 1),
    "vgpu set": ((FREE, "none"), 2),
    "vgpu apply": (("cards.json",), 0),
    "vgpu recycle": ((FREE,), 2),
    "reconcile": (("--alive", "alive"), 0),
    # The first version's file, which doesn't say of which host it is.
    "store restore": (("first/old.sqlite", "--force"), 0),
}
#: Commands that can't answer without the store.
ASK: ty.Final[dict[str, tuple[str, ...]]] = {
    "device list": (),
    "device show": (FREE,),
    "device available": (),
    "capabilities": (),
    "claim list": (),
    "claim show": (cli_case.ONE,),
    "config check": (),
    "flavor check": ("--property", "pci_passthrough:alias=vf:1"),
    "guest xml": ("--instance", cli_case.ONE),
    "mdev list": (),
    "guest qemu": ("--instance", cli_case.ONE),
    "guest cloud-hypervisor": ("--instance", cli_case.ONE),
    "migration check": ("--instance", cli_case.ONE),
    "migration plan": ("--instance", cli_case.ONE, "--to", "host"),
    "mdev definition": (cli_case.TWO, "--type", "mdpy-hd"),
    "host plan": (),
    "inventory show": (),
    "inventory diff": (),
    "vgpu health": (),
    "vgpu assert": ("cards.json",),
}
#: Commands that say what they know without it.
TELL: ty.Final[dict[str, tuple[str, ...]]] = {
    "explain": (FREE,),
    "host list": (),
    "host show": (FREE,),
    "vgpu types": (),
}
#: Commands that have no use for it.
LEAVE: ty.Final[dict[str, tuple[str, ...]]] = {
    "host snapshot": ("host.tar.gz",),
    "host diff": ("host", "host"),
    "mdev types": (),
    "config explain": (FREE,),
    "config suggest": (),
    # It copies each as it is.
    "store backup": ("first/copy.sqlite",),
}
#: As "flavor check", once a cloud has answered.
OF_A_CLOUD: ty.Final[dict[str, tuple[str, ...]]] = {"flavor list": ()}
