# SPDX-License-Identifier: Apache-2.0
"""What went wrong in a command: a line for people, an object for programs."""

from __future__ import annotations

import json
import typing as ty

from nova_vfio_variant import exception

if ty.TYPE_CHECKING:
    from nova_vfio_variant import finding


class Failures:
    """All that went wrong in one command.

    :ivar message: the first; None for nothing
    :ivar hint: what to do about it
    :ivar code: of what kind it is; None where nothing says
    :ivar findings: what all of it is about
    """

    def __init__(self) -> None:
        self.message: str | None = None
        self.hint: str | None = None
        self.code: str | None = None
        self.findings: list[finding.Finding] = []

    def add(
        self,
        message: str,
        hint: str | None,
        findings: ty.Sequence[finding.Finding],
        code: str | None = None,
    ) -> None:
        """Something more went wrong."""
        if self.message is None:
            self.message, self.hint, self.code = message, hint, code
            if findings:
                self.code = findings[0].code.id
        self.findings += findings

    def as_json(self) -> str:
        """One object, in one line.

        ``code`` is that of the first finding, or the kind of the error, and
        null where neither is known; ``findings`` are as those of ``config check``.
        """
        from nova_vfio_variant.check import render

        return json.dumps(
            {
                "error": self.message,
                "code": self.code,
                "hint": self.hint,
                "findings": [render.data(found) for found in self.findings],
            }
        )


def said(error: Exception) -> tuple[str, str | None]:
    """An error as one line, and what to do about it if that is known."""
    if isinstance(error, exception.VfioVariantError):
        return error.message, error.hint
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}", None
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} (--debug shows where)", None
