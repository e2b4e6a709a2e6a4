# SPDX-License-Identifier: Apache-2.0
"""What others need to test against us: the fake host and embedded Placement."""
