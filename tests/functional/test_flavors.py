# SPDX-License-Identifier: Apache-2.0
"""What flavors would get on a host, by the command."""

import json
import pathlib
import shutil
import typing as ty

from tests.functional import check_host, cli_case
from tests.functional.flavor_case import ALIASES, OURS, SPECS, FlavorCase


class AliasTest(FlavorCase):
    def test_each_alias_is_told_what_it_would_get(self) -> None:
        (row,) = self.check(*self.asked("fast:2"))
        self.assertEqual(
            {
                "asks": "fast:2",
                "state": "ready",
                "addresses": ["0000:26:00.5", "0000:26:00.4"],
                "pools": ["0000:26:00.0"],
                "providers": ["compute-1_0000:26:00.0"],
                "numa_nodes": [1],
                "at_once": 2,
                "guests": 1,
                "step": None,
                "why": None,
                "instead": [],
            },
            row,
        )

    def test_it_is_what_a_claim_then_gets(self) -> None:
        (row,) = self.check(*self.asked("nic:3"))
        (claim,) = self.json(
            "claim", "create", "--instance", cli_case.ONE, "--alias", "nic:3"
        )
        self.assertEqual(sorted(row["addresses"]), sorted(claim["addresses"]))

    def test_nothing_is_written(self) -> None:
        self.check(*self.asked("nic:1"))
        self.assertFalse(self.state.exists())

    def test_the_step_that_removed_the_last_candidate_is_named(self) -> None:
        for alias, step in (
            ("gpu:1", "ids and type"),
            ("faster:1", "resource class and traits"),
            ("nic:5", "count"),
        ):
            self.assertEqual(step, self.step(*self.asked(alias)), alias)

    def test_claims_are_a_step(self) -> None:
        self.ok("claim", "create", "--instance", cli_case.ONE, "--alias=nic:4")
        self.assertEqual("claims", self.step(*self.asked("nic:1")))

    def test_a_verdict_is_a_step_and_gives_its_reason(self) -> None:
        shutil.rmtree("host")
        self.host(*check_host.card(vfs=2, driver=None, node=1))
        self.configure(SPECS[0].replace(" }", ', "managed": "no" }'), *ALIASES)
        (row,) = self.check(*self.asked("nic:1"))
        self.assertEqual("preparable", row["state"])
        shutil.rmtree("host")
        self.host(
            *(
                function
                if function.physfn is None
                else check_host.Function(
                    function.address,
                    driver="vfio-pci",
                    group=None,
                    physfn=function.physfn,
                )
                for function in check_host.card(vfs=2)
            )
        )
        (row,) = self.check(*self.asked("nic:1"), status=1)
        self.assertEqual("verdict", row["step"])
        self.assertIn("VFIO5", row["why"])

    def test_nothing_tracked_is_a_step(self) -> None:
        self.configure(*ALIASES)
        self.assertEqual("device_spec", self.step(*self.asked("nic:1")))

    def test_a_guest_with_a_numa_node_has_all_near_it(self) -> None:
        nodes = ("--property", "hw:numa_nodes=1")
        (row,) = self.check(*self.asked("nic:2"), *nodes)
        self.assertEqual((1, 2), (len(row["numa_nodes"]), row["guests"]))
        self.assertEqual(
            "NUMA policy", self.step(*self.asked("nic:3"), *nodes)
        )
        (row,) = self.check(
            *self.asked("nic:3"),
            *nodes,
            "--property",
            "hw:pci_numa_affinity_policy=preferred",
        )
        self.assertEqual("ready", row["state"])

    def test_what_one_guest_can_not_have_together_is_told(self) -> None:
        rows = self.check(*self.asked("nic:3,fast:2"), status=1)
        self.assertEqual({"all at once"}, {row["step"] for row in rows})
        self.assertEqual({0}, {row["guests"] for row in rows})


class GroupTest(FlavorCase):
    def groups(self, *lines: str, status: int = 0) -> list[ty.Any]:
        words = [word for line in lines for word in ("--property", line)]
        return self.check(*words, status=status)

    def test_a_group_is_served_by_one_provider(self) -> None:
        (row,) = self.groups("resources1:CUSTOM_NIC=2")
        self.assertEqual(
            ("ready", 2, 1),
            (row["state"], row["guests"], len(row["providers"])),
        )
        (row,) = self.groups("resources1:CUSTOM_NIC=3", status=1)
        self.assertEqual("free units", row["step"])

    def test_traits_are_compared(self) -> None:
        one = "resources1:CUSTOM_NIC=1"
        (row,) = self.groups(one, "trait1:CUSTOM_FAST=required")
        self.assertEqual(["compute-1_0000:26:00.0"], row["providers"])
        (row,) = self.groups(one, "trait1:CUSTOM_FAST=forbidden")
        self.assertEqual(["compute-1_0000:25:00.0"], row["providers"])
        (row,) = self.groups(one, "trait1:CUSTOM_X=required", status=1)
        self.assertEqual("traits", row["step"])
        (row,) = self.groups("resources1:CUSTOM_X=1", status=1)
        self.assertEqual("resource class", row["step"])

    def test_groups_that_are_isolated_have_a_provider_each(self) -> None:
        names = [f"resources{n}:CUSTOM_NIC=1" for n in (1, 2, 3)]
        rows = self.groups(*names, "group_policy=none")
        self.assertEqual([1] * 3, [row["guests"] for row in rows])
        rows = self.groups(*names[:2], "group_policy=isolate")
        self.assertEqual(2, rows[0]["guests"])
        rows = self.groups(*names, "group_policy=isolate", status=1)
        self.assertEqual({"group_policy"}, {row["step"] for row in rows})

    def test_what_is_used_is_not_there(self) -> None:
        self.ok(
            "claim", "create", "--instance", cli_case.ONE, "--alias=fast:2"
        )
        (row,) = self.groups("resources1:CUSTOM_NIC=1")
        self.assertEqual(["compute-1_0000:25:00.0"], row["providers"])

    def test_processors_and_memory_are_no_devices(self) -> None:
        self.assertEqual([], self.groups("resources:VCPU=0", "a:b=c"))
        self.assertIn(
            "it asks for no device",
            self.ok("flavor", "check", "--property", "a=b").err,
        )


class GivenTest(FlavorCase):
    def test_a_file_is_extra_specs_or_what_openstack_prints(self) -> None:
        specs = {"pci_passthrough:alias": "nic:1"}
        text = "pci_passthrough:alias='nic:1'"
        for data in (
            specs,
            {"name": "small", "properties": specs},
            {"name": "small", "properties": text},
        ):
            pathlib.Path("f.json").write_text(json.dumps(data))
            (row,) = self.check("f.json")
            self.assertEqual("nic:1", row["asks"])
            (row,) = self.check("f.json", *self.asked("fast:1"))
            self.assertEqual("fast:1", row["asks"])

    def test_a_mistake_is_shown_in_its_line(self) -> None:
        pathlib.Path("f.json").write_text(
            '{\n  "pci_passthrough:alias": "nci:1"\n}'
        )
        self.assertEqual(
            "error: f.json can't be served by any host\n"
            "f.json:2:29: error: alias 'nci' is not defined [VFIO151]\n"
            '      "pci_passthrough:alias": "nci:1"\n'
            "                                ^^^\n"
            "    did you mean 'nic'?\n",
            self.fails("flavor", "check", "f.json"),
        )

    def test_what_is_no_flavor_is_refused(self) -> None:
        pathlib.Path("f.json").write_text("[")
        for words in (("f.json",), ("missing.json",), (), (".",)):
            self.fails("flavor", "check", *words)

    def test_a_cloud_that_is_not_known_is_refused(self) -> None:
        self.assertIn(
            "clouds.yaml", self.fails("flavor", "list", "--os-cloud", "x")
        )
        self.fails("flavor", "check", "a", "--os-cloud", "x")
        self.assertIn("name", self.fails("flavor", "check", "--os-cloud", "x"))

    def test_a_cloud_that_can_not_be_reached_is_an_error(self) -> None:
        auth = {"endpoint": "http://127.0.0.1:9/", "token": "t"}
        self.use_clouds({"x": {"auth_type": "admin_token", "auth": auth}})
        said = self.fails("flavor", "list", "--os-cloud", "x")
        self.assertIn("error: cloud x: ", said)
        self.assertIn("http://127.0.0.1:9/", said)


class OwnerTest(FlavorCase):
    """A cloud's Placement, in which our providers are not Nova's."""

    def setUp(self) -> None:
        super().setUp()
        self.configure(
            *SPECS,
            *ALIASES,
            tail=OURS,
        )

    def test_an_alias_gets_nothing_and_the_class_is_asked_for_instead(
        self,
    ) -> None:
        pathlib.Path("f.json").write_text(
            json.dumps(
                {
                    "name": "two fast",
                    "properties": {"pci_passthrough:alias": "nic:1,fast:1"},
                }
            )
        )
        rows = self.check("f.json", status=1)
        self.assertEqual({"OWNER_NOVA"}, {row["step"] for row in rows})
        unset = "openstack flavor unset 'two fast' --property"
        put = "openstack flavor set 'two fast' --property"
        lines = [
            f"{unset} pci_passthrough:alias",
            (
                f"{put} resources1:CUSTOM_NIC=1"
                " --property resources2:CUSTOM_NIC=1"
                " --property trait2:CUSTOM_FAST=required"
                " --property group_policy=none"
            ),
        ]
        self.assertEqual(lines, rows[0]["instead"])
        done = self.ok("flavor", "check", "f.json", status=1)
        self.assertIn("[VFIO156]", done.err)
        for line in lines:
            self.assertIn(f"{line}\n", done.err)

    def test_groups_are_unknown_where_placement_can_not_be_asked(self) -> None:
        (row,) = self.check("--property", "resources1:CUSTOM_NIC=1", status=1)
        self.assertEqual("unknown", row["state"])

    def test_beside_nova_an_alias_is_nova_s_to_serve(self) -> None:
        text = pathlib.Path("nova.conf").read_text()
        pathlib.Path("nova.conf").write_text(
            text.replace("nova_compute = no", "nova_compute = yes")
        )
        (row,) = self.check(*self.asked("nic:1"))
        self.assertEqual("ready", row["state"])
