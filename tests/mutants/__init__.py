# SPDX-License-Identifier: Apache-2.0
"""Do the tests notice a mistake? Mutants of the code, and who kills them."""
