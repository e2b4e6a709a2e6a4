# SPDX-License-Identifier: Apache-2.0
"""Read the operator's configuration as Nova reads it.

Every fault of a file that oslo.config would raise sooner or later is found
here and now, with its place, so that no later look at an option raises.
"""

from __future__ import annotations

import os
import typing as ty

from oslo_config import cfg

from nova_vfio_variant import exception, finding, source
from nova_vfio_variant.conf import codes, files, located, nova, vfio

#: Groups of which we know every option: no other name stands for anything.
_KNOWN_WHOLE = frozenset({"pci", "vfio", "devices"})


def load(
    config_files: ty.Sequence[str] | None = None,
    config_dirs: ty.Sequence[str] | None = None,
) -> located.Config:
    """Read files, then folders of ``*.conf`` in order of name.

    :param config_files: None for Nova's default files and, unless
        ``config_dirs`` is given, its drop-ins; then ours
    :param config_dirs: folders whose files are read last
    :raises ConfigError: with all findings that keep the files from being
        read, or a value from being used
    """
    conf = survey(config_files, config_dirs)
    expect_usable(conf)
    return conf


def expect_usable(conf: located.Config) -> None:
    """Stop where a value can't be used.

    :raises ConfigError: with all such findings
    """
    _stop_on(conf.faults)


def survey(
    config_files: ty.Sequence[str] | None = None,
    config_dirs: ty.Sequence[str] | None = None,
) -> located.Config:
    """Read the same, and leave out what can't be used: it is in ``faults``.

    An option of one value has its default then, and one of many the others.

    :raises ConfigError: with all findings that keep the files from being
        read
    """
    paths, findings = _paths(config_files, config_dirs)
    written: list[located.Written] = []
    for path in paths:
        try:
            written.append(located.read(path))
        except exception.ConfigError as error:
            findings += error.findings
    _stop_on(findings)
    conf = located.Config(written)
    vfio.register_opts(conf)
    nova.register_opts(conf)
    try:
        conf([], "nova", default_config_files=paths, default_config_dirs=[])
    except (cfg.Error, OSError, UnicodeError) as error:
        raise _changed(error) from error
    _look(conf)
    if conf.vfio.placement == "service":
        from nova_vfio_variant.conf import (
            placement,
        )

        placement.register_opts(conf)
        _look(conf)
    return conf


def validate(conf: located.Config) -> None:
    """Look at every registered option once.

    :raises ConfigError: a value is not of its option's type, or has a
        ``$name`` that names no option, or the environment sets an option
        that it can't
    """
    _look(conf)
    expect_usable(conf)


def _look(conf: located.Config) -> None:
    """The same, to note what is wrong and leave it out."""
    _borrow(conf)
    for group, option in conf.registered:
        found = _faults(conf, group, option)
        if found is not None:
            conf.faults += found
            conf.at_fault.add((group, option))
            _leave_out(conf, group, option)


def _leave_out(conf: located.Config, group: str, option: str) -> None:
    """Give an option at fault what is left of its values, or its default."""
    opt = conf.registered[group, option]
    value = opt.default
    if opt.multi:
        conf.left_out |= {use[0] for use in _wrong_uses(conf, group, option)}
        value = [text.text for text in located.assigned(conf, group, option)]
    conf.set_override(option, value, None if group == "DEFAULT" else group)


def _paths(
    config_files: ty.Sequence[str] | None,
    config_dirs: ty.Sequence[str] | None,
) -> tuple[list[str], list[finding.Finding]]:
    """The files in order of reading, and what is wrong with the folders."""
    findings = []
    if config_files is not None:
        paths = list(config_files)
    else:
        paths = files.default(with_drop_ins=config_dirs is None)
    for folder in config_dirs or ():
        try:
            os.listdir(os.path.expanduser(folder))
        except OSError as error:
            findings.append(
                finding.Finding(
                    codes.FILE_UNREADABLE,
                    error.strerror or str(error),
                    subject=folder,
                )
            )
        paths += files.drop_ins(folder)
    return paths, findings


def _borrow(conf: located.Config) -> None:
    """Register what values refer to by ``$name`` and a file sets.

    Those are options of Nova's that we don't know; only their text matters.
    """
    for group, option in list(conf.registered):
        wanted = located.names(conf, group, option)
        for text in (text for file in conf.files for text in file):
            if not any(located.is_named(text, name) for name in wanted):
                continue
            for _start, _end, name in located.references(text):
                owner, _dot, word = name.rpartition(".")
                if owner not in _KNOWN_WHOLE:
                    _borrow_one(conf, owner or "DEFAULT", word)


def _borrow_one(conf: located.Config, group: str, option: str) -> None:
    if (group, option) not in conf.registered and any(
        located.is_named(text, (group, option))
        for file in conf.files
        for text in file
    ):
        conf.register_opt(
            cfg.StrOpt(option), None if group == "DEFAULT" else group
        )


def _faults(
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
    try:
        conf.lookup(group, option)
    except ValueError as error:
        return _bad_value(conf, group, option, error)
    except (cfg.Error, RecursionError):
        return _bad_references(conf, group, option)
    return None


def _bad_references(
    conf: located.Config, group: str, option: str
) -> list[finding.Finding]:
    """Each ``$name`` that can't be replaced."""
    subject = f"[{group}] {option}"
    variable = located.environment_name(group, option)
    uses = _wrong_uses(conf, group, option)
    message = "names no option that is known here or set in a file"
    if uses and all(_known(conf, group, name) for *_, name in uses):
        message = "leads back to itself"
    hint = codes.INTERPOLATION.mend
    if variable in os.environ:
        return [
            finding.Finding(
                codes.INTERPOLATION,
                f"a $name in it {message}",
                subject=variable,
                hint=hint,
            )
        ]
    # No use: a default that leads to a wrong option, which is told.
    return [
        finding.Finding.on(
            codes.INTERPOLATION,
            f"${name} {message}",
            text,
            start,
            end,
            subject,
            hint,
        )
        for text, start, end, name in uses
    ]


def _wrong_uses(
    conf: located.Config, group: str, option: str
) -> list[tuple[source.SourceText, int, int, str]]:
    """The ``$name`` of an option's values that nothing is known for.

    All of them, where each is known: one of them then leads back.

    :returns: of each the value, start, end, and the name
    """
    wanted = located.names(conf, group, option)
    used = [
        (text, *reference)
        for file in conf.files
        for text in file
        if any(located.is_named(text, name) for name in wanted)
        for reference in located.references(text)
    ]
    return [use for use in used if not _known(conf, group, use[3])] or used


def _bad_value(
    conf: located.Config, group: str, option: str, error: ValueError
) -> list[finding.Finding]:
    """A value that is not of its option's type."""
    reason = str(error).partition("is not valid: ")[2] or str(error)
    reason = f"{option}: {reason[:1].lower()}{reason[1:]}"
    text = located.place(conf, group, option)
    boolean = isinstance(conf.registered[group, option], cfg.BoolOpt)
    hint = "Write true or false." if boolean else None
    if text is None:
        # Set nowhere: a default that leads to a wrong option, which is told.
        variable = located.environment_name(group, option)
        if variable not in os.environ:
            return []
        return [
            finding.Finding(
                codes.BAD_VALUE, reason, subject=variable, hint=hint
            )
        ]
    if "#" in text.text:
        hint = "Give the comment a line of its own: here # is no comment."
    elif "\n" in text.text:
        hint = "An indented line goes on with the value above it."
    return [
        finding.Finding.on(
            codes.BAD_VALUE,
            reason,
            text,
            subject=f"[{group}] {option}",
            hint=hint,
        )
    ]


def _known(conf: located.Config, group: str, name: str) -> bool:
    owner, _dot, word = name.rpartition(".")
    return any(
        (place, word) in conf.registered
        for place in ((owner,) if owner else (group, "DEFAULT"))
    )


def _changed(error: Exception) -> exception.ConfigError:
    """The first reading was fine, oslo.config's a moment later was not."""
    return located.unreadable(
        finding.Finding(codes.CHANGED_MEANWHILE, " ".join(str(error).split()))
    )


def _stop_on(findings: ty.Sequence[finding.Finding]) -> None:
    if findings:
        raise located.unreadable(*findings)
