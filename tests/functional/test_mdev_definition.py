# SPDX-License-Identifier: Apache-2.0
"""Mediated devices as libvirt and mdevctl define them."""

import json

from lxml import etree

from nova_vfio_variant.host.decide import mdev_codes
from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case, schema_case

UUID = "83c32df7-d52e-4ec1-9668-1f3c7e4df107"
CARD = "0000:06:00.0"


class DefinitionCase(schema_case.SchemaCase):
    """A card, as NVIDIA's before its VFs were parents, and mtty."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        self.fake.add_driver("nvidia", ["10de:1bb3"])
        self.fake.add(CARD, "10de:1bb3", class_code=0x030000)
        self.fake.add_mdev_parent("card", {"nvidia-35": 1}, 1, function=CARD)
        self.fake.add_mdev_parent("mtty", {"mtty-1": 1, "mtty-2": 2}, 24)
        self.enterContext(self.fake.plugged_in())
        self.configure(tail="[vfio]\nplacement = embedded\n")

    def xml(self, *words: str) -> etree._Element:
        """What libvirt's schema takes."""
        element = etree.fromstring(self.ok("mdev", "definition", *words).out)
        self.assert_taken(element, "nodedev")
        return element

    def json_of(self, *words: str) -> object:
        """What mdevctl takes."""
        done = self.ok("mdev", "definition", *words, "--for", "mdevctl")
        return json.loads(done.out)

    def made(self, *words: str) -> str:
        [row] = self.json("mdev", "create", *words, "-q")
        return str(row["uuid"])


class LibvirtTest(DefinitionCase):
    def test_one_that_is_to_be_made_is_of_a_parent_that_has_room(self) -> None:
        words = (UUID, "--type", "nvidia-35")
        device = self.xml(*words)
        self.assertEqual("pci_0000_06_00_0", device.findtext("parent"))
        capability = device.find("capability")
        assert capability is not None
        self.assertEqual(UUID, capability.findtext("uuid"))
        self.assertEqual(["nvidia-35"], device.xpath("//type/@id"))
        # Nothing is made or recorded.
        self.assertEqual([], self.json("mdev", "list"))
        self.made("nvidia-35")
        said = self.fails("mdev", "definition", *words)
        self.assertIn(mdev_codes.MDEV_FULL.id, said)

    def test_virtual_parents_are_named_as_libvirt_does(self) -> None:
        device = self.xml(self.made("mtty-2"))
        self.assertEqual("mtty_mtty", device.findtext("parent"))

    def test_attributes_keep_their_order(self) -> None:
        device = self.xml(
            *(UUID, "--type", "mtty-2"),
            *("--attribute", "assign_domain=4"),
            *("--attribute", "assign_adapter=5"),
        )
        self.assertEqual(
            [("assign_domain", "4"), ("assign_adapter", "5")],
            [
                (attr.get("name"), attr.get("value"))
                for attr in device.iterfind("capability/attr")
            ],
        )

    def test_one_of_ours_that_is_missing_is_told_as_it_was(self) -> None:
        uuid = self.made("mtty-2", "--instance", cli_case.ONE)
        before = etree.tostring(self.xml(uuid))
        self.fake.write(f"sys/bus/mdev/devices/{uuid}/remove", b"1\n")
        self.assertEqual(before, etree.tostring(self.xml(uuid)))

    def test_one_of_another_tools_is_told_too(self) -> None:
        types = "sys/class/mdev_bus/mtty/mdev_supported_types"
        self.fake.write(f"{types}/mtty-1/create", UUID.encode())
        self.assertEqual(["mtty-1"], self.xml(UUID).xpath("//type/@id"))

    def test_what_is_not_there_is_refused(self) -> None:
        said = self.fails("mdev", "definition", UUID)
        self.assertIn(mdev_codes.NO_MDEV.id, said)
        said = self.fails("mdev", "definition", UUID, "--type", "mtty-9")
        self.assertIn(mdev_codes.NO_MDEV_TYPE.id, said)

    def test_none_is_made_by_another_tool_where_nova_hands_them_out(
        self,
    ) -> None:
        self.configure(
            tail="[devices]\nenabled_mdev_types = nvidia-35\n"
            "[vfio]\nplacement = embedded\nnova_compute = yes\n"
        )
        said = self.fails("mdev", "definition", UUID, "--type", "nvidia-35")
        self.assertIn(mdev_codes.MDEV_OF_NOVA.id, said)

    def test_what_only_a_new_one_can_have_is_refused_of_others(self) -> None:
        uuid = self.made("mtty-2")
        for words in (("--parent", "mtty"), ("--attribute", "a=b")):
            said = self.fails("mdev", "definition", uuid, *words)
            self.assertIn("name its --type too", said)


class MdevctlTest(DefinitionCase):
    def test_it_is_started_at_boot_with_its_attributes_in_order(self) -> None:
        self.assertEqual(
            {
                "mdev_type": "mtty-2",
                "start": "auto",
                "attrs": [{"assign_domain": "4"}, {"assign_adapter": "5"}],
            },
            self.json_of(
                *(UUID, "--type", "mtty-2"),
                *("--attribute", "assign_domain=4"),
                *("--attribute", "assign_adapter=5"),
            ),
        )
