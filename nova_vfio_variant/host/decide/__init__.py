# SPDX-License-Identifier: Apache-2.0
"""What may be done, and what is to be done. Pure."""
