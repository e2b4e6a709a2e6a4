# SPDX-License-Identifier: Apache-2.0
"""What the machine is, and the hands that change it."""
