# SPDX-License-Identifier: Apache-2.0
"""Tests through real programs: Placement, SQLite, libvirt's schemas."""
