# SPDX-License-Identifier: Apache-2.0
"""The use cases, one a module: the public Python API."""
