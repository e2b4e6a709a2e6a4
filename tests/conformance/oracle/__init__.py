# SPDX-License-Identifier: Apache-2.0
"""The process that runs inside Nova's own interpreter and answers for it.

Nothing here may import from ``nova_vfio_variant``: these modules are loaded
by a Python that has Nova's dependencies, not ours.
"""
