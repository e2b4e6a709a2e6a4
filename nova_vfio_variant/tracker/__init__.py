# SPDX-License-Identifier: Apache-2.0
"""Which device is whose: records, claims, the store, sync."""
