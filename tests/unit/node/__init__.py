# SPDX-License-Identifier: Apache-2.0
"""What the use cases decide, on values."""
