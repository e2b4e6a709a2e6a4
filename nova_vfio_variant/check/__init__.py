# SPDX-License-Identifier: Apache-2.0
"""Findings: one small function a rule, each with a stable code."""
