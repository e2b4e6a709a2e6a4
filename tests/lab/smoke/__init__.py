# SPDX-License-Identifier: Apache-2.0
"""What the lab's guest has and does; these run only inside of it."""
