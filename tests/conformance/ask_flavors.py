# SPDX-License-Identifier: Apache-2.0
"""Questions about extra specs: what a flavor asks for by resource class."""

import json
import re
from collections.abc import Iterable

from hypothesis import strategies as st

from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.finding import Severity
from nova_vfio_variant.pci import extra_specs, flavor, flavor_codes
from nova_vfio_variant.source import SourceText
from tests.conformance.nova import Nova
from tests.conformance.question import Question, same

_SUFFIXES = ("", "", "1", "1", "2", "_a-B", "s", "x" * 64, "y" * 65, "é")
_CLASSES = ("VGPU", "CUSTOM_A", "CUSTOM_A", "CUSTOM_B", "A", "")
_AMOUNTS = ("1", "1", "1", "2", "0", "-1", "one", "", " 3", "1.5")
_TRAITS = ("CUSTOM_T", "CUSTOM_T", "HW_NUMA_ROOT", "CUSTOM_U")
_WORDS = ("required", "required", "forbidden", "Required", "")
_SMALL = (
    ("group_policy", ("none", "isolate", "any", "")),
    ("resource:VGPU", ("1",)),
    ("hw:numa_nodes", ("1", "2")),
    ("hw:cpu_policy", ("dedicated", "shared")),
    ("hw:mem_page_size", ("large", "2048")),
    ("hw:pci_numa_affinity_policy", ("socket", "legacy", "near", "")),
    ("aggregate:x", ("y",)),
)

_resources = st.tuples(
    st.builds(
        "resources{}:{}".format,
        st.sampled_from(_SUFFIXES),
        st.sampled_from(_CLASSES),
    ),
    st.sampled_from(_AMOUNTS),
)
_traits = st.tuples(
    st.builds(
        "trait{}:{}".format,
        st.sampled_from(_SUFFIXES),
        st.sampled_from(_TRAITS),
    ),
    st.sampled_from(_WORDS),
)
_small = st.sampled_from(_SMALL).flatmap(
    lambda one: st.tuples(st.just(one[0]), st.sampled_from(one[1]))
)
_cases = st.lists(
    st.one_of(_resources, _resources, _traits, _small), max_size=7
).map(dict)


def _compare(nova: Nova, case: dict[str, str]) -> Iterable[Deviation | str]:
    theirs = nova.ask("extra_specs", specs=case)
    assert not theirs.error, (theirs, case)
    given = extra_specs.of_file(SourceText.of(json.dumps(case), "f", file="f"))
    # The same from a text of an older client.
    printed = ", ".join(f"{key}={value!r}" for key, value in case.items())
    old = extra_specs.of_file(
        SourceText.of(json.dumps({"properties": printed}), "f", file="f")
    )
    values = {key: one.value for key, one in old.settings.items()}
    same(case, values, case)
    ours, findings = flavor.read(given, {})
    told = theirs.value
    same(
        told["groups"],
        {
            group.suffix: {
                "resources": dict(group.resources),
                "required": sorted(group.required),
                "forbidden": sorted(group.forbidden),
            }
            for group in ours.asked.groups
        },
        case,
    )
    same(told["group_policy"], ours.asked.policy, case)
    if told["numa_nodes"] is not None:
        same(told["numa_nodes"], ours.numa_nodes, case)
    # What nova-api refuses of each alone, and what is in no namespace.
    same(
        sorted(
            {
                *told["refused"],
                *(key for key in case if _is_in_no_namespace(key)),
                # Which the API takes, and the scheduler skips.
                *(key for key, value in case.items() if value == "-1"),
            }
        ),
        sorted(
            {
                str(found.subject)
                for found in findings
                if found.code
                in (flavor_codes.MEANS_NOTHING, flavor_codes.BAD_POLICY)
            }
        ),
        case,
    )
    errors = [one for one in findings if one.severity is Severity.ERROR]
    return [
        "refused" if errors else "taken",
        *(["grouped"] if told["groups"] else []),
    ]


def _is_in_no_namespace(key: str) -> bool:
    """Whether it looks like such a key, and is none that Nova looks at."""
    head = key.partition(":")[0]
    return head.startswith(("resource", "trait")) and not re.fullmatch(
        "(resources|trait)([a-zA-Z0-9_-]{1,64})?", head
    )


QUESTIONS = (
    Question(
        "extra specs",
        6,
        _cases,
        _compare,
        {"refused": 0.2, "taken": 0.05, "grouped": 0.3},
    ),
)
