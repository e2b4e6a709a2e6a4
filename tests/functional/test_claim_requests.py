# SPDX-License-Identifier: Apache-2.0
"""Claims of devices by what they are, and why they get what they get."""

import json
import pathlib
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.node import node
from nova_vfio_variant.pci import request
from tests.functional import check_host, cli_case

ONE, TWO, THREE = cli_case.ONE, cli_case.TWO, cli_case.THREE
GPUS = ("0000:41:00.0", "0000:42:00.0", "0000:81:00.0", "0000:82:00.0")
#: No device_spec names it.
STRANGER = "0000:83:00.0"
#: One switch has the first and the third.
SWITCH = "pci0000:40/0000:40:01.0"


def gpu(address: str, under: str, node: int) -> check_host.Function:
    return check_host.Function(
        address,
        "10de:2236" if address != STRANGER else "10de:ffff",
        "030200",
        "vfio-pci",
        node=node,
        under=under,
    )


class RequestTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(
            gpu(GPUS[0], SWITCH, 0),
            gpu(GPUS[1], "pci0000:40/0000:40:02.0", 0),
            gpu(GPUS[2], SWITCH, 0),
            gpu(GPUS[3], "pci0000:80/0000:80:01.0", 1),
            gpu(STRANGER, "pci0000:80/0000:80:02.0", 1),
            *check_host.card(0x21, vfs=4),
            *check_host.card(0x22, vfs=2, node=1),
            *check_host.card(0x23, vfs=0),
        )
        self.configure(
            'device_spec = { "vendor_id": "10de", "product_id": "2236" }',
            'device_spec = { "vendor_id": "8086", "product_id": "10ca" }',
            'device_spec = { "address": "0000:23:00.0" }',
            'alias = { "name": "nic", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )

    def claimed(self, *words: str, instance: str = ONE) -> list[str]:
        """Claim, and which devices were."""
        found = self.json("claim", "create", "--instance", instance, *words)
        return sorted(at for claim in found for at in claim["addresses"])

    def refused(self, *words: str) -> str:
        self.ok("device", "sync")
        return self.refuses("claim", "create", "--instance", ONE, *words)

    def file(self, **said: ty.Any) -> str:
        pathlib.Path("request.json").write_text(json.dumps(said, indent=1))
        return "--request=request.json"

    def test_any_device_of_a_class_is_given(self) -> None:
        found = self.claimed("--class", "gpu", "--count", "2")
        self.assertEqual(2, len(found))
        self.assertLess({*found}, {*GPUS})
        self.assertEqual(
            {*GPUS} - {*found},
            {*self.claimed("--class=gpu", "--count=2", instance=TWO)},
        )
        said = self.refuses(
            "claim", "create", "--instance", THREE, "--class", "gpu"
        )
        self.assertIn("class=gpu: 1 asked for, and 0 can be given", said)
        self.assertIn(f"2 allocated to instance {ONE}", said)

    def test_the_same_request_again_is_the_same_claim(self) -> None:
        words = (
            "--class=gpu",
            "--property=vendor=10de",
            "--property=type=PCI",
        )
        same = ("--property=type=type-PCI", "--property=vendor=0x10DE")
        first = self.claimed(*words)
        self.assertEqual(first, self.claimed("--class=gpu", *same))
        for other in (
            words[:2],
            (*words, "--count=2"),
            (*words, "--closest"),
            (*words, "--strategy=spread"),
            (*words, "--alias=nic:1"),
        ):
            self.assertIn("asked for something else", self.refused(*other))
        data = self.json("claim", "show", ONE)["asked"]["devices"]
        self.assertEqual(first, self.claimed(self.file(devices=data)))

    def test_exact_devices_are_given_by_address_and_index(self) -> None:
        words = ("--device", GPUS[3], "--device", "gpu:1")
        self.assertEqual([GPUS[1], GPUS[3]], self.claimed(*words))
        self.assertEqual(
            [GPUS[0]],
            self.claimed(
                *("--device", "gpu:0", "--device", GPUS[0][:-1] + "0")[:2],
                instance=TWO,
            ),
        )

    def test_a_device_is_given_by_its_name_and_by_its_id(self) -> None:
        self.ok("device", "register", GPUS[1], "--name", "left")
        self.assertEqual([GPUS[1]], self.claimed("--device=left"))
        self.ok("claim", "delete", "--instance", ONE)
        (named,) = (
            device
            for device in self.json("device", "list")
            if device["name"] == "left"
        )
        self.assertEqual([GPUS[1]], self.claimed(f"--device={named['id']}"))
        self.ok("claim", "delete", "--instance", ONE)
        spelled = named["id"].upper()
        self.assertEqual([GPUS[1]], self.claimed(f"--device={spelled}"))
        said = self.refuses(
            *("claim", "create", "--instance", TWO, "--device=lift")
        )
        self.assertIn("did you mean left?", said)

    def test_one_of_some_devices_is_given(self) -> None:
        words = ("--device=gpu:0", "--device=gpu:1", "--count=1")
        first = self.claimed(*words)
        second = self.claimed(*words, instance=TWO)
        self.assertEqual([*GPUS[:2]], sorted((*first, *second)))

    def test_all_properties_have_to_hold(self) -> None:
        for key, value, number in (
            ("numa_node", "1", 1),
            ("iommufd", "yes", 4),
            ("pcie_root", "0000:40", 3),
            ("pcie_root", "pci0000:80", 1),
            ("driver", "vfio-pci", 4),
            ("type", "PCI", 4),
        ):
            with self.subTest(key):
                words = ("--class=gpu", f"--property={key}={value}")
                self.claimed(*words, f"--count={number}")
                self.ok("claim", "delete", "--instance", ONE)
                said = self.refused(*words, f"--count={number + 1}")
                self.assertIn(f"and {number} can be given", said)
        found = self.claimed("--property=pf=0000:22:00.0", "--count=2")
        self.assertEqual(["0000:22:00.4", "0000:22:00.5"], found)

    def test_a_whole_pf_is_given_to_who_asks_for_one(self) -> None:
        pf = "0000:23:00.0"
        self.assertNotIn(pf, self.claimed("--class=network", "--count=6"))
        said = self.refuses(
            *("claim", "create", "--instance", TWO, "--class=network")
        )
        self.assertIn("0 can be given", said)
        for word in ("--property=type=PF", f"--device={pf}"):
            self.assertEqual([pf], self.claimed(word, instance=TWO))
            self.ok("claim", "delete", "--instance", TWO)

    def test_what_nobody_names_is_given_to_nobody(self) -> None:
        said = self.refused("--device", STRANGER)
        self.assertIn(f"no [pci] device_spec names {STRANGER}", said)
        self.assertIn(
            "no [pci] device_spec names gpu:4", self.refused("--device=gpu:4")
        )
        self.assertIn(
            "4 can be given", self.refused("--class=gpu", "--count=5")
        )

    def test_a_refusal_names_what_is_accepted_and_what_is_near(self) -> None:
        for words, *expected in (
            (("--class=gpus",), "'gpus'", "did you mean 'gpu'?", "network"),
            (("--property=vendr=1",), "did you mean 'vendor'?", "pcie_root"),
            (("--property=vendor=nvidia",), "four hex digits, 10de"),
            (("--property=type=GPU",), "PF, VF or PCI"),
            (("--property=numa_node",), "KEY=VALUE"),
            (("--property=type=PF", "--property=type=VF"), "twice"),
            (("--device=gpu:9",), "it has 5 of class gpu", "gpu:0"),
            (("--device=0000:41:00.1",), "did you mean 0000:41:00.0?"),
            (("--device=gpu-a",), "no device is called 'gpu-a'"),
            (("--device=gpu:0", "--device", GPUS[0]), "are the same device"),
            (("--device=gpu:0", "--count=2"), "2 are asked for of 1"),
            (("--class=gpu", "--count=0"), "from 1 to"),
            (("--count=2",), "NAME:COUNT"),
            ((), "nothing is asked for"),
            (("--request=none.json",), "none.json: No such file"),
            (("--request=-", "--class=gpu"), "say all of it in the file"),
        ):
            with self.subTest(words):
                said = self.refused(*words)
                for text in expected:
                    self.assertIn(text, said)

    def test_the_closest_are_of_one_switch_then_of_one_root(self) -> None:
        self.assertEqual(
            [GPUS[0], GPUS[2]],
            self.claimed("--class=gpu", "--count=2", "--closest"),
        )
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual(
            [*GPUS[:3]], self.claimed("--class=gpu", "--count=3", "--closest")
        )
        # VFs of one PF, where the order of Nova would part them.
        self.assertEqual(
            {"0000:22"},
            {
                at[:7]
                for at in self.claimed(
                    *("--alias=nic:2", "--closest", "--numa=1"), instance=TWO
                )
            },
        )

    def test_cards_are_filled_or_spread(self) -> None:
        for strategy, other in (("pack", False), ("spread", True)):
            first = self.claimed(
                "--property=type=VF", f"--strategy={strategy}"
            )
            second = self.claimed(
                *("--property=type=VF", f"--strategy={strategy}"), instance=TWO
            )
            self.assertEqual(other, first[0][:7] != second[0][:7])
            for instance in (ONE, TWO):
                self.ok("claim", "delete", "--instance", instance)
        # As few nodes as possible, the fullest that suffices.
        words = ("--property=type=VF", "--strategy=numa")
        self.assertEqual(
            {"0000:22"}, {at[:7] for at in self.claimed(*words, "--count=2")}
        )
        self.assertEqual(
            {"0000:21"},
            {at[:7] for at in self.claimed(*words, "--count=3", instance=TWO)},
        )

    def test_all_ways_of_asking_stand_in_one_claim(self) -> None:
        found = self.json(
            *("claim", "create", "--instance", ONE, "--alias=nic:1"),
            *("--class=gpu", "--property=numa_node=1"),
        )
        self.assertEqual(
            {"nic", "class=gpu,numa_node=1"},
            {claim["alias_name"] for claim in found},
        )
        self.assertEqual(
            2, sum(map(len, (claim["addresses"] for claim in found)))
        )
        self.refuses(
            *("claim", "create", "--instance", TWO, "--alias=nic:1"),
            *("--class=gpu", "--property=numa_node=1"),
        )

    def test_one_request_leaves_another_what_it_needs(self) -> None:
        """Whichever comes first in the file, both get theirs."""
        few = {"class": "gpu", "properties": {"pcie_root": "pci0000:80"}}
        many = {"class": "gpu", "count": 3}
        for devices in ([few, many], [many, few]):
            self.assertEqual([*GPUS], self.claimed(self.file(devices=devices)))
            self.ok("claim", "delete", "--instance", ONE)

    def test_a_file_says_where_it_is_wrong(self) -> None:
        for text, place, *expected in (
            ('{"devices": [{"class": "gpus"}]}', "1:24", "did you mean"),
            ('{"devices":\n [{"klass": "gpu"}]}', "2:4", "'class'"),
            (
                '{"devices": [{"class": "gpu", "count": "2"}]}',
                "1:40",
                "number",
            ),
            (
                '{"devices": [{"properties":\n{"vendor": "x"}}]}',
                "2:12",
                "10de",
            ),
            ('{"alias": "nic:1",}', "1:18", ""),
            ('{"alias": "nic:1", "strategy": "pak"}', "1:32", "'pack'"),
            ('{"alias": "nic:1", "numa": [-1]}', "1:29", "NUMA"),
            ('{"class": "gpu"}', "1:2", 'It is a key of "devices"'),
            ('{"devices": []}', "1:1", "nothing is asked for"),
            ("[]", "1:1", "an object is expected"),
        ):
            with self.subTest(text):
                pathlib.Path("r.json").write_text(text)
                said = self.ok(
                    *("claim", "create", "--instance", ONE),
                    "--request=r.json",
                    status=2,
                ).err
                self.assertIn(f"r.json:{place}:", said)
                for word in expected:
                    self.assertIn(word, said)

    def test_an_explanation_writes_nothing_and_is_what_then_happens(
        self,
    ) -> None:
        self.claimed("--device=gpu:0", instance=TWO)
        words = ("--class=gpu", "--property=numa_node=0", "--alias=nic:2")
        for more in ((), ("--closest",), ("--strategy=pack",)):
            before = self.recorded()
            rows = self.json(
                *("claim", "create", "--instance", ONE, "--explain"),
                *words,
                *more,
            )
            self.assert_recorded(before)
            chosen = sorted(row["address"] for row in rows if row["chosen"])
            self.assertEqual(chosen, self.claimed(*words, *more))
            self.ok("claim", "delete", "--instance", ONE)
        steps = {
            row["step"]: (row["removed"], row["left"], row["why"])
            for row in rows
            if row["request"] == "class=gpu,numa_node=0:1"
        }
        self.assertEqual((7, 4, "7 network"), steps["class gpu"])
        self.assertEqual((1, 3, "1 1"), steps["numa_node 0"])
        self.assertEqual(
            (1, 2, f"1 allocated to instance {TWO}"), steps["free"]
        )

    def test_who_has_a_claim_is_explained_what_it_has(self) -> None:
        has = self.claimed("--class", "gpu")
        asked = ("claim", "create", "--instance", ONE, "--explain")
        for row in self.json(*asked, "--class", "gpu"):
            if row["chosen"]:
                self.assertEqual(has, [row["address"]])
        said = self.ok(*asked, "--class", "network", status=1).err
        self.assertIn("already has class=gpu:1", said)

    def test_a_property_that_nobody_has_is_named(self) -> None:
        said = self.refused("--property", "driver=nobody")
        self.assertIn("driver nobody leaves none: ", said)

    def test_two_requests_of_one_device_are_told(self) -> None:
        said = self.refused(
            self.file(devices=[{"named": [GPUS[0]]}, {"named": [GPUS[0]]}]),
        )
        self.assertIn("1 taken for another request of it", said)

    def test_no_option_gives_way_to_a_second_one(self) -> None:
        for words in (
            ("--alias", "nic:1", "--alias", "nic:2"),
            ("--class", "gpu", "--class=network"),
            ("--class", "gpu", "--count", "1", "--count", "1"),
        ):
            said = self.refused(*words)
            self.assertIn("it is given twice", said)
            self.assertIn(
                words[0] if "--count" not in words else "--count", said
            )

    def test_a_count_is_written_in_plain_digits(self) -> None:
        for count in ("1_0", "\u0663", "1.0", ""):
            said = self.refused("--class", "gpu", "--count", count)
            self.assertIn("no whole number", said)

    def test_an_explanation_says_which_step_left_nothing(self) -> None:
        done = self.ok(
            *("claim", "create", "--instance", ONE, "--explain"),
            *("--class=gpu", "--property=numa_node=7", "-f", "json"),
            status=1,
        )
        self.assertIn("it could not be claimed", done.err)
        left = {row["step"]: row["left"] for row in done.json}
        self.assertEqual((4, 0), (left["class gpu"], left["numa_node 7"]))
        self.assertFalse(self.state.joinpath("nova-vfio.sqlite").exists())
        self.ok(
            *("claim", "create", "--instance", ONE, "--explain"), "--class=gpu"
        )

    def test_a_program_gives_a_value(self) -> None:
        ours = node.Node(
            ["nova.conf"], [], str(self.folder / "host"), str(self.state)
        )
        wanted = request.Request(
            devices=(request.DeviceRequest("gpu", count=2),), closest=True
        )
        (claim,) = ours.claims.claim(ONE, wanted)
        self.assertEqual((claim,), ours.claims.claim(ONE, wanted))
        self.assertEqual(
            [GPUS[0], GPUS[2]], [str(at) for at in claim.addresses]
        )
        self.assertRaises(
            exception.ConfigError,
            ours.claims.claim,
            TWO,
            wanted,
            numa_policy="socket",
        )
        with ours.guarded_claim(
            TWO, request.Request(devices=(request.DeviceRequest("gpu"),))
        ) as guard:
            self.assertEqual(1, len(guard.claims))
