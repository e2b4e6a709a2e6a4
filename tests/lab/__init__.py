# SPDX-License-Identifier: Apache-2.0
"""A real kernel with real VFs, on a machine that has none."""
