# SPDX-License-Identifier: Apache-2.0
"""What a hint tells to write passes the check when it is written."""

import functools
import json
import pathlib
import re
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.check import codes as check_codes
from nova_vfio_variant.check import engine
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.observe import host_scan
from tests.functional import check_cases, check_host, test_check

_FRAGMENT = re.compile(r'"(\w+)": "([^"]*)"')
_VALUE = re.compile(r"Write (\"[^\"]*\"|true|false|null)[.,]|mean '([^']+)'\?")
_OPTION = re.compile(
    r"(?:write|add) (?:\[(\w+)\] )?([a-z_]+ = .+?)"
    r"(?: to \[(\w+)\]| in place of .*)?(?:\.|; .*)?$",
    re.IGNORECASE,
)


def offered(hint: str) -> ty.Iterator[tuple[str, str]]:
    """Each piece of configuration in a hint: its kind, and the text."""
    moved = re.search(r"Did you mean \[(\w+)\] (\w+)\?$", hint)
    if moved is not None:
        yield f"moved {moved[1]}", moved[2]
        return
    option = _OPTION.search(hint)
    if option is not None:
        yield f"option {option[1] or option[3] or ''}".strip(), option[2]
        return
    for part in hint.split("; or, "):
        whole = re.search(r"[\[{].*[\]}]", part)
        if whole is not None and "{ " in whole[0]:
            yield "entry", whole[0]
        elif "host_spec" in part:
            continue
        elif (fragment := _FRAGMENT.search(part)) is not None:
            yield "key", fragment[0]
        elif (value := _VALUE.search(part)) is not None:
            yield "value", value[1] or f'"{value[2]}"'


def written_into(
    conf: str,
    given: facts.CheckInput,
    one: finding.Finding,
    kind: str,
    text: str,
) -> str | None:
    """The file with a piece in the place that the hint means; None if none."""
    if kind.startswith("option"):
        name = text.partition(" =")[0]
        group = kind.partition(" ")[2]
        there = re.search(rf"(?m)^{name} =.*$", conf)
        if there is not None and name not in ("device_spec", "alias"):
            return conf.replace(there[0], text)
        group = group or "pci"
        if f"[{group}]\n" not in conf:
            return f"{conf}[{group}]\n{text}\n"
        return conf.replace(f"[{group}]\n", f"[{group}]\n{text}\n", 1)
    here = one.location
    lines = conf.splitlines()
    if here is not None and kind.startswith("moved"):
        value = re.split("[=:]", lines.pop(here.line - 1), maxsplit=1)[1]
        group = kind.partition(" ")[2]
        return "\n".join([*lines, f"[{group}]", f"{text} = {value}", ""])
    if here is not None and kind == "value":
        line = lines[here.line - 1]
        before, behind = here.column - 1, here.column - 1 + one.length
        lines[here.line - 1] = line[:before] + text + line[behind:]
        return "\n".join([*lines, ""])
    places = [(str(spec), spec.text.at(spec.start)) for spec in given.specs]
    places += [
        (alias.text.text, alias.location)
        for same in given.aliases.values()
        for alias in same
    ]
    for old, start in places:
        if here is None or here.line != start.line or old not in conf:
            continue
        if not start.column <= here.column < start.column + len(old):
            continue
        if kind == "entry":
            return conf.replace(old, text, 1)
        made = json.loads(old) | json.loads(f"{{{text}}}")
        return conf.replace(old, json.dumps(made), 1)
    return None


class Pasted(test_check.Checked):
    """One test a case; see below."""

    def passes(self, case: check_cases.Case) -> None:
        assert isinstance(case.conf, str)
        scan = None
        if case.functions is not None:
            scan = check_host.build(
                pathlib.Path("host"), case.functions, case.files, case.links
            )
        given, before = self.asked(case.conf, case, scan)
        for one in before:
            for kind, text in offered(one.hint or ""):
                conf = written_into(case.conf, given, one, kind, text)
                if conf is None:
                    continue
                _, after = self.asked(conf, case, scan)
                said = f"{one.code.id}: {text}\n{[str(x) for x in after]}"
                self.assertFalse(
                    any(
                        (x.code, x.message) == (one.code, one.message)
                        for x in after
                    ),
                    said,
                )
                known = {x.code for x in before}
                if "host_spec" in text:
                    # It is declared then, and host apply is yet to follow.
                    known.add(check_codes.NOT_AS_DECLARED)
                worse = [
                    x
                    for x in after
                    if x.code not in known
                    and x.severity >= finding.Severity.WARNING
                ]
                self.assertEqual([], worse, said)

    def asked(
        self,
        conf: str,
        case: check_cases.Case,
        scan: host_scan.HostScan | None,
    ) -> tuple[facts.CheckInput, tuple[finding.Finding, ...]]:
        pathlib.Path("nova.conf").write_text(conf)
        try:
            given = self.given(case, scan)
            return given, engine.check(given)
        except exception.ConfigError as error:
            return facts.CheckInput(), error.findings


class Offered(test_check.Checked):
    def test_pieces_are_seen_in_hints(self) -> None:
        for hint, kinds in (
            ('Write "10de".', ["value"]),
            ("Did you mean 'managed'?", ["value"]),
            ("Did you mean [pci] alias?", ["moved pci"]),
            ('If it is meant, write "product_id": "10ca".', ["key"]),
            ("Add report_in_placement = true to [pci]; no.", ["option pci"]),
            ('Add device_spec = { "address": "*" }', ["option"]),
            (
                'In its place write, for A { "a": "b" }; or, for B [{ }].',
                ["entry", "entry"],
            ),
            ("Remove one of them.", []),
        ):
            self.assertEqual(kinds, [kind for kind, _ in offered(hint)])


for _name, _case in check_cases.CASES.items():
    if (
        isinstance(_case.conf, str)
        and _case.then is None
        and not _case.environment
    ):
        setattr(
            Pasted,
            f"test_{_name}",
            functools.partialmethod(Pasted.passes, _case),
        )
