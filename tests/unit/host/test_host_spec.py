# SPDX-License-Identifier: Apache-2.0
"""What host_spec says, and what is wrong with it, with its place."""

from nova_vfio_variant import finding, source
from nova_vfio_variant.host.decide import codes as host_codes
from nova_vfio_variant.host.decide import host_spec
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import codes as pci_codes
from nova_vfio_variant.testing import hosts
from tests import base


def read(
    *texts: str,
) -> tuple[tuple[host_spec.HostSpec, ...], tuple[finding.Finding, ...]]:
    """The entries of some values of the option."""
    return host_spec.parse_host_specs(
        [source.SourceText.of(text, "host_spec", "vfio") for text in texts]
    )


class ParseTest(base.TestCase):
    def test_the_three_kinds_of_entry_are_read(self) -> None:
        specs, findings = read(
            '{"address": "0000:25:00.0", "num_vfs": 16}',
            '{"address": "0000:25:00.*", "vendor_id": "10DE",'
            ' "product_id": "25b6", "driver": "variant"}',
            '[{"address": "0000:41:10.2", "driver": "vfio-pci",'
            ' "companions": ["0000:41:10.3"], "allow_pf": true}]',
        )
        self.assertEqual((), findings)
        self.assertEqual([0, 1, 2], [spec.index for spec in specs])
        self.assertEqual(16, specs[0].num_vfs)
        self.assertEqual(
            ("10de", "25b6", "variant"),
            (specs[1].vendor_id, specs[1].product_id, specs[1].driver),
        )
        self.assertEqual(
            (pci_address.PciAddress(0, 0x41, 0x10, 3),), specs[2].companions
        )
        self.assertTrue(specs[2].allow_pf)

    def test_an_entry_selects_by_address_and_ids(self) -> None:
        functions = hosts.make_functions(1, 3)
        specs, _ = read(
            '{"address": "0000:00:00.*", "driver": "host"}',
            '{"vendor_id": "8086", "product_id": "10ca", "driver": "host"}',
            '{"address": {"bus": "00", "function": "[12]"}, "driver": "host"}',
        )
        self.assertEqual(
            [4, 3, 2],
            [sum(map(spec.selects, functions)) for spec in specs],
        )

    def test_each_mistake_is_named_at_its_place(self) -> None:
        cases = [
            ('{"address": "0000:25:00.0", "num_vfs": true}',
             host_codes.HOST_SPEC_VALUE, "true"),
            ('{"address": "0000:25:00.0", "num_vfs": -1}',
             host_codes.HOST_SPEC_VALUE, "-1"),
            ('{"address": "0000:25:00.0", "num_vfs": 70000}',
             host_codes.HOST_SPEC_VALUE, "70000"),
            ('{"address": "0000:25:00.0", "driver": "../bind"}',
             host_codes.HOST_SPEC_VALUE, '"../bind"'),
            ('{"address": "0000:25:00.0", "driver": "a\\nb"}',
             host_codes.HOST_SPEC_VALUE, '"a\\nb"'),
            ('{"address": "0000:25:00.0", "driver": 3}',
             pci_codes.WRONG_TYPE, "3"),
            ('{"address": "0000:25:00.0", "drivr": "host"}',
             pci_codes.UNKNOWN_KEY, '"drivr"'),
            ('{"address": "0000:2g:00.0", "driver": "host"}',
             pci_codes.BAD_ADDRESS, '"0000:2g:00.0"'),
            ('{"address": "", "driver": "host"}',
             pci_codes.WRONG_TYPE, '""'),
            ('{"address": {"bus": "["}, "driver": "host"}',
             pci_codes.BAD_REGEX, '"["'),
            ('{"address": {"but": "1"}, "driver": "host"}',
             pci_codes.UNKNOWN_ADDRESS_KEY, '"but"'),
            ('{"vendor_id": "8086x", "driver": "host"}',
             pci_codes.BAD_ID, '"8086x"'),
            ('{"vendor_id": "86", "driver": "host"}', pci_codes.BAD_ID, '"86"'),
            (('{"address": "0000:25:00.0", "driver": "host",'
             ' "companions": "0000:25:00.1"}'),
             host_codes.HOST_SPEC_VALUE, '"0000:25:00.1"'),
            (('{"address": "0000:25:00.0", "driver": "host",'
             ' "companions": ["25:00.1"]}'),
             host_codes.HOST_SPEC_VALUE, '"25:00.1"'),
            (('{"address": "0000:25:00.0", "driver": "host",'
             ' "allow_pf": "maybe"}'), pci_codes.NOT_BOOLEAN, '"maybe"'),
            ('{"address": "0000:25:00.0", "num_vfs": 1, "driver": "variant"}',
             host_codes.DRIVER_BESIDE_VFS, '"driver"'),
            ("[3]", pci_codes.WRONG_TYPE, "3"),
            ('{"address": "0000:25:00.0" "num_vfs": 1}',
             pci_codes.NOT_JSON, '"'),
        ]  # fmt: skip
        for text, code, place in cases:
            _, findings = read(text)
            first = findings[0]
            self.assertEqual(code, first.code, text)
            assert first.location is not None
            start = first.location.column - 1
            self.assertEqual(place, text[start : start + first.length])

    def test_an_entry_that_means_everything_or_nothing_is_refused(
        self,
    ) -> None:
        for text in (
            '{"driver": "vfio-pci"}',
            '{"vendor_id": "8086", "driver": "vfio-pci"}',
            '{"address": "0000:25:00.0"}',
        ):
            specs, findings = read(text)
            self.assertEqual((), specs)
            self.assertEqual(
                [host_codes.HOST_SPEC_VAGUE],
                [found.code for found in findings],
            )
