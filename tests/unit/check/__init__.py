# SPDX-License-Identifier: Apache-2.0
"""Tests of the checker's parts that need no file."""
