# SPDX-License-Identifier: Apache-2.0
"""What a kernel does and what we do to it: on the fake host and on a real one.

One source. ``tests/functional/test_behaviour.py`` runs it on a fake host,
``tests/lab`` in a guest with a real kernel; where they differ, the fake is
wrong. All that differs for a good reason stands in :mod:`.host`.
"""
