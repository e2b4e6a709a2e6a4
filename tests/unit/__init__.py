# SPDX-License-Identifier: Apache-2.0
"""Pure and quick tests, one package a room."""
