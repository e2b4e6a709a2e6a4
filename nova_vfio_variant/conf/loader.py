# SPDX-License-Identifier: Apache-2.0
"""Read the operator's configuration as Nova reads it.

Every fault of a file that oslo.config would raise sooner or later is found
here and now, with its place, so that no later look at an option raises.
"""

from __future__ import annotations

import itertools
import os
import typing as ty

from oslo_config import cfg

from nova_vfio_variant import exception, finding
from nova_vfio_variant.conf import (
    codes,
    faults,
    files,
    located,
    nova,
    vfio,
)

#: Groups of which we know every option: no other name stands for anything.
_KNOWN_WHOLE: ty.Final = frozenset({"pci", "vfio", "devices"})


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
    placement: str | None = None,
) -> located.Config:
    """Read the same, and leave out what can't be used: it is in ``faults``.

    An option of one value has its default then, and one of many the others.

    :param placement: in place of what ``[vfio] placement`` says
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
        if sum(map(len, written)) > located.MAX_LINES:
            findings.append(
                finding.Finding(
                    codes.FILE_UNREADABLE,
                    "it has, with the files before it, more than"
                    f" {located.MAX_LINES:,} values, the limit",
                    subject=path,
                )
            )
            break
    _stop_on(findings)
    conf = located.Config(written)
    vfio.register_opts(conf)
    nova.register_opts(conf)
    conf([], "nova", default_config_files=paths, default_config_dirs=[])
    _look(conf)
    nova.register_mdev_types(conf)
    _look(conf)
    _expect_no_sources(conf)
    if placement is not None:
        conf.set_override("placement", placement, "vfio")
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
        found = faults.of(conf, group, option)
        if found is not None:
            _set_aside(conf, group, option, found)


def _set_aside(
    conf: located.Config,
    group: str,
    option: str,
    found: list[finding.Finding],
) -> None:
    conf.faults += found
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
        found = faults.on_option(
            conf,
            "DEFAULT",
            "config_source",
            codes.ELSEWHERE,
            f"{', '.join(named)}: more of the configuration stands elsewhere",
        )
        _set_aside(conf, "DEFAULT", "config_source", found)


def _last(conf: located.Config, group: str, option: str) -> str | None:
    """The text that files give an option, whether it is known here or not."""
    texts = [text.text for text in located.written(conf, (group, option))]
    return texts[-1] if texts else None


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
    if (group, "auth_type") in conf.at_fault:
        _register_unknown(conf, group)
    _look(conf)


def _register_unknown(conf: located.Config, group: str) -> None:
    """Register what a section has for a plug-in that nobody knows.

    So that a wrong name of it hides no fault of theirs. Any may be a secret.
    """
    for text in itertools.chain(*conf.files):
        opt = _text_option(text.option, secret=True)
        if (
            text.group.lower() == group.lower()
            and opt is not None
            and (group, opt.dest) not in conf.registered
        ):
            conf.register_opt(opt, group)


def _set_wrong(
    conf: located.Config, group: str, option: str, reason: str
) -> None:
    found = faults.bad_value(conf, group, option, ValueError(reason))
    _set_aside(conf, group, option, found)


def _leave_out(conf: located.Config, group: str, option: str) -> None:
    """Give an option at fault what is left of its values, or its default."""
    opt = conf.registered[group, option]
    value = opt.default
    if opt.multi:
        conf.left_out |= {
            *faults.crowded(conf, group, option),
            *(use[0] for use in faults.wrong_uses(conf, group, option)),
        }
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
        for *_, name in faults.uses(conf, group, option):
            owner, _dot, word = name.rpartition(".")
            if owner not in _KNOWN_WHOLE:
                _borrow_one(conf, owner or "DEFAULT", word)


def _borrow_one(conf: located.Config, group: str, option: str) -> None:
    opt = _text_option(option)
    if (
        opt is not None
        and (group, option) not in conf.registered
        and any(located.written(conf, (group, option)))
    ):
        conf.register_opt(opt, None if group == "DEFAULT" else group)


def _text_option(name: str, *, secret: bool = False) -> cfg.Opt | None:
    """An option of which only the text matters; None where none can be."""
    # oslo.config raises ValueError for such a name.
    return None if name.startswith("_") else cfg.StrOpt(name, secret=secret)


def _stop_on(findings: ty.Sequence[finding.Finding]) -> None:
    if findings:
        raise located.unreadable(*findings)
