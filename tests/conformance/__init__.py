# SPDX-License-Identifier: Apache-2.0
"""The same questions asked of this project and of the real Nova."""
