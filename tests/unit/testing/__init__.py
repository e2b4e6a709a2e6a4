# SPDX-License-Identifier: Apache-2.0
"""What the package offers to other projects' tests."""
