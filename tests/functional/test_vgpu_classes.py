# SPDX-License-Identifier: Apache-2.0
"""Resource classes that the vGPU types of VFs give."""

import dataclasses

from nova_vfio_variant.pci import address
from nova_vfio_variant.pci import function as observed
from nova_vfio_variant.tracker import store, tables, vgpus
from tests.functional import cli_case
from tests.functional.check_host import card

SPEC = (
    'device_spec = { "vendor_id": "10de", "product_id": "2236",'
    ' "managed": "no" }'
)
OPTION = "[vfio]\nplacement = embedded\nresource_class_from_type = true\n"
PF, VF = "0000:25:00.0", "0000:25:00.4"


def typed(current: str, *listed: str) -> dict[str, str]:
    """A vendor's folder of a VF."""
    rows = "".join(f"{row}\n" for row in listed)
    return {
        "nvidia/current_vgpu_type": current,
        "nvidia/creatable_vgpu_types": f"ID    : vGPU Name\n{rows}",
    }


class ClassFromTypeTest(cli_case.CliTestCase):
    def card(self, *vfs: dict[str, str]) -> None:
        """A card whose VFs have these folders."""
        functions = card(
            vfs=len(vfs),
            driver="nvidia",
            pf_ids="10de:2235",
            vf_ids="10de:2236",
        )
        dev = {"vfio-dev/vfio3/dev": "509:3"}
        self.host(
            functions[0],
            *(
                dataclasses.replace(function, files={**files, **dev})
                for function, files in zip(functions[1:], vfs, strict=True)
            ),
        )

    def classes(self) -> dict[str, str]:
        """What is tracked, after a sync."""
        self.run_cli("device", "sync")
        return {
            one["address"]: one["resource_class"]
            for one in self.json("device", "list")
        }

    def test_an_entry_without_a_class_takes_its_types_name(self) -> None:
        self.card(typed("470"), typed("470", "470   : NVIDIA A16-16A"))
        self.configure(SPEC, tail=OPTION)
        self.assertEqual({"CUSTOM_A16_16A"}, {*self.classes().values()})

    def test_nothing_of_it_happens_unless_the_option_is_set(self) -> None:
        self.card(typed("470"), typed("0", "470   : NVIDIA A16-16A"))
        self.configure(SPEC)
        self.assertEqual({"CUSTOM_PCI_10DE_2236"}, {*self.classes().values()})

    def test_a_card_that_waits_for_claims_has_the_class_of_its_ids(
        self,
    ) -> None:
        self.card(typed("470"), typed("0", "470   : NVIDIA A16-16A"))
        self.configure(SPEC, tail=OPTION)
        self.assertEqual({"CUSTOM_PCI_10DE_2236"}, {*self.classes().values()})
        # Declared ones wait for nobody.
        declared = (
            f'host_spec = {{ "address": "{VF}", "vgpu_type": "470" }}\n'
            "provider_layout = per_class\n"
        )
        self.configure(SPEC, tail=OPTION + declared)
        self.assertEqual(
            {"CUSTOM_A16_16A", "CUSTOM_PCI_10DE_2236"},
            {*self.classes().values()},
        )

    def test_the_entrys_own_class_goes_before_it(self) -> None:
        self.card(typed("470"), typed("0", "470   : NVIDIA A16-16A"))
        self.configure(
            SPEC.replace(" }", ', "resource_class": "mine" }'), tail=OPTION
        )
        self.assertEqual({"CUSTOM_MINE"}, {*self.classes().values()})

    def remember(self, *types: tuple[str, str], product: str = "2235") -> None:
        """Let the card be known to have these types."""
        with store.Store.open(str(self.state)) as opened:
            opened.vgpus.remember_types(
                vgpus.KnownType(
                    address.PciAddress.parse(PF),
                    number,
                    name,
                    None,
                    observed.Identity("10de", product),
                )
                for number, name in types
            )

    def test_a_full_cards_types_have_the_names_that_are_remembered(
        self,
    ) -> None:
        self.card(typed("470"))
        self.configure(SPEC, tail=OPTION)
        self.assertEqual({VF: "CUSTOM_PCI_10DE_2236"}, self.classes())
        self.remember(("470", "NVIDIA A16-16A"))
        self.assertEqual({VF: "CUSTOM_A16_16A"}, self.classes())
        said = self.ok("config", "suggest").out
        self.assertIn('"resource_class": "CUSTOM_A16_16A"', said)

    def test_what_is_remembered_of_another_card_counts_no_more(self) -> None:
        self.card(typed("470"))
        self.configure(SPEC, tail=OPTION)
        self.run_cli("device", "sync")
        self.remember(("470", "NVIDIA A16-16A"), product="20b0")
        self.assertEqual({VF: "CUSTOM_PCI_10DE_2236"}, self.classes())

    def test_a_type_that_a_claim_set_makes_no_class(self) -> None:
        self.card(typed("470"), typed("470", "470   : NVIDIA A16-16A"))
        self.configure(SPEC, tail=OPTION)
        self.run_cli("device", "sync")
        with store.Store.open(str(self.state)) as opened:
            opened.vgpus.put(
                vgpus.OurVgpu(
                    address.PciAddress.parse(VF),
                    "470",
                    vgpus.Origin.CLAIM,
                    None,
                    "an-assignment",
                    tables.now(),
                    observed.Identity("10de", "2236"),
                )
            )
        self.assertEqual(
            {
                VF: "CUSTOM_PCI_10DE_2236",
                "0000:25:00.5": "CUSTOM_PCI_10DE_2236",
            },
            self.classes(),
        )
