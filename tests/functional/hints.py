# SPDX-License-Identifier: Apache-2.0
"""The configuration that hints tell to write, and the file with it."""

import json
import re
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.declaration import facts

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
    problem: finding.Finding,
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
    here = problem.location
    lines = conf.splitlines()
    if here is not None and kind.startswith("moved"):
        value = re.split("[=:]", lines.pop(here.line - 1), maxsplit=1)[1]
        group = kind.partition(" ")[2]
        return "\n".join([*lines, f"[{group}]", f"{text} = {value}", ""])
    if here is not None and kind == "value":
        line = lines[here.line - 1]
        before, behind = here.column - 1, here.column - 1 + problem.length
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
