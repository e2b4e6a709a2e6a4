# SPDX-License-Identifier: Apache-2.0
"""From nova.conf and a host's VFs to Placement and libvirt, proven.

The rooms, ground floor first: :mod:`~nova_vfio_variant.pci` (what the text
means), :mod:`~nova_vfio_variant.host` (what the machine is),
:mod:`~nova_vfio_variant.tracker` (which device is whose),
:mod:`~nova_vfio_variant.guest` (how a device enters a guest),
:mod:`~nova_vfio_variant.placement` (what is published),
:mod:`~nova_vfio_variant.check` (findings) and
:mod:`~nova_vfio_variant.cli` (the command line).
"""
