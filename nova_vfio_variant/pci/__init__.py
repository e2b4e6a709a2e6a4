# SPDX-License-Identifier: Apache-2.0
"""What the operator's text means: addresses, specs, aliases, names, matching."""
