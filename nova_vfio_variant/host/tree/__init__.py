# SPDX-License-Identifier: Apache-2.0
"""One host's files, whatever they are kept in."""
