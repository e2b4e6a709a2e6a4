# SPDX-License-Identifier: Apache-2.0
"""What is a yes and what a no is oslo.utils' to say, as for Nova."""

from hypothesis import given
from hypothesis import strategies as st
from oslo_utils import strutils

from nova_vfio_variant.pci import values
from tests import base

_WORDS = st.sampled_from([*strutils.TRUE_STRINGS, *strutils.FALSE_STRINGS])


@st.composite
def _written(draw: st.DrawFn) -> str:
    """One of the words, as people write them."""
    word = draw(_WORDS)
    how = draw(st.sampled_from(["lower", "upper", "title"]))
    before = draw(st.sampled_from(["", " ", "\t"]))
    return f"{before}{getattr(word, how)()}"


class BooleanTest(base.TestCase):
    @given(
        _written()
        | st.text(max_size=5)
        | st.booleans()
        | st.integers(-1, 2)
        | st.none()
    )
    def test_it_is_what_oslo_utils_says(self, value: object) -> None:
        try:
            expected = strutils.bool_from_string(value, strict=True)
        except ValueError:
            expected = None
        self.assertEqual(expected, values.boolean(value))
