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
    conf([], "nova", default_config_files=paths, default_config_dirs=[])
    _look(conf)
    _expect_no_sources(conf)
    if conf.vfio.placement == "service":
        _look_at_service(conf)
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
        if (group, option) in conf.at_fault:
            continue  # Its default; the environment would be told twice.
        found = _faults(conf, group, option)
        if found is not None:
            _set_aside(conf, group, option, found)


def _set_aside(
    conf: located.Config,
    group: str,
    option: str,
    faults: list[finding.Finding],
) -> None:
    conf.faults += faults
    conf.at_fault.add((group, option))
    _leave_out(conf, group, option)


def _expect_no_sources(conf: located.Config) -> None:
    """Note each source of more configuration, which nobody is asked for."""
    named = [
        name
        for name in conf.config_source
        if _last(conf, name, "driver") != "environment"
    ]
    if named:
        found = _on_option(
            conf,
            "DEFAULT",
            "config_source",
            codes.ELSEWHERE,
            f"{', '.join(named)}: more of the configuration stands elsewhere",
        )
        _set_aside(conf, "DEFAULT", "config_source", found)


def _last(conf: located.Config, group: str, option: str) -> str | None:
    """The text that files give an option, whether it is known here or not."""
    for file in reversed(conf.files):
        for text in reversed(file):
            if located.is_named(text, (group, option)):
                return text.text
    return None


def _look_at_service(conf: located.Config) -> None:
    """Look at what keystoneauth reads, in the order in which it does."""
    from nova_vfio_variant.conf import placement

    placement.register_opts(conf)
    _look(conf)
    section = conf.placement.auth_section
    # A group of that name would hide what isn't in a group.
    if section == "DEFAULT" or ("DEFAULT", section) in conf.registered:
        _set_wrong(
            conf, "placement", "auth_section", f"{section} is no section"
        )
    group = placement.register_auth_type(conf)
    _look(conf)
    try:
        placement.register_auth_opts(conf, group)
    except LookupError as error:
        _set_wrong(conf, group, "auth_type", error.args[0])
    _look(conf)


def _set_wrong(
    conf: located.Config, group: str, option: str, reason: str
) -> None:
    found = _bad_value(conf, group, option, ValueError(reason))
    _set_aside(conf, group, option, found)


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
    uses = _wrong_uses(conf, group, option)
    message = "names no option that is known here or set in a file"
    if uses and all(_known(conf, group, name) for *_, name in uses):
        message = "leads back to itself"
    if located.environment_name(group, option) in os.environ:
        return _on_option(
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
    if conf.registered[group, option].secret:
        reason = f"{option}: it is not of its type"
    text = located.place(conf, group, option)
    boolean = isinstance(conf.registered[group, option], cfg.BoolOpt)
    hint = "Write true or false." if boolean else None
    if text is not None and "#" in text.text:
        hint = "Give the comment a line of its own: here # is no comment."
    elif text is not None and "\n" in text.text:
        hint = "An indented line goes on with the value above it."
    return _on_option(conf, group, option, codes.BAD_VALUE, reason, hint)


def _on_option(
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


def _stop_on(findings: ty.Sequence[finding.Finding]) -> None:
    if findings:
        raise located.unreadable(*findings)
