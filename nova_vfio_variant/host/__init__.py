# SPDX-License-Identifier: Apache-2.0
"""What the machine is, and the only writes that change it."""
