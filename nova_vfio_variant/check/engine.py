# SPDX-License-Identifier: Apache-2.0
"""Ask every rule."""

from __future__ import annotations

import logging
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import (
    aliases,
    cloud,
    codes,
    cordoned,
    declared,
    exchanged,
    families,
    host,
    mdevs,
    meaning,
    mechanisms,
    migrating,
    naming,
    next_kernel,
    overlap,
    published,
    text,
    vgpus,
)
from nova_vfio_variant.declaration import facts

_LOG = logging.getLogger(__name__)

#: Every rule, in the order of asking.
RULES: tuple[facts.Rule, ...] = (
    *text.RULES,
    *meaning.RULES,
    *overlap.RULES,
    *families.RULES,
    *naming.RULES,
    *aliases.RULES,
    *cloud.RULES,
    *mdevs.RULES,
    *mechanisms.RULES,
    *host.RULES,
    *migrating.RULES,
    *vgpus.RULES,
    *declared.RULES,
    *published.RULES,
    *exchanged.RULES,
    *cordoned.RULES,
    *next_kernel.RULES,
)


def check(
    given: facts.CheckInput, *, text_only: bool = False
) -> tuple[finding.Finding, ...]:
    """All findings: what the parsers said, and what the rules say.

    :param text_only: ask only the rules about the text
    :returns: the worst last, where a terminal still shows it; of one
        severity in the order of the files, those without a place first
    """
    found = list(given.findings)
    for rule in text.RULES if text_only else RULES:
        found += _asked(rule, given)
    files: dict[str, int] = {}
    for written in given.written:
        files.setdefault(written.file, len(files))

    def place(problem: finding.Finding) -> tuple[int, int, int, int, str]:
        at = problem.location
        return (
            problem.severity,
            -1 if at is None else files.get(at.file, len(files)),
            0 if at is None else at.line,
            0 if at is None else at.column,
            problem.code.id,
        )

    return tuple(sorted(dict.fromkeys(found), key=place))


def _asked(
    rule: facts.Rule, given: facts.CheckInput
) -> ty.Iterator[finding.Finding]:
    """What a rule says; one that breaks hides nothing of the others."""
    try:
        yield from rule(given)
    except Exception as error:  # noqa: BLE001 - whatever a rule's mistake is
        name = f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"
        _LOG.debug("%s broke", name, exc_info=True)
        yield finding.Finding(
            codes.RULE_BROKE,
            f"the rule {name} could not be asked: {type(error).__name__}:"
            f" {error}",
            subject=name,
        )


def blocking(given: facts.CheckInput) -> tuple[finding.Finding, ...]:
    """The errors alone, asking only the rules that find any.

    They stop every command that writes, before it does.
    """
    found = list(given.findings)
    for rule in (
        text.host_specs,
        meaning.refusals,
        meaning.one_time_use_unpublished,
        families.remote_managed,
        families.wide_domains,
        mdevs.options,
    ):
        found += rule(given)
    return tuple(
        problem
        for problem in found
        if problem.severity is finding.Severity.ERROR
    )
