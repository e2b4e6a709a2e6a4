# SPDX-License-Identifier: Apache-2.0
"""Codes of what keeps declared devices from moving with their guests."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding

_WARNING: ty.Final = finding.Severity.WARNING

DRIVER_CANT_MOVE: ty.Final = finding.Code(
    "VFIO319",
    _WARNING,
    "live_migratable is yes, and the driver can't migrate the device",
    "Nova moves a guest whose devices are all live_migratable, and believes "
    "device_spec. QEMU asks the device's VFIO driver, and refuses: \"VFIO "
    'migration is not supported in kernel". Some variant drivers can migrate; '
    "vfio-pci can't.",
    'device_spec = { "product_id": "10ca", "managed": "no", '
    '"live_migratable": "yes" } while the VF is on vfio-pci',
    "Bind the variant driver that is made for it, if there is one "
    "(nova-vfio device bind ADDRESS), or take live_migratable out.",
)
PF_FOR_MIGRATION: ty.Final = finding.Code(
    "VFIO320",
    _WARNING,
    "live_migratable is yes, and the PF is on another driver than that takes",
    "The variant drivers of VFs ask the driver of the PF for a VF's state. "
    "Where it isn't the vendor's own, they refuse the VF, or take it without "
    "migration and say so at most in the kernel's log.",
    "a VF of 1af4:1041 for virtio_vfio_pci, and its PF on pci-pf-stub",
    'Let no guest have a VF, write "num_vfs": 0 for the PF in a host_spec '
    "entry and run nova-vfio host apply; then nova-vfio device bind PF "
    "--driver host --allow-pf, and make the VFs anew.",
)
PF_IS_DOWN: ty.Final = finding.Code(
    "VFIO321",
    _WARNING,
    "live_migratable is yes, and the QAT device is down",
    "The PF's qat/state says down: it has to be up before qat_vfio_pci takes "
    "its VFs (Documentation/ABI/testing/sysfs-driver-qat). Making VFs brings "
    "it up; whoever changes its services takes it down.",
    "/sys/bus/pci/devices/0000:6b:00.0/qat/state is down",
    "Have whoever took it down bring it up. Where no guest has a VF, "
    'nova-vfio host apply with "num_vfs": 0 for the PF in a host_spec entry, '
    "and again with their number, makes the VFs anew, and the driver brings "
    "it up.",
)
MLX5_MIGRATABLE: ty.Final = finding.Code(
    "VFIO322",
    finding.Severity.INFO,
    "whether a mlx5 VF was made migratable can't be seen",
    "mlx5_vfio_pci asks once, when it takes the VF, whether devlink made it "
    "migratable; without that it takes it silently without migration. sysfs "
    "doesn't show it. The kernel tells where it has CONFIG_VFIO_DEBUGFS, on "
    "the host itself, to root.",
    'device_spec = { "product_id": "101e", "managed": "no", '
    '"live_migratable": "yes" } while the VF is on mlx5_vfio_pci',
    "In switchdev mode 'devlink port show' names the VF's port (flavour "
    "pcivf). With the VF on no driver run 'devlink port function set PORT "
    "migratable enable', and bind it then.",
)
