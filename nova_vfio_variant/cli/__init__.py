# SPDX-License-Identifier: Apache-2.0
"""Commands: parse, call, format."""

from __future__ import annotations

import os

_PAGER = os.environ.get("PAGER", "")
if any(sign in _PAGER for sign in "'\"\\"):
    import shlex

    try:
        shlex.split(_PAGER)
    except ValueError:
        # autopage, which cliff imports, would end in a traceback.
        del os.environ["PAGER"]
