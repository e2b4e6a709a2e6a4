# SPDX-License-Identifier: Apache-2.0
"""The only writes to a host: journaled, with a deadline, verified, undone."""
