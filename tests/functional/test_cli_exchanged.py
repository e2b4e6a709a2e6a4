# SPDX-License-Identifier: Apache-2.0
"""An address that means another device than the one that was tracked."""

import shutil

from tests.functional import check_host, cli_case

GPU = "0000:82:00.0"
NEXT = "0000:83:00.0"
SPEC = f'device_spec = {{ "address": "{GPU}", "resource_class": "A100" }}'
BOTH = 'device_spec = { "address": "*:*:*.*", "resource_class": "A100" }'
ALIAS = 'alias = { "name": "a100", "resource_class": "A100" }'
CREATE = ("claim", "create", "--instance", cli_case.ONE, "--alias", "a100:1")
SYNC = ("device", "sync")
REPORT = ("inventory", "report")


class ExchangedTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.configure(SPEC, ALIAS)
        self.there({GPU: "10de:20b0"})

    def there(self, cards: dict[str, str]) -> None:
        """What stands on the host now: ids by address."""
        shutil.rmtree("host", ignore_errors=True)
        self.host(
            *(
                check_host.Function(address, ids, "030200", "vfio-pci")
                for address, ids in cards.items()
            )
        )

    def moved(self) -> None:
        """A card was added, and the numbers moved."""
        self.there({GPU: "1000:00ac", NEXT: "10de:20b0"})

    def totals(self) -> list[tuple[int, int]]:
        return [
            (one["total"], one["used"])
            for one in self.json("inventory", "show")
        ]

    def named(self, *words: str, status: int = 1) -> None:
        said = self.ok(*words, status=status).err
        self.assertIn(
            f"warning: {GPU}: it was tracked as 10de:20b0; what is there now"
            " is 1000:00ac",
            said,
        )
        self.assertIn(f"such a function is at {NEXT} now [VFIO406]", said)

    def test_a_claimed_one_is_named_and_stays_what_it_was(self) -> None:
        self.ok(*CREATE)
        self.ok(*REPORT)
        self.moved()
        before = self.recorded()
        for words in (SYNC, REPORT):
            self.named(*words, "--dry-run")
            self.named(*words)
        self.assert_recorded(before)
        self.assertEqual([(1, 1)], self.totals())
        (check,) = [
            one
            for one in self.json("config", "check", status=1)
            if one["code"] == "VFIO406"
        ]
        self.assertIn(f"claim delete --instance {cli_case.ONE}", check["hint"])

    def test_one_that_no_entry_names_any_more_is_named_too(self) -> None:
        self.ok(*CREATE)
        self.configure(
            'device_spec = { "vendor_id": "10de", "resource_class": "A100" }',
            ALIAS,
        )
        self.moved()
        self.named(*SYNC)
        (row,) = [
            one for one in self.json("device", "list") if one["address"] == GPU
        ]
        self.assertEqual(("20b0", None), (row["product_id"], row["pending"]))

    def test_a_free_one_is_neither_offered_nor_given(self) -> None:
        self.ok(*REPORT)
        self.moved()
        self.named(*REPORT)
        self.assertEqual([], self.totals())
        self.fails(*CREATE)

    def test_it_stays_so_after_it_was_freed_until_it_is_accepted(
        self,
    ) -> None:
        self.ok(*CREATE)
        self.moved()
        accept = (*SYNC, "--accept", GPU)
        self.assertIn(
            f"claim delete --instance {cli_case.ONE}", self.refuses(*accept)
        )
        self.ok("claim", "delete", cli_case.ONE)
        self.named(*REPORT)
        self.assertEqual([], self.totals())
        self.ok(*accept, "--dry-run", status=1)
        self.named(*SYNC)
        self.ok(*accept)
        self.ok(*SYNC)
        row = self.json("device", "show", GPU)
        self.assertEqual(
            ("1000", "00ac", "available"),
            (row["vendor_id"], row["product_id"], row["status"]),
        )
        self.assertIn("nothing to accept", self.refuses(*accept))

    def test_the_card_that_comes_back_is_the_one_that_was_tracked(
        self,
    ) -> None:
        self.ok(*CREATE)
        self.moved()
        self.named(*SYNC)
        self.there({GPU: "10de:20b0"})
        self.assertEqual("", self.ok(*SYNC).err)

    def test_one_like_it_that_was_always_there_is_not_it(self) -> None:
        self.configure(BOTH, ALIAS)
        self.there({GPU: "10de:20b0", NEXT: "10de:20b0"})
        self.ok(*SYNC)
        self.moved()
        said = self.ok(*SYNC, status=1).err
        self.assertIn("; tracked devices like it: 0000:83:00.0 [", said)
        self.assertNotIn("such a function is at", said)

    def test_a_claimed_one_that_vanished_is_told_with_where_it_may_be(
        self,
    ) -> None:
        self.ok(*CREATE)
        self.there({NEXT: "10de:20b0"})
        said = self.ok(*SYNC, status=1).err
        self.assertIn("what was tracked may be 0000:83:00.0 now", said)
