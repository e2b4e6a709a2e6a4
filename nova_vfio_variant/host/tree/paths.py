# SPDX-License-Identifier: Apache-2.0
"""Where things stand below a host's root."""

from __future__ import annotations

BUSES = "sys/bus"
DEVICES = "sys/bus/pci/devices"
VDPA = "sys/bus/vdpa/devices"
