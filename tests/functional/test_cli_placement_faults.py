# SPDX-License-Identifier: Apache-2.0
"""A Placement service that fails, through the command line."""

import pathlib
import time
import typing as ty

from nova_vfio_variant.testing import placement
from tests.functional import check_host, cli_case
from tests.functional.placement_case import Answer
from tests.functional.service_case import CLAIM, NICS, REPORT, ServiceCase

if ty.TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class DownTest(ServiceCase):
    def test_one_that_is_down(self) -> None:
        self.point_at("http://127.0.0.1:9")
        self.stops("http://127.0.0.1:9")
        self.fails("inventory", "diff")
        shown = self.ok("inventory", "show", "-f", "json")
        self.assertEqual([None, None], [one["used"] for one in shown.json])
        self.assertIn("usage is unknown: ", shown.err)
        checked = self.ok("config", "check", status=1)
        self.assertIn("127.0.0.1:9", checked.out)

    def test_one_that_is_slow(self) -> None:
        self.point_at(self.server.url, "timeout = 1\n")
        self.faults.rules.append(lambda *_: time.sleep(1.5))
        begun = time.monotonic()
        self.stops("")
        self.assertLess(time.monotonic() - begun, 30)

    def test_one_that_refuses_us(self) -> None:
        for status in (401, 403):
            self.faults.rules[:] = [lambda *_, n=status: Answer(n)]
            self.stops(
                f"the Placement service is refused to us: HTTP {status}"
            )

    def test_one_that_is_something_else(self) -> None:
        self.faults.rules.append(lambda *_: Answer(200, "<html>hi</html>"))
        self.stops("")

    def test_a_section_that_does_not_say_how_to_reach_it(self) -> None:
        conf = pathlib.Path("nova.conf")
        conf.write_text(conf.read_text().replace("auth_type", "# auth_type"))
        self.stops("[placement] has no auth_type")

    def test_options_that_lead_nowhere(self) -> None:
        """What is raised by none of the libraries that we call."""
        https = "https://127.0.0.1:9"
        for url, more in (
            (https, "cafile = /nope\n"),
            (https, "certfile = /nope\n"),
            (self.server.url, "timeout = -1\n"),
            ("http://[::1", ""),
            ("http://\u00fc..x", ""),
        ):
            self.point_at(url, more)
            for words in (REPORT, CLAIM):
                said = self.refuses(*words)
                self.assertIn("can't be used: ", said.splitlines()[0])
                self.assertIn("hint: look at the options in [placement]", said)
            shown = self.json("inventory", "show")
            self.assertEqual([None, None], [one["used"] for one in shown])
            checked = self.ok("config", "check", status=1)
            self.assertIn("VFIO404", checked.out)

    def test_a_password_in_its_url_is_shown_to_nobody(self) -> None:
        for name in ("endpoint", "endpoint_override"):
            self.point_at(self.server.url, f"{name} = http://u:s3cr@t@[::1\n")
            for words in (
                REPORT,
                CLAIM,
                ("inventory", "show"),
                ("config", "check"),
            ):
                done = self.run_cli(*words)
                self.assertNotIn("s3cr", done.out + done.err)
        self.assertIn("http://u:***@[::1", done.out + done.err)

    def test_a_way_to_authenticate_that_leads_nowhere(self) -> None:
        """One clear line, without what the libraries log."""
        keystone = "auth_type = password\nusername = u\npassword = p\n"
        for lines, said in (
            (f"{keystone}auth_url = http://[::1\n", "Invalid IPv6 URL"),
            (f"{keystone}auth_url = http://127.0.0.1:9\n", "127.0.0.1:9"),
            ("auth_type = pasword\n", "pasword"),
            (
                "auth_type = none\nendpoint_override = http://h.invalid\n",
                "h.invalid",
            ),
            (
                "auth_type = none\nvalid_interfaces = foo\n",
                "'foo' is not a valid value",
            ),
        ):
            self.configure(
                *NICS,
                tail=f"[vfio]\nplacement = service\n[placement]\n{lines}",
            )
            self.stops(said)

    def test_a_claim_is_kept_while_it_cannot_be_taken_back(self) -> None:
        self.ok(*CLAIM)
        self.point_at("http://127.0.0.1:9")
        self.fails("claim", "delete", cli_case.ONE)
        (kept,) = self.json("claim", "list")
        self.assertEqual("releasing", kept["status"])
        self.point_at(self.server.url)
        self.ok("claim", "delete", cli_case.ONE)
        self.assertEqual([], self.json("claim", "list"))
        self.assertEqual({}, self.allocations(cli_case.ONE))


class ConflictTest(ServiceCase):
    def test_409_again_and_again_is_given_up(self) -> None:
        self.ok(*REPORT)
        self.host_grows()
        before = self.published()
        self.disturb()
        self.assertIn("5 times", self.fails(*REPORT))
        self.faults.rules.clear()
        self.assertEqual(before, self.published())
        self.faults.rules[:] = [
            lambda method, _: (
                Answer(409, code="placement.concurrent_update")
                if method == "PUT"
                else None
            )
        ]
        for words in (REPORT, CLAIM):
            self.assertIn("5 times", self.refuses(*words))

    def host_grows(self) -> None:
        """A third VF of the second card, tracked and not yet published."""
        check_host.build(
            pathlib.Path("larger"),
            [
                *check_host.card(vfs=2, driver=None),
                *check_host.card(0x26, vfs=3),
            ],
        )
        self.options[1] = "--host-root=larger"
        self.ok("device", "sync")

    def test_another_writer_now_and_then_is_waited_for(self) -> None:
        left = [2]

        def rule(method: str, path: str) -> Answer | None:
            if method == "PUT" and "inventories" in path and left[0]:
                left[0] -= 1
                return Answer(409, code="placement.concurrent_update")
            return None

        self.faults.rules.append(rule)
        self.ok(*REPORT)
        self.assertEqual(0, left[0])
        self.assertEqual([], self.json("inventory", "diff"))


class HalfWayTest(ServiceCase):
    """Status 500 to one write, whether or not it was done."""

    def at_each_write(self, *words: str) -> int:
        number = 0
        while True:
            number += 1
            for reached in (False, True):
                left = [number]

                def rule(
                    method: str,
                    _: str,
                    left: list[int] = left,
                    reached: bool = reached,
                ) -> Answer | None:
                    left[0] -= method != "GET"
                    if method != "GET" and left[0] == 0:
                        return Answer(500, reached=reached)
                    return None

                before = self.state_of_all()
                self.faults.rules[:] = [rule]
                done = self.run_cli(*words)
                if done.status == 0:
                    self.assertGreater(left[0], 0)
                    self.faults.rules.clear()
                    return number
                self.assertEqual(2, done.status, str(done))
                self.assertIn("500", done.err.splitlines()[0])
                self.assertEqual(before, self.state_of_all(), str(done))

    def state_of_all(self) -> object:
        """What users see; generations move when something is put back."""
        self.faults.rules.clear()
        return (
            self.json("device", "list"),
            self.json("claim", "list"),
            self.published(),
            self.allocations(cli_case.ONE),
        )

    def test_a_report_is_put_back(self) -> None:
        # The class, the trait, the root; two children in three writes each.
        self.assertEqual(10, self.at_each_write(*REPORT))
        self.assertEqual([], self.json("inventory", "diff"))

    def test_a_claim_is_put_back(self) -> None:
        self.ok(*REPORT)
        self.assertEqual(2, self.at_each_write(*CLAIM))
        self.assertEqual(1, len(self.json("claim", "list")))

    def test_a_claim_whose_fate_is_unknown_is_kept_and_finished(self) -> None:
        self.ok(*REPORT)
        dead: list[bool] = []

        def rule(method: str, path: str) -> Answer | None:
            if method != "GET" and path.startswith("/allocations"):
                dead.append(True)
                return Answer(500, reached=True)
            return Answer(500) if dead else None

        self.faults.rules.append(rule)
        said = self.fails(*CLAIM)
        self.assertIn("its claim is kept", said.splitlines()[0])
        self.assertIn("hint: the same claim again finishes it", said)
        (kept,) = self.json("claim", "list")
        self.assertEqual("claimed", kept["status"])
        self.faults.rules.clear()
        (again,) = self.json(*CLAIM)
        self.assertEqual("prepared", again["status"])
        self.assertEqual(kept["addresses"], again["addresses"])
        used = self.allocations(cli_case.ONE).values()
        self.assertEqual(2, sum(one["CUSTOM_NIC"] for one in used))


class OthersTest(ServiceCase):
    def test_nothing_is_published_that_nova_does_not_publish(self) -> None:
        conf = pathlib.Path("nova.conf")
        conf.write_text(
            conf.read_text().replace(
                "report_in_placement = true", "report_in_placement = false"
            )
        )
        self.stops("[pci] report_in_placement is off: Nova would")

    def test_below_a_root_of_novas_nothing_is_written(self) -> None:
        made = self.placement._cloud.placement.post(
            "/resource_providers",
            json={"name": "compute-1"},
            microversion="1.38",
        )
        self.assertEqual(200, made.status_code)
        self.stops("compute-1")
        self.assertEqual(
            {"add"},
            {
                one["change"]
                for one in self.json("inventory", "diff", status=1)
            },
        )

    def test_a_service_without_keystone_needs_no_token(self) -> None:
        def with_token(application: "WSGIApplication") -> "WSGIApplication":
            def answer(
                environ: "WSGIEnvironment", start_response: "StartResponse"
            ) -> ty.Iterable[bytes]:
                environ["HTTP_X_AUTH_TOKEN"] = "admin"
                return application(environ, start_response)

            return answer

        server = self.useFixture(placement.PlacementServer(with_token))
        self.embedded = server.embedded
        self.configure(
            *NICS,
            tail=(
                "[vfio]\nplacement = service\n[placement]\nauth_type = none\n"
                f"endpoint_override = {server.url}\n"
            ),
        )
        self.ok(*CLAIM)
        self.assertEqual(
            {"compute-1", "compute-1_0000:25:00.0", "compute-1_0000:26:00.0"},
            set(self.published()) | {"compute-1_0000:26:00.0"},
        )
