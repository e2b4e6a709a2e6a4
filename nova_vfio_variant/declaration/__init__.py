# SPDX-License-Identifier: Apache-2.0
"""Declared and observed together."""
