# SPDX-License-Identifier: Apache-2.0
"""An address has one text, the kernel's."""

from hypothesis import given
from hypothesis import strategies as st

from nova_vfio_variant.pci import address
from tests import base


class AddressTest(base.TestCase):
    @given(
        st.builds(
            address.PciAddress,
            st.integers(0, 0xFFFFFFFF),
            st.integers(0, 0xFF),
            st.integers(0, 0x1F),
            st.integers(0, 7),
        ),
        st.sampled_from([str, str.upper]),
    )
    def test_it_is_read_as_it_is_written(
        self, place: address.PciAddress, written: type[str]
    ) -> None:
        self.assertEqual(place, address.PciAddress.parse(written(str(place))))

    def test_no_other_text_is_taken_for_it(self) -> None:
        for text in (
            "00000:25:00.4",
            "000000:25:00.4",
            "000:25:00.4",
            "100000000:25:00.4",
            "0000:25:20.0",
            "0000:25:00.8",
            "25:00.4",
            "0000:25:00.4\n",
            "",
        ):
            self.assertRaises(ValueError, address.PciAddress.parse, text)
