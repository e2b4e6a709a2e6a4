# SPDX-License-Identifier: Apache-2.0
"""How a device enters a guest: libvirt XML and QEMU arguments."""
