# SPDX-License-Identifier: Apache-2.0
"""Questions about aliases: are they accepted, what does a flavor ask for."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.check import deviations
from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.finding import Finding, Severity
from nova_vfio_variant.pci import alias_parse, flavor, names, parse
from nova_vfio_variant.pci import codes as pci_codes
from nova_vfio_variant.pci.alias import Alias, PciRequest
from nova_vfio_variant.source import SourceText
from tests.conformance import texts
from tests.conformance.hosts import choose
from tests.conformance.nova import Nova
from tests.conformance.question import Question, same, shows

_POLICIES = (None, None, "required", "legacy", "preferred", "socket", "strict")


def read(
    values: list[str], *, in_placement: bool
) -> tuple[alias_parse.Aliases, list[Finding]]:
    """Return our aliases, and what stops a service."""
    aliases, findings = alias_parse.parse_aliases(
        [SourceText.of(value, "alias") for value in values],
        in_placement=in_placement,
    )
    return aliases, [
        finding for finding in findings if finding.severity is Severity.ERROR
    ]


def stricter(error: Finding) -> Deviation | None:
    """Return the row that explains why we refuse what Nova takes."""
    if error.code is pci_codes.BAD_ID and r"\n" in error.message:
        return deviations.ALIAS_ID_NEWLINE
    if error.code is pci_codes.ALIAS_WITHOUT_NAME and "blank" in error.message:
        return deviations.ALIAS_BLANK_NAME
    if error.code is pci_codes.ALIAS_WITHOUT_IDS:
        return deviations.ALIAS_EMPTY_CLASS
    return None


def _told(spec: dict[str, Any]) -> tuple[Any, ...]:
    """A spec of Nova's as one can compare it."""
    migratable = spec.get("live_migratable")
    return (
        spec.get("vendor_id", "").lower(),
        spec.get("product_id", "").lower(),
        spec.get("dev_type"),
        spec.get("resource_class") or None,
        parse.split_traits(spec.get("traits")),
        None if migratable is None else migratable == "true",
        spec.get("capability_type"),
    )


def _ours(alias: Alias) -> tuple[Any, ...]:
    return (
        alias.vendor_id or "",
        alias.product_id or "",
        alias.device_type,
        alias.resource_class,
        alias.traits,
        alias.live_migratable,
        alias.capability_type,
    )


# -- aliases ---------------------------------------------------------------

_alias_cases = st.fixed_dictionaries(
    {
        "values": st.booleans().flatmap(lambda odd: texts.aliases(odd=odd)),
        "pci_in_placement": st.booleans(),
    }
)


def _compare_aliases(nova: Nova, case: dict[str, Any]) -> Iterable[Deviation]:
    theirs = nova.ask("alias", **case)
    aliases, errors = read(
        case["values"], in_placement=case["pci_in_placement"]
    )
    if theirs.error is not None:
        same(True, bool(errors), (theirs, case))
        return []
    rows = [stricter(error) for error in errors]
    same([], [e for e, row in zip(errors, rows, strict=True) if not row], case)
    if rows:
        _only_nova(theirs.value, case)
        return [row for row in rows if row]
    same(
        {
            name: (one["numa_policy"], [_told(spec) for spec in one["specs"]])
            for name, one in theirs.value.items()
        },
        {
            name: (
                same_name[0].numa_policy,
                [_ours(alias) for alias in same_name],
            )
            for name, same_name in aliases.items()
        },
        case,
    )
    return []


def _only_nova(told: dict[str, Any], case: dict[str, Any]) -> None:
    """Nova has indeed what the rows say that we refuse."""
    odd = [
        name
        for name, one in told.items()
        for spec in one["specs"]
        if not name
        or "\n" in spec.get("vendor_id", "") + spec.get("product_id", "")
        or (spec.get("resource_class") == "" and "vendor_id" not in spec)
        or (spec.get("resource_class") == "" and "product_id" not in spec)
    ]
    assert odd, (told, case)


# -- flavors ---------------------------------------------------------------


@st.composite
def _flavors(draw: st.DrawFn) -> dict[str, Any]:
    odd = draw(st.booleans())
    values = draw(texts.aliases())
    return {
        "values": values,
        "extra_spec": draw(texts.extra_specs(values, odd=odd)),
        "numa_policy": choose(draw, _POLICIES),
        "pci_in_placement": draw(st.booleans()),
    }


def _groups(requests: Iterable[PciRequest]) -> list[dict[str, Any]]:
    """The groups that Placement is asked for, by our names."""
    return [
        {
            "request": place,
            "number": number,
            "resources": {
                names.resource_class(
                    request.specs[0].resource_class,
                    request.specs[0].vendor_id or "",
                    request.specs[0].product_id or "",
                ): 1
            },
            "required_traits": list(names.traits(request.specs[0].traits)),
            "use_same_provider": True,
        }
        for place, request in enumerate(requests)
        for number in range(request.count)
    ]


def _compare_flavor(nova: Nova, case: dict[str, Any]) -> Iterable[Deviation]:
    theirs = nova.ask("flavor", **case)
    aliases, errors = read(
        case["values"], in_placement=case["pci_in_placement"]
    )
    same([], errors, case)
    try:
        ours = flavor.parse_request(
            case["extra_spec"], aliases, case["numa_policy"]
        )
    except exception.ConfigError:
        if theirs.error:
            return []
        same(True, _counts_oddly(case["extra_spec"]), case)
        return [deviations.FLAVOR_COUNT]
    assert not theirs.error, (theirs, case)
    same(
        [
            (
                one["alias_name"],
                one["count"],
                one["numa_policy"],
                [_told(spec) for spec in one["spec"]],
            )
            for one in theirs.value["requests"]
        ],
        [
            (
                one.alias_name,
                one.count,
                one.numa_policy,
                [_ours(spec) for spec in one.specs],
            )
            for one in ours
        ],
        case,
    )
    if case["pci_in_placement"]:
        same(theirs.value["groups"], _groups(ours), case)
    return []


def _counts_oddly(extra_spec: str) -> bool:
    """Whether a count is 0, negative, or no plain number."""
    counts = [part.split(":")[1].strip() for part in extra_spec.split(",")]
    return any(not one.isdigit() or not int(one) for one in counts)


# -- what is meant to differ -------------------------------------------------


def _one_alias(
    nova: Nova, value: str, *, in_placement: bool = False
) -> tuple[str, str]:
    """What each side says to one alias, Nova first."""
    theirs = nova.ask("alias", values=[value], pci_in_placement=in_placement)
    _, errors = read([value], in_placement=in_placement)
    return (
        theirs.error or "taken",
        errors[0].code.id if errors else "taken",
    )


@shows(deviations.ALIAS_ID_NEWLINE, nova="taken", ours=pci_codes.BAD_ID.id)
def _alias_id_newline(nova: Nova) -> tuple[Any, Any]:
    return _one_alias(
        nova, r'{"name": "a", "vendor_id": "10de\n", "product_id": "25b6"}'
    )


@shows(
    deviations.ALIAS_BLANK_NAME,
    nova="taken",
    ours=pci_codes.ALIAS_WITHOUT_NAME.id,
)
def _alias_blank_name(nova: Nova) -> tuple[Any, Any]:
    return _one_alias(
        nova, '{"name": " ", "vendor_id": "10de", "product_id": "25b6"}'
    )


@shows(
    deviations.ALIAS_EMPTY_CLASS,
    nova="taken",
    ours=pci_codes.ALIAS_WITHOUT_IDS.id,
)
def _alias_empty_class(nova: Nova) -> tuple[Any, Any]:
    return _one_alias(
        nova, '{"name": "a", "resource_class": ""}', in_placement=True
    )


@shows(deviations.FLAVOR_COUNT, nova=[0], ours="refused")
def _flavor_count(nova: Nova) -> tuple[Any, Any]:
    values = ['{"name": "a", "vendor_id": "10de", "product_id": "25b6"}']
    theirs = nova.ask("flavor", values=values, extra_spec="a:0")
    aliases, _ = read(values, in_placement=False)
    ours: Any
    try:
        ours = [one.count for one in flavor.parse_request("a:0", aliases)]
    except exception.ConfigError:
        ours = "refused"
    return [one["count"] for one in theirs.value["requests"]], ours


QUESTIONS = (
    Question("aliases", 9, _alias_cases, _compare_aliases),
    Question("flavors", 9, _flavors(), _compare_flavor),
)
