# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the value of an option, at its place.

The line of a value that is secret is not shown, nor a name in it.
"""

from __future__ import annotations

import os
import typing as ty

from oslo_config import cfg

from nova_vfio_variant import finding, source
from nova_vfio_variant.conf import codes, located

#: In one value. Each is looked up, and has a place of its own.
_MOST_REFERENCES: ty.Final = 1_000


def of(
    conf: located.Config, group: str, option: str
) -> list[finding.Finding] | None:
    """What is wrong with an option's value, at its place; None if nothing."""
    subject = f"[{group}] {option}"
    variable = located.environment_name(group, option)
    if conf.registered[group, option].multi and variable in os.environ:
        return [
            finding.Finding(
                codes.ENVIRONMENT_VALUE,
                "oslo.config splits it into single characters, so it can't"
                f" give {subject} a value",
                subject=variable,
                hint="Unset it, and write the value in a file.",
            )
        ]
    too_full = crowded(conf, group, option)
    if too_full:
        return [
            *(
                _on_text(
                    conf,
                    group,
                    option,
                    codes.INTERPOLATION,
                    f"it has more than {_MOST_REFERENCES:,} dollar signs",
                    text,
                    hint="Write what is meant in place of names.",
                )
                for text in too_full
            ),
            *_bad_references(conf, group, option),
        ]
    try:
        conf.lookup(group, option)
    except ValueError as error:
        return bad_value(conf, group, option, error)
    except (cfg.Error, RecursionError):
        return _bad_references(conf, group, option)
    return None


def _bad_references(
    conf: located.Config, group: str, option: str
) -> list[finding.Finding]:
    """Each ``$name`` that can't be replaced."""
    wrong = wrong_uses(conf, group, option)
    message = "names no option that is known here or set in a file"
    if wrong and all(_known(conf, group, name) for *_, name in wrong):
        message = "leads back to itself"
    if located.environment_name(group, option) in os.environ:
        return on_option(
            conf,
            group,
            option,
            codes.INTERPOLATION,
            f"a $name in it {message}",
        )
    # No use: a default that leads to a wrong option, which is told.
    return [
        _on_text(
            conf,
            group,
            option,
            codes.INTERPOLATION,
            # It may be a part of a password.
            f"a $ in it {message}"
            if conf.registered[group, option].secret
            else f"${name} {message}",
            text,
            (start, end),
        )
        for text, start, end, name in wrong
    ]


def wrong_uses(
    conf: located.Config, group: str, option: str
) -> list[tuple[source.SourceText, int, int, str]]:
    """The ``$name`` of an option's values that nothing is known for.

    All of them, where each is known: one of them then leads back.

    :returns: of each the value, start, end, and the name
    """
    used = list(uses(conf, group, option))
    wrong = [use for use in used if not _known(conf, group, use[3])]
    return wrong if wrong or crowded(conf, group, option) else used


def uses(
    conf: located.Config, group: str, option: str
) -> ty.Iterator[tuple[source.SourceText, int, int, str]]:
    """Each ``$name`` of an option's values but those that have too many.

    :returns: of each the value, start, end, and the name
    """
    too_full = set(crowded(conf, group, option))
    for text in located.written(conf, *located.names(conf, group, option)):
        if text not in too_full:
            for reference in located.references(text):
                yield text, *reference


def crowded(
    conf: located.Config, group: str, option: str
) -> list[source.SourceText]:
    """The values with so many dollar signs that nobody means them."""
    return [
        text
        for text in located.written(conf, *located.names(conf, group, option))
        if text.text.count("$") > _MOST_REFERENCES
    ]


def bad_value(
    conf: located.Config, group: str, option: str, error: ValueError
) -> list[finding.Finding]:
    """A value that is not of its option's type."""
    reason = str(error).partition("is not valid: ")[2] or str(error)
    reason = f"{option}: {reason[:1].lower()}{reason[1:]}"
    if conf.registered[group, option].secret:
        reason = f"{option}: it is not of its type"
    text = located.place(conf, group, option)
    boolean = isinstance(conf.registered[group, option], cfg.BoolOpt)
    hint = "Write true or false." if boolean else None
    if text is not None and "#" in text.text:
        hint = "Give the comment a line of its own: here # is no comment."
    elif text is not None and "\n" in text.text:
        hint = "An indented line goes on with the value above it."
    return on_option(conf, group, option, codes.BAD_VALUE, reason, hint)


def on_option(
    conf: located.Config,
    group: str,
    option: str,
    code: finding.Code,
    message: str,
    hint: str | None = None,
) -> list[finding.Finding]:
    """A finding on what gives an option of one value that value.

    None where nothing does: a default that leads to a wrong option, which is
    told.
    """
    text = located.place(conf, group, option)
    if text is not None:
        return [_on_text(conf, group, option, code, message, text, hint=hint)]
    variable = located.environment_name(group, option)
    if variable not in os.environ:
        return []
    return [finding.Finding(code, message, subject=variable, hint=hint)]


def _on_text(
    conf: located.Config,
    group: str,
    option: str,
    code: finding.Code,
    message: str,
    text: source.SourceText,
    span: tuple[int, int | None] = (0, None),
    hint: str | None = None,
) -> finding.Finding:
    """A finding on a value, whose line isn't shown where it is secret."""
    subject = f"[{group}] {option}"
    if conf.registered[group, option].secret:
        return finding.Finding(
            code, message, text.at(span[0]), subject=subject, hint=hint
        )
    return finding.Finding.on(code, message, text, *span, subject, hint)


def _known(conf: located.Config, group: str, name: str) -> bool:
    owner, _dot, word = name.rpartition(".")
    return any(
        (place, word) in conf.registered
        for place in ((owner,) if owner else (group, "DEFAULT"))
    )
