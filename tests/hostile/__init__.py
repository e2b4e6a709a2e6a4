# SPDX-License-Identifier: Apache-2.0
"""Hostile inputs: what is read, answered or typed may be anything."""
