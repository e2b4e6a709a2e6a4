# SPDX-License-Identifier: Apache-2.0
"""Measurements beside a peer in the same run, printed as ratios."""
