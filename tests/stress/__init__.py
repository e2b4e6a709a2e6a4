# SPDX-License-Identifier: Apache-2.0
"""Many that claim and free at once, killed at random, on a disk that fills."""
