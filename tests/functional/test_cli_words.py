# SPDX-License-Identifier: Apache-2.0
"""One word for one thing; what was called otherwise is taken once more."""

from tests.functional import check_host, cli_case

VF = "0000:25:00.4"


class WordsTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=2))
        self.configure(
            'device_spec = { "product_id": "10ca", "managed": "no" }',
            'alias = { "name": "vf", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
        )

    def claim(self) -> None:
        self.ok(
            "claim", "create", "--instance", cli_case.ONE, "--alias", "vf:1"
        )

    def test_an_instance_is_named_alike_when_claimed_and_freed(self) -> None:
        for words in (("--instance", cli_case.ONE), (cli_case.ONE,)):
            self.claim()
            (freed,) = self.json("claim", "delete", *words)
            self.assertEqual("freed", freed["status"])
        for wrong in ((), ("--instance", cli_case.ONE, cli_case.ONE)):
            self.assertIn("--instance", self.fails("claim", "delete", *wrong))
        shown = self.ok("claim", "delete", "--help").out
        self.assertIn("--instance UUID", shown)
        self.assertNotIn("INSTANCE", shown)

    def test_a_function_and_its_device_have_the_same_words(self) -> None:
        device = self.json("device", "show", VF)
        listed = {one["address"]: one for one in self.json("host", "list")}
        for function in (listed[VF], self.json("host", "show", VF)):
            for name in ("dev_type", "parent_addr", "vendor_id", "numa_node"):
                self.assertEqual(device[name], function[name])
            self.assertEqual(
                ("VF", device["parent_addr"]),
                (function["kind"], function["physfn"]),
            )

    def test_tables_have_the_old_words_only_if_asked(self) -> None:
        for words in (("host", "list", "--long"), ("host", "show", VF)):
            out = self.ok(*words).out
            self.assertIn(" dev_type ", out)
            self.assertIn(" parent_addr ", out)
            self.assertNotIn(" kind ", out)
            self.assertNotIn(" physfn ", out)
            self.assertIn(" kind ", self.ok(*words, "-c", "kind").out)

    def test_what_is_true_is_true_everywhere(self) -> None:
        self.claim()
        self.configure(
            'device_spec = { "product_id": "10ca", "managed": "yes" }'
        )
        self.ok("device", "sync")
        managed = {}
        for one in self.json("device", "list"):
            self.assertIs(one["managed"], one["extra_info"]["managed"])
            pending = one["pending"] or {"extra_info": {"managed": None}}
            managed[one["managed"]] = pending["extra_info"]["managed"]
        self.assertEqual({False: True, True: None}, managed)
        self.assertIn("managed=yes", self.ok("device", "show", VF).out)
