# SPDX-License-Identifier: Apache-2.0
"""Questions about ``device_spec``: is it accepted, and what does it match."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant.check import deviations
from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.finding import Code, Finding, Severity
from nova_vfio_variant.pci import codes as pci_codes
from nova_vfio_variant.pci import matching, parse
from nova_vfio_variant.pci.spec import DeviceSpec
from nova_vfio_variant.source import SourceText
from tests.conformance import texts
from tests.conformance.hosts import Host, hosts, observed
from tests.conformance.nova import Answer, Nova
from tests.conformance.question import Question, same, shows

#: What we refuse by these codes Nova takes.
_STRICTER: dict[Code, Deviation] = {
    pci_codes.UNKNOWN_KEY: deviations.UNKNOWN_KEY,
    pci_codes.UNKNOWN_ADDRESS_KEY: deviations.UNKNOWN_ADDRESS_KEY,
    pci_codes.SLOW_REGEX: deviations.SLOW_REGEX,
    pci_codes.LARGE_REGEX: deviations.LARGE_REGEX,
}
#: Nova looks at these types late or never; the others it stumbles over.
_LATE_TYPES = (
    "resource_class is ", "traits is ", "trusted is ",
    "physical_network is ", "devname is ", "address is ",
)  # fmt: skip


@st.composite
def _cases(draw: st.DrawFn, *, odd: bool) -> dict[str, Any]:
    host = draw(hosts(wide_domains=True))
    return {
        "host": host,
        "specs": draw(texts.device_specs(host, odd=odd)),
        "report_in_placement": not odd or draw(st.booleans()),
    }


def read(
    values: Sequence[str],
) -> tuple[tuple[DeviceSpec, ...], list[Finding]]:
    """Return our specs, and what stops a service."""
    specs, findings = parse.parse_device_specs(
        [SourceText.of(value) for value in values]
    )
    return specs, [
        finding for finding in findings if finding.severity is Severity.ERROR
    ]


def stricter(error: Finding) -> Deviation | None:
    """Return the row that explains why we refuse what Nova takes."""
    if error.code is pci_codes.WRONG_TYPE and error.message.startswith(
        _LATE_TYPES
    ):
        return deviations.LATE_TYPE
    if error.code is pci_codes.NOT_BOOLEAN and error.message.startswith(
        "remote_managed "
    ):
        return deviations.LENIENT_REMOTE_MANAGED
    return _STRICTER.get(error.code)


def _compare(nova: Nova, case: dict[str, Any]) -> Iterable[Deviation]:
    theirs = nova.ask("match", **case)
    specs, errors = read(case["specs"])
    rows = [stricter(error) for error in errors]
    if theirs.error is not None:
        return [] if errors else list(_only_nova_refuses(theirs, specs, case))
    same([], [e for e, row in zip(errors, rows, strict=True) if not row], case)
    met = {row for row in rows if row is not None}
    if all(error.code is pci_codes.UNKNOWN_KEY for error in errors):
        _same_specs(theirs.value["specs"], specs, case)
        _same_matches(theirs.value["won"], specs, case)
    return met


def _only_nova_refuses(
    theirs: Answer,
    specs: tuple[DeviceSpec, ...],
    case: dict[str, Any],
) -> Iterator[Deviation]:
    """Return the row that says why we take what Nova refuses."""
    if "one_time_use=true requires" in theirs.message:
        # Ours is a rule of the check, which knows more than the text.
        assert any(spec.one_time_use for spec in specs), case
        assert not case["report_in_placement"], case
        return
    wide = {
        one.get("ifname")
        for one in case["host"]
        if len(one["address"]) > len("ffff:ff:1f.7")
    }
    if "property domain" in theirs.message and wide & {
        spec.devname for spec in specs
    }:
        yield deviations.DEVNAME_WIDE_DOMAIN
        return
    remote = any(map(matching.remote_managed, specs))
    if remote and theirs.error in {
        "PciDeviceNotFoundById",
        "PciDeviceRemoteManagedNotPresent",
    }:
        yield deviations.REMOTE_MANAGED_PF
        return
    same(theirs, specs, case)


def _same_specs(
    told: list[dict[str, Any]],
    specs: tuple[DeviceSpec, ...],
    case: dict[str, Any],
) -> None:
    """Ids and pool tags are read alike."""
    same(
        [
            (
                one["vendor_id"],
                one["product_id"],
                {
                    key: value
                    for key, value in one["tags"].items()
                    if key not in {"resource_class", "traits"}
                },
            )
            for one in told
        ],
        [
            (spec.vendor_id or "*", spec.product_id or "*", dict(spec.tags))
            for spec in specs
        ],
        case,
    )


def _same_matches(
    won: list[int | str | None],
    specs: tuple[DeviceSpec, ...],
    case: dict[str, Any],
) -> None:
    """Each function is taken by the same spec."""
    functions = observed(case["host"])
    winners = matching.Matcher(specs, functions).winners(functions)
    same(
        # A device that Nova stumbles over is skipped by its tracker.
        [None if one == "PciConfigInvalidSpec" else one for one in won],
        [None if spec is None else spec.index for spec in winners],
        case,
    )


def _one_value(
    nova: Nova, value: str, host: Host | None = None
) -> tuple[str, str]:
    """What each side says to one value, Nova first."""
    theirs = nova.ask("match", specs=[value], host=host or [])
    _, errors = read([value])
    return (
        theirs.error or "taken",
        errors[0].code.id if errors else "taken",
    )


@shows(deviations.UNKNOWN_KEY, nova="taken", ours=pci_codes.UNKNOWN_KEY.id)
def _unknown_key(nova: Nova) -> tuple[Any, Any]:
    return _one_value(nova, '{"mangaed": "no"}')


@shows(
    deviations.UNKNOWN_ADDRESS_KEY,
    nova="taken",
    ours=pci_codes.UNKNOWN_ADDRESS_KEY.id,
)
def _unknown_address_key(nova: Nova) -> tuple[Any, Any]:
    return _one_value(nova, '{"address": {"func": "4"}}')


@shows(deviations.LATE_TYPE, nova={"taken"}, ours={pci_codes.WRONG_TYPE.id})
def _late_type(nova: Nova) -> tuple[Any, Any]:
    heard = [
        _one_value(nova, f'{{"{key}": {value}}}')
        for keys, values in (
            (
                (
                    "resource_class",
                    "traits",
                    "trusted",
                    "physical_network",
                    "devname",
                ),
                ("1", '["blue"]'),
            ),
            (("address",), ("0", "false", "[]")),
        )
        for key in keys
        for value in values
    ]
    return {theirs for theirs, _ in heard}, {ours for _, ours in heard}


@shows(
    deviations.LENIENT_REMOTE_MANAGED,
    nova="taken",
    ours=pci_codes.NOT_BOOLEAN.id,
)
def _lenient_remote_managed(nova: Nova) -> tuple[Any, Any]:
    return _one_value(nova, '{"remote_managed": "treu"}')


@shows(deviations.SLOW_REGEX, nova="taken", ours=pci_codes.SLOW_REGEX.id)
def _slow_regex(nova: Nova) -> tuple[Any, Any]:
    return _one_value(nova, '{"address": {"bus": "((((2*)*)*)*)*x"}}')


@shows(deviations.LARGE_REGEX, nova="taken", ours=pci_codes.LARGE_REGEX.id)
def _large_regex(nova: Nova) -> tuple[Any, Any]:
    return _one_value(nova, '{"address": {"bus": "(2{300}){300}"}}')


@shows(
    deviations.REMOTE_MANAGED_PF, nova="PciDeviceNotFoundById", ours="taken"
)
def _remote_managed_pf(nova: Nova) -> tuple[Any, Any]:
    return _one_value(
        nova,
        '{"address": "0000:05:00.0", "product_id": "101e",'
        ' "remote_managed": "yes"}',
        [
            {
                "address": "0000:05:00.0",
                "vendor_id": "15b3",
                "product_id": "a2d6",
                "dev_type": "type-PF",
                "sriov_totalvfs": 8,
                "sriov_vf_device": "101e",
            }
        ],
    )


@shows(
    deviations.DEVNAME_WIDE_DOMAIN, nova="PciConfigInvalidSpec", ours="taken"
)
def _devname_wide_domain(nova: Nova) -> tuple[Any, Any]:
    return _one_value(
        nova,
        '{"devname": "eth0"}',
        [
            {
                "address": "10000:05:00.0",
                "vendor_id": "8086",
                "product_id": "1592",
                "dev_type": "type-PCI",
                "ifname": "eth0",
            }
        ],
    )


QUESTIONS = (
    Question("device_spec on a host", 20, _cases(odd=False), _compare),
    Question("odd device_spec on a host", 20, _cases(odd=True), _compare),
)
