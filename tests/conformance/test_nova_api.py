# SPDX-License-Identifier: Apache-2.0
"""Flavors of a real nova-api, through openstacksdk."""

import shlex

from tests.conformance import nova_api
from tests.functional import flavor_case

ALIAS = "pci_passthrough:alias"


class FlavorsOfACloud(flavor_case.FlavorCase):
    """One server for each test."""

    def setUp(self) -> None:
        super().setUp()
        self.nova = self.useFixture(nova_api.NovaApi())
        self.clouds(nova_api.TOKEN)

    def clouds(self, token: str) -> None:
        auth = {"endpoint": self.nova.url, "token": token}
        cloud = {"auth_type": "admin_token", "auth": auth}
        self.use_clouds({"mine": cloud})

    def test_each_flavor_has_a_line(self) -> None:
        self.assertIn(
            "the cloud has no flavors",
            self.ok("flavor", "list", "--os-cloud", "mine").err,
        )
        self.nova.add("a-plain")
        self.nova.add("b-fast", {ALIAS: "fast:2"}, nova_api.STRICT)
        self.nova.add("c-hidden", {ALIAS: "nic:1"}, public=False)
        self.nova.add("d-gpu", {ALIAS: "gpu:1"})
        rows = self.json("flavor", "list", "--os-cloud", "mine")
        self.assertEqual(
            [
                ("a-plain", [], None, None),
                ("b-fast", ["fast:2"], "ready", 1),
                ("c-hidden", ["nic:1"], "ready", 4),
                ("d-gpu", ["gpu:1"], "none", 0),
            ],
            [
                (row["name"], row["asks"], row["state"], row["guests"])
                for row in rows
            ],
        )
        # What older microversions let through no host can serve.
        self.nova.add("e-odd", {"resource1:CUSTOM_NIC": "1"})
        rows = self.json("flavor", "list", "--os-cloud", "mine", status=1)
        self.assertEqual(
            ("invalid", "VFIO153"),
            (
                rows[-1]["state"],
                rows[-1]["step"],
            ),
        )

    def test_one_is_checked_by_its_name(self) -> None:
        self.nova.add("fast", {ALIAS: "fast:1"})
        cloud = ("--os-cloud", "mine")
        (row,) = self.check("fast", *cloud)
        self.assertEqual(["0000:26:00.5"], row["addresses"])
        (row,) = self.check("fast", *cloud, *self.asked("nic:1"))
        self.assertEqual("nic:1", row["asks"])
        self.assertIn(
            "no flavor 'slow'", self.fails("flavor", "check", "slow", *cloud)
        )
        self.nova.add("wrong", {ALIAS: "fsat:1"})
        self.assertIn(
            "flavor wrong:1:23: error: alias 'fsat' is not defined",
            self.fails("flavor", "check", "wrong", *cloud),
        )

    def test_who_is_refused_is_told(self) -> None:
        self.clouds("another")
        said = self.fails("flavor", "list", "--os-cloud", "mine")
        self.assertIn("cloud mine: ", said)
        self.assertIn("401", said)

    def test_nova_takes_the_line_that_is_to_be_pasted(self) -> None:
        self.configure(
            *flavor_case.SPECS, *flavor_case.ALIASES, tail=flavor_case.OURS
        )
        self.nova.add("two", {ALIAS: "nic:1,fast:1"})
        rows = self.check("two", "--os-cloud", "mine", status=1)
        unset, put = map(shlex.split, rows[0]["instead"])
        self.assertEqual(["flavor", "unset", "two"], unset[1:4])
        self.assertEqual(["flavor", "set", "two"], put[1:4])
        specs = dict(
            word.split("=", 1) for word in put[4:] if word != "--property"
        )
        answer = self.nova.set("two", specs, nova_api.STRICT)
        self.assertEqual(200, answer.status_code, answer.text)

    def test_nova_refuses_what_is_an_error_here(self) -> None:
        for line in (
            "pci_passthrough:aliases=nic:1",
            "pci_passthrough:alias=nic",
            "hw:pci_numa_affinity_policy=near",
            "resources1:NIC=1",
            "resources1:CUSTOM_NIC=one",
            "trait1:CUSTOM_FAST=yes",
            "group_policy=any",
        ):
            key, _, value = line.partition("=")
            self.fails("flavor", "check", "--property", line)
            if not self.nova.set("none", {}).ok:
                self.nova.add("none")
            answer = self.nova.set("none", {key: value}, nova_api.STRICT)
            self.assertEqual(400, answer.status_code, line)
