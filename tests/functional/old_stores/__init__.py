# SPDX-License-Identifier: Apache-2.0
"""State paths as each version of the store's schema left them.

``make`` makes them anew, by the code of that time.
"""
