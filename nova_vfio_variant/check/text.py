# SPDX-License-Identifier: Apache-2.0
"""Rules about names of options, as ``oslo-config-validator`` would ask.

A nova.conf holds hundreds of options that are Nova's alone; only the groups
whose every option we know are searched for unknown names, those of types of
mediated devices among them, and the other groups for options of ours that
went astray.
"""

from __future__ import annotations

import difflib
import typing as ty

from nova_vfio_variant import finding, source
from nova_vfio_variant.check import codes
from nova_vfio_variant.conf import files, nova, vfio
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.decide import host_spec
from nova_vfio_variant.pci import alias_parse, parse

#: Groups of which every option is known here.
_WHOLE = ("pci", "vfio", "devices")

#: Which types of mediated devices have a group of their own.
_ENABLED = ("devices", "enabled_mdev_types")

#: Names that no other group of Nova's has, so that one elsewhere is astray.
_DISTINCT = frozenset(
    {
        "device_spec",
        "passthrough_whitelist",
        "pci_passthrough_whitelist",
        "pci_alias",
        "report_in_placement",
        "pci_in_placement",
        "host_spec",
        "provider_root",
        "provider_layout",
        "enabled_mdev_types",
        "live_migration_permit_post_copy",
        "enabled_filters",
    }
)

#: Options that Nova has no more, and what does their work.
_REMOVED = {
    ("DEFAULT", "scheduler_default_filters"): (
        "filter_scheduler",
        "enabled_filters",
    ),
    ("DEFAULT", "scheduler_available_filters"): (
        "filter_scheduler",
        "available_filters",
    ),
}

#: Options whose values are JSON.
_JSON = (("pci", "device_spec"), ("pci", "alias"), ("vfio", "host_spec"))

#: How alike two names must be, where many names of Nova's are not known; of
#: those the likest is at 0.79.
_VERY_ALIKE = 0.85


def no_file(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Nothing to check is not the same as nothing wrong."""
    if given.files == ():
        yield finding.Finding(
            codes.NO_FILE,
            f"there is none in {files.NOVA_FOLDER} and {files.FOLDER}",
            subject="configuration file",
        )


def host_specs(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """What is wrong with the text of ``[vfio] host_spec``."""
    yield from host_spec.parse_host_specs(given.host_specs)[1]


def unknown_options(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Options that nobody reads: misspelt, or in the wrong group."""
    known = _known(given)
    whole = {owner for owner, _ in known if _is_whole(owner)}
    for text in given.written:
        group = _group(text)
        if (group, text.option) in known:
            continue
        message = f"[{text.group}] {text.option} is read by nobody"
        if _is_whole(group) and group not in whole:
            if _ENABLED in given.options:
                yield _on_name(
                    codes.UNKNOWN_OPTION,
                    f"{message}: that type is not enabled",
                    text,
                    "Name the type in [devices] enabled_mdev_types, or"
                    " remove the group.",
                )
            continue
        near = _REMOVED.get((group, text.option)) or _nearest(
            group, text.option, known, whole
        )
        if near is None and group not in whole:
            continue
        if near is not None:
            hint = _instead(given, text, near)
        else:
            names = sorted(name for owner, name in known if owner == group)
            hint = f"[{group}] has {', '.join(names)}."
        yield _on_name(codes.UNKNOWN_OPTION, message, text, hint)


def deprecated_options(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """Options by names that a later Nova drops."""
    known = _known(given)
    for text in given.written:
        current = known.get((_group(text), text.option))
        if current is not None and current != (_group(text), text.option):
            yield _on_name(
                codes.DEPRECATED_OPTION,
                f"[{text.group}] {text.option} is an old name of"
                f" [{current[0]}] {current[1]}",
                text,
                f"Write it as {current[1]} in [{current[0]}]"
                + (
                    "; values under old names come first, so look at the"
                    " order."
                    if current in _JSON
                    else ", which goes first where both are there."
                ),
            )


def _is_whole(group: str) -> bool:
    """Whether every option of a group is known here."""
    return group in _WHOLE or group.startswith(
        (nova.OF_MDEV_TYPE, nova.OF_VGPU_TYPE)
    )


def _known(
    given: facts.CheckInput,
) -> dict[tuple[str, str], tuple[str, str]]:
    """Every (group, name) that is read -> its (group, name) of today."""
    found = {}
    of_types = [
        (f"{nova.OF_MDEV_TYPE}{kind}".lower(), nova.mdev_type_opts(kind))
        for kind in given.options.get(_ENABLED) or ()
    ]
    for group, opts in [
        *of_types,
        *nova.OPTS.items(),
        (vfio.GROUP.name, vfio.OPTS),
    ]:
        for opt in opts:
            current = (group, opt.dest)
            found[current] = current
            for old in opt.deprecated_opts:
                owner = old.group or group
                if owner != "DEFAULT":
                    owner = owner.lower()
                found[owner, old.name or opt.dest] = current
    return found


def _nearest(
    group: str,
    option: str,
    known: ty.Mapping[tuple[str, str], tuple[str, str]],
    whole: ty.Collection[str],
) -> tuple[str, str] | None:
    """What was probably meant, by its name of today."""
    word = option.lower().replace("-", "_")
    home = group.strip().lower()
    if home in whole or word in _DISTINCT:
        exact = {
            current
            for (owner, name), current in known.items()
            if name == word and owner != home
        }
        if len(exact) == 1 and (home, word) not in known:
            return exact.pop()
    if home not in whole:
        # A group that is misspelt, and an option that is not.
        for near in difflib.get_close_matches(home, whole, 3):
            if (near, word) in known:
                return known[near, word]
    else:
        names = [name for owner, name in known if owner == home]
        alike = difflib.get_close_matches(word, names, 1)
        if alike:
            return known[home, alike[0]]
    cutoff = 0.6 if home in whole else _VERY_ALIKE
    distinct = {
        name: current
        for (_, name), current in known.items()
        if name in _DISTINCT
    }
    alike = difflib.get_close_matches(word, distinct, 1, cutoff)
    return distinct[alike[0]] if alike else None


def _instead(
    given: facts.CheckInput, text: source.SourceText, near: tuple[str, str]
) -> str:
    """What to do with a line whose option should have been another one."""
    group, option = near
    there = given.places.get(near)
    if there is not None:
        return (
            f"Remove it: [{group}] {option} stands at {there.at(0)} already."
        )
    if near in _REMOVED.values() and text.option != option:
        hint = f"Nova reads [{group}] {option} in its place."
    else:
        hint = f"Did you mean [{group}] {option}?"
    if near in _JSON:
        hint += _also_wrong(text, near, in_placement=given.in_placement)
    return hint


def _also_wrong(
    text: source.SourceText, near: tuple[str, str], *, in_placement: bool
) -> str:
    """What would be wrong with the value once its option is right."""
    found: ty.Sequence[finding.Finding]
    if near == ("pci", "alias"):
        _, found = alias_parse.parse_aliases([text], in_placement=in_placement)
    elif near == ("pci", "device_spec"):
        _, found = parse.parse_device_specs([text])
    else:
        _, found = host_spec.parse_host_specs([text])
    errors = [
        problem
        for problem in found
        if problem.severity is finding.Severity.ERROR
    ]
    if not errors:
        return ""
    return f" Its value would be refused too: {errors[0].message}."


def _group(text: source.SourceText) -> str:
    return text.group if text.group == "DEFAULT" else text.group.lower()


def _on_name(
    code: finding.Code, message: str, text: source.SourceText, hint: str
) -> finding.Finding:
    """A finding on the option's name, which begins its line."""
    first = text.segments[0]
    return finding.Finding(
        code,
        message,
        source.Location(text.file, first.line, 1),
        len(text.option),
        first.raw,
        f"[{text.group}] {text.option}",
        hint,
    )


RULES: tuple[facts.Rule, ...] = (
    no_file,
    host_specs,
    unknown_options,
    deprecated_options,
)
