# SPDX-License-Identifier: Apache-2.0
"""What a host's functions are, each fact decided once."""
