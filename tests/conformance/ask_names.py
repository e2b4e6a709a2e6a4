# SPDX-License-Identifier: Apache-2.0
"""Questions about the names of resource classes and traits."""

import re
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant.check import deviations
from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.pci import names, parse
from tests.conformance.nova import Nova
from tests.conformance.question import Question, same, shows

_ALPHABET = "aZz_- .,é1ß\u0131µ\t!"
_WORDS = (
    "CUSTOM_", "custom_", "VGPU", "pgpu", "PCI_DEVICE", "A16-16A", "CUSTOM",
    "HW_GPU_API_VULKAN", "hw_gpu_api_vulkan", "COMPUTE_MANAGED_PCI_DEVICE",
    "CUSTOM_RED", "OWNER_NOVA", "nvidia a16", "_", "x" * 260,
)  # fmt: skip

_names = st.lists(
    st.one_of(
        st.sampled_from(_WORDS), st.text(alphabet=_ALPHABET, max_size=6)
    ),
    max_size=3,
).map("".join)
_lists = st.lists(_names, max_size=4).map(",".join)


def _clean(name: str) -> str:
    """What Placement takes of a name that Nova would leave as it is."""
    return re.sub("[^A-Z0-9_]+", "_", name)


def _compare_class(
    nova: Nova, case: tuple[str | None, str, str]
) -> Iterable[Deviation]:
    name, vendor_id, product_id = case
    theirs = nova.ask(
        "resource_class",
        name=name,
        vendor_id=vendor_id,
        product_id=product_id,
    ).value
    same(_clean(theirs), names.resource_class(*case), case)
    if _clean(theirs) != theirs:
        assert theirs.startswith("CUSTOM_"), case
        return [deviations.CUSTOM_CLEANED]
    return []


def _compare_traits(nova: Nova, text: str) -> Iterable[Deviation]:
    parts = text.split(",")
    tidy = ",".join(one.strip() for one in parts if one.strip())
    theirs = nova.ask("traits", text=tidy).value
    cleaned = sorted({_clean(one) for one in theirs})
    same(cleaned, list(names.traits(parse.split_traits(text))), text)
    met = []
    if tidy != text:
        met.append(deviations.TRAITS_STRIPPED)
    if cleaned != theirs:
        met.append(deviations.CUSTOM_CLEANED)
    return met


@shows(deviations.CUSTOM_CLEANED, nova="CUSTOM_A-B", ours="CUSTOM_A_B")
def _custom_cleaned(nova: Nova) -> tuple[Any, Any]:
    theirs = nova.ask(
        "resource_class", name="CUSTOM_a-b", vendor_id="", product_id=""
    )
    return theirs.value, names.resource_class("CUSTOM_a-b", "", "")


@shows(
    deviations.TRAITS_STRIPPED,
    nova=["CUSTOM_BLUE", "CUSTOM__BIG"],
    ours=["CUSTOM_BIG", "CUSTOM_BLUE"],
)
def _traits_stripped(nova: Nova) -> tuple[Any, Any]:
    theirs = nova.ask("traits", text="blue, big")
    return theirs.value, list(names.traits(parse.split_traits("blue, big")))


QUESTIONS = (
    Question(
        "resource classes",
        4,
        st.tuples(
            st.none() | _names,
            st.sampled_from(("10de", "8086")),
            st.sampled_from(("25b6", "0008")),
        ),
        _compare_class,
    ),
    Question("traits", 4, _lists, _compare_traits),
)
