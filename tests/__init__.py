# SPDX-License-Identifier: Apache-2.0
"""What the project promises, as tests: unit, functional and what follows."""
