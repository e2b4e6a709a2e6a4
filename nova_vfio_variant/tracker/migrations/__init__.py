# SPDX-License-Identifier: Apache-2.0
"""How the store's schema came to be, for alembic."""
