# SPDX-License-Identifier: Apache-2.0
"""What Placement is told when things change around it."""

import dataclasses
import pathlib
import sqlite3

from nova_vfio_variant.placement import client
from tests.functional import check_host, cli_case
from tests.functional.card_conf import CLASS_ALIAS, CLASS_SPEC, IDS
from tests.functional.placement_case import Answer
from tests.functional.service_case import CLAIM, REPORT, ServiceCase


def claim(instance: str, alias: str = "nic:1") -> tuple[str, ...]:
    return "claim", "create", "--instance", instance, "--alias", alias


class OneTimeTest(cli_case.CliTestCase):
    """A device that has to be cleaned before somebody else gets it."""

    def setUp(self) -> None:
        super().setUp()
        self.host(check_host.Function("0000:43:00.0", "1af4:1041"))
        self.configure(
            'device_spec = { "address": "0000:43:00.0",'
            ' "resource_class": "ONCE", "one_time_use": "yes" }',
            'alias = { "name": "once", "resource_class": "ONCE" }',
        )

    def reserved(self) -> list[tuple[int, int]]:
        return [
            (one["reserved"], one["used"])
            for one in self.json("inventory", "show")
        ]

    def test_it_is_reserved_with_its_first_claim_and_stays_so(self) -> None:
        self.assertEqual([(0, 0)], self.reserved())
        self.ok(*claim(cli_case.ONE, "once:1"))
        self.assertEqual([(1, 1)], self.reserved())
        self.assertEqual([], self.json("inventory", "diff"))
        self.ok("claim", "delete", cli_case.ONE)
        self.ok("inventory", "report")
        (of_it,) = [one for one in self.published().values() if one["total"]]
        self.assertEqual({"CUSTOM_ONCE": 0}, of_it["used"])
        done = self.ok("inventory", "show")
        self.assertEqual([(1, 0)], self.reserved())
        self.assertIn("used once and reserved since: 0000:43:00.0", done.err)
        said = self.refuses(*claim(cli_case.TWO, "once:1"))
        self.assertIn("1 asked for, and 0 can be given", said)
        self.assertIn("hint: used once and reserved since: 0000:43:00.0", said)

    def test_what_an_operator_reserves_is_remembered_by_a_claim(self) -> None:
        """Commands that don't ask Placement say so as well, from then on."""
        self.ok("inventory", "report")
        (name,) = [
            name for name, one in self.published().items() if one["total"]
        ]

        def said() -> str:
            return self.run_cli("explain", "0000:43:00.0").out

        self.reserve(name, 1)
        self.assertNotIn("it was used once", said())
        self.fails(*claim(cli_case.ONE, "once:1"))
        self.assertIn("it was used once, and nobody gets it until", said())
        self.reserve(name, 0)
        self.ok(*claim(cli_case.ONE, "once:1"))

    def test_one_that_had_its_time_is_in_nobodys_way(self) -> None:
        check_host.build(
            pathlib.Path("two"),
            [
                check_host.Function("0000:43:00.0", "1af4:1041"),
                check_host.Function("0000:44:00.0", "1af4:1041"),
            ],
        )
        self.options[1] = "--host-root=two"
        self.configure(
            'device_spec = { "vendor_id": "1af4", "resource_class": "ONCE",'
            ' "one_time_use": "yes" }',
            'alias = { "name": "once", "resource_class": "ONCE" }',
        )
        had = set()
        for _ in range(2):
            (row,) = self.json(*claim(cli_case.ONE, "once:1"))
            had.update(row["addresses"])
            self.ok("claim", "delete", cli_case.ONE)
        self.assertEqual({"0000:43:00.0", "0000:44:00.0"}, had)
        said = self.refuses(*claim(cli_case.ONE, "once:1"))
        self.assertIn(
            "since: 0000:43:00.0, 0000:44:00.0; once clean, set", said
        )

    def test_a_claim_that_a_crash_left_is_reserved_when_finished(self) -> None:
        self.ok("inventory", "report")
        self.ok(*claim(cli_case.ONE, "once:1"))
        with sqlite3.connect(self.state / "nova-vfio.sqlite") as link:
            link.execute("UPDATE devices SET status = 'claimed'")
        link.close()
        # As it was before the claim came to Placement.
        self.placement.put_allocations(
            cli_case.ONE,
            dataclasses.replace(
                self.placement.allocations(cli_case.ONE), resources={}
            ),
        )
        self.reserve("compute-1_0000:43:00.0", 0)
        self.assertEqual([(0, 0)], self.reserved())
        done = self.ok("inventory", "report")
        self.assertIn(
            f"finished the claim of instance {cli_case.ONE}", done.err
        )
        self.assertEqual([(1, 1)], self.reserved())


class MovedRootTest(cli_case.CliTestCase):
    """The host's name changes after its devices were published."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=2))
        self.configure(CLASS_SPEC, CLASS_ALIAS)
        self.ok("inventory", "report")

    def rename(self) -> None:
        conf = pathlib.Path("nova.conf")
        conf.write_text(conf.read_text().replace("compute-1", "renamed"))

    def test_what_stands_below_the_old_name_goes(self) -> None:
        self.rename()
        changes = {
            (one["change"], one["provider"])
            for one in self.json("inventory", "diff", status=1)
        }
        self.assertEqual(
            {
                ("delete", "compute-1"),
                ("delete", "compute-1_0000:25:00.0"),
                ("add", "renamed_0000:25:00.0"),
            },
            changes,
        )
        self.ok("inventory", "report")
        self.assertEqual(
            ["renamed", "renamed_0000:25:00.0"], sorted(self.published())
        )
        self.assertEqual([], self.json("inventory", "diff"))

    def test_the_first_claim_moves_it_too(self) -> None:
        self.rename()
        self.ok(*claim(cli_case.ONE))
        self.assertEqual(
            {"renamed_0000:25:00.0": {"CUSTOM_NIC": 1}},
            self.allocations(cli_case.ONE),
        )
        self.assertEqual(
            ["renamed", "renamed_0000:25:00.0"], sorted(self.published())
        )

    def test_it_stays_while_there_are_claims(self) -> None:
        self.ok(*claim(cli_case.ONE))
        before = self.published()
        self.rename()
        for words in (("inventory", "report"), claim(cli_case.TWO)):
            said = self.fails(*words)
            self.assertIn("there are claims: compute-1", said)
            self.assertIn("set [DEFAULT] host or", said)
        self.assertEqual(before, self.published())
        self.ok("claim", "delete", cli_case.ONE)
        self.assertEqual({}, self.allocations(cli_case.ONE))
        self.ok("inventory", "report")
        self.assertEqual(
            ["renamed", "renamed_0000:25:00.0"], sorted(self.published())
        )

    def test_others_below_our_old_root_keep_it(self) -> None:
        (root,) = [
            one
            for one in self.get("/resource_providers")["resource_providers"]
            if one["name"] == "compute-1"
        ]
        self.placement.create(
            "99999999-9999-4999-8999-999999999999", "theirs", root["uuid"]
        )
        self.rename()
        self.ok("inventory", "report")
        self.assertEqual(
            ["compute-1", "renamed", "renamed_0000:25:00.0", "theirs"],
            sorted(self.published()),
        )


class WaitingTest(cli_case.CliTestCase):
    """The configuration changes while an instance has a VF."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=3))
        self.configure(CLASS_SPEC, CLASS_ALIAS)
        self.ok(*claim(cli_case.ONE))

    def totals(self) -> dict[str, int]:
        total: dict[str, int]
        (total,) = [
            one["total"] for one in self.published().values() if one["total"]
        ]
        return total

    def test_changed_traits_hold_nobody_up(self) -> None:
        self.configure(
            CLASS_SPEC.replace(" }", ', "traits": "NEW" }'), CLASS_ALIAS
        )
        self.ok("config", "check")
        self.ok("inventory", "report")
        self.ok(*claim(cli_case.TWO))
        self.assertEqual({"CUSTOM_NIC": 3}, self.totals())
        (traits,) = [
            one["traits"] for one in self.published().values() if one["total"]
        ]
        self.assertIn("CUSTOM_NEW", traits)

    def test_a_changed_class_is_published_beside_the_one_in_use(self) -> None:
        self.configure(
            CLASS_SPEC.replace("NIC", "OTHER"),
            CLASS_ALIAS.replace('"NIC', '"OTHER'),
        )
        self.ok("inventory", "report")
        self.assertEqual({"CUSTOM_NIC": 1, "CUSTOM_OTHER": 2}, self.totals())
        self.assertEqual([], self.json("inventory", "diff"))
        self.ok("claim", "delete", cli_case.ONE)
        self.ok("inventory", "report")
        self.assertEqual({"CUSTOM_OTHER": 3}, self.totals())


class InUseTest(cli_case.CliTestCase):
    """Others hold what the configuration gives away no more."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=7))
        self.configure(CLASS_SPEC, CLASS_ALIAS)
        self.ok("inventory", "report")
        listed = self.placement.find("compute-1_0000:25:00.0")
        assert listed is not None
        self.placement.put_allocations(
            cli_case.THREE,
            client.Allocations({listed.uuid: {"CUSTOM_NIC": 5}}),
        )
        self.configure(
            CLASS_SPEC.replace(IDS, '"address": "0000:25:00.4"'), CLASS_ALIAS
        )

    def test_what_stays_is_told_as_long_as_it_stays(self) -> None:
        stays = (
            "warning: CUSTOM_NIC of compute-1_0000:25:00.0 stays at 5 where"
            " 1 would be right: so many are in use"
        )
        for words in (
            ("inventory", "diff"),
            ("inventory", "report", "--dry-run"),
            ("inventory", "report"),
            ("inventory", "diff"),
            ("inventory", "report", "--dry-run"),
            ("inventory", "report"),
        ):
            done = self.ok(*words, status=1)
            self.assertIn(stays, done.err)
            self.assertNotIn("Placement is as it shall be", done.err)
        self.assertIn("nothing more is to be changed", done.err)

    def test_it_is_shown_as_a_report_leaves_it(self) -> None:
        for words in (("inventory", "show"), ("inventory", "report")):
            self.run_cli(*words)
            (row,) = self.json("inventory", "show")
            self.assertEqual((5, 5), (row["total"], row["used"]))


class OneCardTest(cli_case.CliTestCase):
    """Nova publishes nothing, and one card can't be published."""

    def test_it_stands_in_no_other_devices_way(self) -> None:
        self.host(
            *check_host.card(vfs=2),
            check_host.Function("0000:43:00.0", "1af4:1041"),
        )
        self.configure(
            'device_spec = { "address": "0000:25:00.0" }',
            'device_spec = { "address": "0000:43:00.0",'
            ' "resource_class": "NET" }',
            'alias = { "name": "vf", "vendor_id": "8086",'
            ' "product_id": "10ca", "device_type": "type-VF" }',
            'alias = { "name": "net", "resource_class": "NET" }',
        )
        conf = pathlib.Path("nova.conf")
        conf.write_text(
            conf.read_text().replace("report_in_placement = true", "")
        )
        self.ok("config", "check", status=1)
        self.ok("device", "sync")
        self.ok(*claim(cli_case.ONE, "net:1"))
        said = self.fails_with_findings(*claim(cli_case.TWO, "vf:1"))
        self.assertIn("nova.conf:", said)
        self.assertEqual(1, len(self.json("claim", "list")))
        self.fails_with_findings("inventory", "report")

    def test_what_is_refused_is_called_an_error(self) -> None:
        self.host(check_host.Function("0000:43:00.0", "1af4:1041"))
        self.configure(
            'device_spec = { "address": "0000:43:00.0",'
            f' "resource_class": "{"A" * 250}" }}',
            f'alias = {{ "name": "net", "resource_class": "{"A" * 250}" }}',
        )
        self.assertIn(
            "warning: the resource class is published with 257",
            self.ok("config", "check", status=1).out,
        )
        self.ok("device", "sync")
        for words in (
            claim(cli_case.ONE, "net:1"),
            ("inventory", "show"),
            ("inventory", "diff"),
            ("inventory", "report"),
        ):
            said = self.fails_with_findings(*words)
            self.assertIn("error: a resource class", said)
            self.assertNotIn("warning", said)

    def fails_with_findings(self, *words: str) -> str:
        done = self.ok(*words, status=2)
        self.assertIn("error: Placement can't describe", done.err)
        return done.err


class OddAnswerTest(ServiceCase):
    def test_an_answer_that_is_not_placements(self) -> None:
        for body in ('{"x": 1}', '{"resource_providers": 5}', "[]"):
            odd = Answer(200, body)
            self.faults.rules.append(
                lambda _, path, odd=odd: (  # type: ignore[misc]
                    odd if path.startswith("/resource_providers") else None
                )
            )
            for words in (REPORT, CLAIM, ("inventory", "diff")):
                said = self.fails(*words)
                self.assertIn("no answer of Placement's came from", said)
            self.faults.rules.clear()
            self.assertEqual([], self.json("claim", "list"))

    def test_a_write_that_somebody_else_answers_is_not_done(self) -> None:
        self.ok(*REPORT)
        self.faults.rules.append(
            lambda method, path: (
                Answer(200, "<html>hi</html>")
                if method != "GET" and path.startswith("/allocations")
                else None
            )
        )
        said = self.refuses(*CLAIM)
        self.assertIn("no answer of Placement's came from", said)
