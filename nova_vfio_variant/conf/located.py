# SPDX-License-Identifier: Apache-2.0
"""Where each value of a configuration file stands, to the character.

oslo.config knows the file of a value and nothing more. Its parser is a
subclass here that notes lines and columns, and oslo.config is given what that
read: each file is opened once, so that a place is never shown for a value
that oslo.config read differently.
"""

from __future__ import annotations

import io
import os
import re
import typing as ty

from oslo_config import cfg, iniparser

from nova_vfio_variant import exception, finding, input_file, source
from nova_vfio_variant.conf import codes

#: What oslo.config takes for a ``$name`` in a value.
_TEMPLATE = cfg.ConfigOpts.Template.pattern

#: Of a file: each may be a value with a place and a finding of its own. And of
#: the values of all files together.
MAX_LINES: ty.Final = 100_000

#: Every assignment of one file, in the order in which they stand.
Written = tuple[source.SourceText, ...]

#: Group -> option -> its values.
_Sections = dict[str, dict[str, list[str]]]


class Config(cfg.ConfigOpts):
    """A ConfigOpts that remembers what its files say, and where.

    :param files: what :func:`read` gave for each file, in order of reading
    :ivar faults: what is wrong with values
    :ivar at_fault: the options that they belong to, by (group, name)
    :ivar left_out: values of multi-valued options that are among them
    """

    def __init__(self, files: ty.Sequence[Written] = ()) -> None:
        #: Registered options by (group, name); the group DEFAULT has a name.
        self.registered: dict[tuple[str, str], cfg.Opt] = {}
        super().__init__()
        self.files = tuple(files)
        #: Of each file its values by (group, name).
        self.by_name: list[dict[tuple[str, str], Written]] = []
        for file in self.files:
            named: dict[tuple[str, str], list[source.SourceText]] = {}
            for text in file:
                key = (_normal(text.group), text.option)
                named.setdefault(key, []).append(text)
            self.by_name.append(
                {key: tuple(texts) for key, texts in named.items()}
            )
        self.faults: list[finding.Finding] = []
        self.at_fault: set[tuple[str, str]] = set()
        self.left_out: set[source.SourceText] = set()

    def register_opt(
        self,
        opt: cfg.Opt,
        group: str | cfg.OptGroup | None = None,
        cli: bool = False,
        **more: ty.Any,
    ) -> bool:
        """Register as oslo.config does, and remember the option."""
        name = group.name if isinstance(group, cfg.OptGroup) else group
        if not cli:
            self.registered[name or "DEFAULT", opt.dest] = opt
        return bool(super().register_opt(opt, group, cli, **more))

    def register_group(self, group: cfg.OptGroup) -> None:
        """Register a group of our own.

        oslo.config's copy of one shares its options, overrides among them,
        with every other ConfigOpts in the process.
        """
        super().register_group(
            cfg.OptGroup(group.name, group.title, group.help)
        )

    def _parse_config_files(self) -> cfg._Namespace:
        """Take what was read, where oslo.config would open the files.

        It would wait for a FIFO that took the place of one meanwhile. Nor are
        options of its command line taken from files (``shell_completion``).
        """
        namespace = cfg._Namespace(self)  # noqa: SLF001 - has no other name
        for file in self.files:
            sections: _Sections = {}
            normalized: _Sections = {}
            for text in file:
                for groups, name in (
                    (sections, text.group),
                    (normalized, _normal(text.group)),
                ):
                    options = groups.setdefault(name, {})
                    options.setdefault(text.option, []).append(text.text)
            namespace._add_parsed_config_file(  # noqa: SLF001 - the same
                file[0].file if file else "", sections, normalized
            )
        return namespace

    def _load_alternative_sources(self) -> None:
        """Ask nobody: the loader refuses what ``config_source`` names."""

    def lookup(self, group: str, option: str) -> ty.Any:
        """An option's value; the group DEFAULT has its name.

        :raises oslo_config.cfg.Error: as oslo.config does
        """
        return self[option] if group == "DEFAULT" else self[group][option]


def read(path: str) -> Written:
    """Every assignment of a file, with the place of each character.

    :raises ConfigError: no such file, not UTF-8, or not of this syntax
    """
    try:
        data = input_file.read(os.path.expanduser(path), input_file.CONFIG)
    except OSError as error:
        raise unreadable(
            finding.Finding(
                codes.FILE_UNREADABLE,
                error.strerror or str(error),
                subject=path,
            )
        ) from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise unreadable(_not_utf8(path, data, error)) from error
    if text.count("\n") + text.count("\r") > MAX_LINES:
        raise unreadable(
            finding.Finding(
                codes.FILE_UNREADABLE,
                f"it has more than {MAX_LINES:,} lines, the limit",
                subject=path,
            )
        )
    parser = _Parser(path, io.StringIO(text, newline=None).readlines())
    try:
        parser.parse()
    except iniparser.ParseError as error:
        raise unreadable(_syntax(path, error)) from error
    return tuple(parser.found)


def names(conf: Config, group: str, option: str) -> list[tuple[str, str]]:
    """The (group, name) pairs that an option is read from, newest first.

    As ``oslo_config.cfg.Opt._get_from_namespace`` puts them together.
    """
    opt = conf.registered[group, option]
    return [
        (group, opt.dest),
        *(
            (old.group or group, old.name or opt.dest)
            for old in opt.deprecated_opts
            if old.group or old.name
        ),
    ]


def written(
    conf: Config, *wanted: tuple[str, str]
) -> ty.Iterator[source.SourceText]:
    """What files say under some (group, name), file by file, name by name.

    Group names are compared without case, all but DEFAULT, as oslo.config
    does.
    """
    for named in conf.by_name:
        for group, option in wanted:
            yield from named.get((_normal(group), option), ())


def _normal(group: str) -> str:
    return group if group == "DEFAULT" else group.lower()


def assigned(conf: Config, group: str, option: str) -> list[source.SourceText]:
    """What files say a multi-valued option is, in the order Nova reads it.

    That is: file by file, and within a file the oldest name first.
    """
    wanted = reversed(names(conf, group, option))
    return [
        text for text in written(conf, *wanted) if text not in conf.left_out
    ]


def values(
    conf: Config, group: str, option: str
) -> tuple[source.SourceText, ...]:
    """Each value of a multi-valued option, as :func:`assigned` orders them."""
    return tuple(
        _interpolated(text, value)
        for text, value in zip(
            assigned(conf, group, option),
            conf.lookup(group, option),
            strict=True,
        )
    )


def place(conf: Config, group: str, option: str) -> source.SourceText | None:
    """The assignment that gives a single-valued option its value.

    :return: None where no file sets it, or the environment does
    """
    if environment_name(group, option) in os.environ:
        return None
    wanted = names(conf, group, option)
    for named in reversed(conf.by_name):
        for owner, name in wanted:
            found = named.get((_normal(owner), name))
            if found:
                return found[-1]
    return None


def environment_name(group: str, option: str) -> str:
    """The variable that oslo.config reads before any file."""
    return f"OS_{group}__{option}".upper()


def references(
    text: source.SourceText,
) -> ty.Iterator[tuple[int, int, str]]:
    """Each ``$name`` of a raw value: start, end, and the name."""
    for match in _TEMPLATE.finditer(text.text.replace(r"\$", "$$")):
        name = match["named"] or match["braced"]
        if name:
            yield match.start(), match.end(), name


def _interpolated(raw: source.SourceText, value: str) -> source.SourceText:
    """The value behind its ``$`` names, each literal run at its own place.

    :param value: what oslo.config made of the text
    """
    if raw.text == value:
        return raw
    pattern = ""
    pieces: list[tuple[int, int]] = []
    at = 0
    # oslo.config takes \$ for $$, which is as long.
    for match in _TEMPLATE.finditer(raw.text.replace(r"\$", "$$")):
        if match["invalid"] is not None:
            continue
        pieces += [(at, match.start()), match.span()]
        escaped = match["escaped"] is not None
        pattern += f"({re.escape(raw.text[at : match.start()])})" + (
            r"(\$)" if escaped else "(.*?)"
        )
        at = match.end()
    pieces.append((at, len(raw.text)))
    pattern += f"({re.escape(raw.text[at:])})"
    matched = re.fullmatch(pattern, value, re.DOTALL)
    assert matched is not None, value
    segments: list[source.Segment] = []
    for number, (start, end) in enumerate(pieces, start=1):
        offset = matched.start(number)
        if offset == matched.end(number):
            continue
        runs = [start]
        if number % 2:
            runs += [s.offset for s in raw.segments if start < s.offset < end]
        for run in runs:
            spot, line = raw.at(run), raw.segment(run).raw
            segments.append(
                source.Segment(
                    offset + run - start, spot.line, spot.column, line
                )
            )
    return source.SourceText(
        value,
        raw.file,
        raw.group,
        raw.option,
        tuple(segments) or raw.segments[:1],
    )


class _Parser(cfg.ConfigParser):
    """oslo.config's parser, noting where each piece of a value stands."""

    def __init__(self, file: str, lines: list[str]) -> None:
        super().__init__(file, {})
        self.found: list[source.SourceText] = []
        self._lines = lines
        self._first = source.Segment(0, 0, 0, "")

    def parse(self) -> None:  # type: ignore[override] # as oslo.config has it
        iniparser.BaseParser.parse(self, self._lines)

    def _split_key_value(self, line: str) -> tuple[str, list[str]]:
        key, value = super()._split_key_value(line)
        # The separator is the first of the two; the value is what follows,
        # less its spaces and one pair of quotes.
        rest = re.split("[:=]", line, maxsplit=1)[1]
        bare = rest.lstrip()
        column = len(line) - len(bare) + 1 + (bare.rstrip() != value[0])
        self._first = source.Segment(
            0, self.lineno, column, self._lines[self.lineno - 1].rstrip("\n")
        )
        return key, value

    def assignment(self, key: str, value: list[str]) -> None:
        """Note the value; oslo.config calls this lines later."""
        if not self.section:
            raise self.parse_exc(
                "Section must be started before assignment",
                self._first.line,
                self._first.raw,
            )
        super().assignment(key, value)
        segments = [self._first]
        offset = len(value[0]) + 1
        for number, piece in enumerate(value[1:], start=self._first.line + 1):
            raw = self._lines[number - 1].rstrip("\n")
            column = len(raw.rstrip()) - len(piece) + 1
            segments.append(source.Segment(offset, number, column, raw))
            offset += len(piece) + 1
        self.found.append(
            source.SourceText(
                "\n".join(value),
                self.filename,
                self.section,
                key,
                tuple(segments),
            )
        )


def unreadable(*findings: finding.Finding) -> exception.ConfigError:
    """That the configuration can't be read, and why."""
    return exception.ConfigError(
        "the configuration can't be read", findings=findings
    )


def _not_utf8(
    path: str, data: bytes, error: UnicodeDecodeError
) -> finding.Finding:
    before = data[: error.start].decode("utf-8")
    lines = io.StringIO(before + "?", newline=None).read().split("\n")
    end = re.compile(rb"[\r\n]|$").search(data, error.start)
    assert end is not None
    rest = data[error.start : end.start()].decode("utf-8", "backslashreplace")
    return finding.Finding(
        codes.NOT_UTF8,
        f"byte 0x{data[error.start]:02x} is not UTF-8",
        source.Location(path, len(lines), len(lines[-1])),
        4,
        None if _secret(*lines) else lines[-1][:-1] + rest,
        path,
        "Save the file as UTF-8, for example with: iconv -f latin1 -t utf-8",
    )


def _syntax(path: str, error: iniparser.ParseError) -> finding.Finding:
    line = error.line or ""
    hint = None
    if line.startswith("\ufeff"):
        hint = "The file begins with a byte order mark: save it without one."
    return finding.Finding(
        codes.FILE_SYNTAX,
        error.msg[:1].lower() + error.msg[1:],
        source.Location(path, error.lineno, 1),
        max(len(line), 1),
        None if _secret(line) else line,
        path,
        hint,
    )


#: Names of options that nobody should see the value of, whoever's they are.
_SECRET = re.compile(
    "pass|secret|token|credential|key|connection|transport_url", re.IGNORECASE
)


def _secret(*lines: str) -> bool:
    """Whether the last of these lines may say what is secret.

    It may go on with the value of a line before it, and it may not be known
    what in it is a name.
    """
    for line in reversed(lines):
        if not line.startswith((" ", "\t")):
            return _SECRET.search(line) is not None
    return False
