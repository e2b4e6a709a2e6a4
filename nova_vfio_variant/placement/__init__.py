# SPDX-License-Identifier: Apache-2.0
"""What is published: the provider tree, its difference, the client."""
