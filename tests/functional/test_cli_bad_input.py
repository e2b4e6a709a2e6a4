# SPDX-License-Identifier: Apache-2.0
"""What is wrong is said in a line with its place, and changes nothing."""

import io
import pathlib
import re
import shutil
import sqlite3
import tarfile
import time

from tests.functional import check_host, cli_case

NICS = (
    'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
    ' "address": "0000:25:*.*" }'
)
NIC = (
    'alias = { "name": "nic", "vendor_id": "8086", "product_id": "10ca",'
    ' "device_type": "type-VF" }'
)
#: Each command that writes, as a user would try it.
WRITERS = (
    ("device", "sync"),
    ("inventory", "report"),
    ("claim", "create", "--instance", cli_case.TWO, "--alias", "nic:1"),
)
HOSTS = cli_case.EXAMPLES / "hosts"


class BadInputCase(cli_case.CliTestCase):
    """A host with three VFs, one of them claimed."""

    def setUp(self) -> None:
        super().setUp()
        self.host(*check_host.card(vfs=3))
        self.configure(NICS, NIC)
        self.ok("claim", "create", "--instance", cli_case.ONE, "--alias=nic:1")

    def stops(self, *said: str) -> None:
        """Every writer says this and changes nothing."""
        for words in WRITERS:
            text = self.refuses(*words)
            for one in said:
                self.assertIn(one, text)


class NovaConfTest(BadInputCase):
    def line(self, text: str, *said: str) -> None:
        """A line of [pci] that is wrong; 7 lines are before it."""
        self.configure(NICS, text, NIC)
        self.stops("error: the configuration has an error; nothing", *said)
        checked = self.ok("config", "check", status=2)
        for one in said:
            self.assertIn(one, checked.out)

    def test_entries_that_cannot_be_used_are_explained_at_their_place(
        self,
    ) -> None:
        self.configure(
            "device_spec = { 'vendor_id': '8086' }",
            'device_spec = [5, { "vendor_id": 8086, "product_id": 1 }]',
            NICS,
        )
        rows = self.ok(
            "config", "explain", "0000:25:00.4", "-fjson", status=2
        ).json
        self.assertEqual(
            [
                (0, "nova.conf:7:17", "invalid"),
                (1, "nova.conf:8:16", "invalid"),
                (2, "nova.conf:8:34", "invalid"),
                (2, "nova.conf:8:54", "invalid"),
                (3, "nova.conf:9:15", "wins"),
                (3, "nova.conf:9:15", "makes"),
            ],
            list(
                dict.fromkeys(
                    (row["spec"], row["location"], row["verdict"])
                    for row in rows
                )
            ),
        )
        self.assertIn("[VFIO111]", rows[0]["note"])
        self.assertIsNone(rows[0]["matched"])

    def found(self, *lines: str) -> list[tuple[str, str]]:
        """The codes and places of what such a [pci] section has."""
        self.configure(*lines)
        done = self.ok("config", "check", "-fjson", status=2)
        return [(one["code"], one["location"]) for one in done.json]

    def test_a_name_that_names_nothing_hides_no_other_finding(self) -> None:
        lines = (
            NICS,
            'device_spec = { "address": "$foo" }',
            'device_spec = { "vendor_id": "0x8086", "product_id": "10ca" }',
            "device_spec = { 'vendor_id': '8086' }",
            'dev_spec = { "vendor_id": "8086" }',
        )
        self.assertEqual(
            [
                ("VFIO203", "nova.conf:9:15"),
                ("VFIO120", "nova.conf:9:30"),
                ("VFIO140", "nova.conf:11:1"),
                ("VFIO106", "nova.conf:8:29"),
                ("VFIO111", "nova.conf:10:17"),
            ],
            self.found(*lines),
        )
        self.stops("nova.conf:8:29: error: $foo names no option")

    def test_an_option_that_can_t_be_used_hides_no_other_text(self) -> None:
        # What the others mean may hang on it, and is not told.
        self.assertEqual(
            [("VFIO103", "nova.conf:7:23"), ("VFIO111", "nova.conf:9:17")],
            self.found(
                "report_in_placement = perhaps",
                'device_spec = { "address": "", "one_time_use": "yes" }',
                "device_spec = { 'vendor_id': '8086' }",
            ),
        )

    def test_nor_does_one_of_the_database(self) -> None:
        self.assertEqual(
            [("VFIO111", "nova.conf:7:17"), ("VFIO106", "nova.conf:9:14")],
            self.found(
                "device_spec = { 'vendor_id': '8086' }",
                "[database]",
                "connection = $foo",
            ),
        )

    def test_groups_of_types_are_not_judged_without_the_types(self) -> None:
        self.assertEqual(
            [("VFIO106", "nova.conf:8:22")],
            self.found(
                "[devices]",
                "enabled_mdev_types = $foo",
                "[mdev_nvidia-35]",
                "max_instances = 4",
            ),
        )

    def test_an_alias_is_not_judged_without_knowing_of_placement(self) -> None:
        self.assertEqual(
            [("VFIO103", "nova.conf:9:20")],
            self.found(
                'alias = { "name": "a", "resource_class": "A" }',
                "[filter_scheduler]",
                "pci_in_placement = perhaps",
            ),
        )

    def test_json_that_does_not_parse(self) -> None:
        self.line(
            'device_spec = { "vendor_id": "8086" "product_id": "10ca" }',
            "nova.conf:8:37: error: not JSON: a comma is expected",
        )

    def test_a_key_without_quotes_is_named(self) -> None:
        self.line(
            'device_spec = { "address": "0000:25:00.4", managed: "no" }',
            "nova.conf:8:44: error: key managed lacks its double quotes",
            'Write "managed".',
        )

    def test_a_number_where_a_string_belongs(self) -> None:
        self.line(
            'device_spec = { "vendor_id": 8086 }',
            "nova.conf:8:30: error: vendor_id is a number, and a string is"
            " expected",
            'Write "8086".',
        )

    def test_an_unknown_key_with_the_nearest_known_one(self) -> None:
        self.line(
            'device_spec = { "product_id": "10ca", "mangaed": "no" }',
            "nova.conf:8:39: error: unknown key 'mangaed'",
            "Did you mean 'managed'?",
        )

    def test_an_address_out_of_range(self) -> None:
        self.line(
            'device_spec = { "address": "0000:25:20.0" }',
            "nova.conf:8:28: error: address: slot '20' is greater than 1f",
        )

    def test_a_word_that_is_neither_yes_nor_no(self) -> None:
        self.line(
            'device_spec = { "address": "0000:25:00.4", "managed": "maybe" }',
            "nova.conf:8:55: error: managed is 'maybe', which is neither yes"
            " nor no",
        )

    def test_a_bad_regular_expression(self) -> None:
        self.line(
            'device_spec = { "address": { "bus": "2[5" } }',
            "nova.conf:8:37: error: bus '2[5' is no regular expression",
        )

    def test_a_regular_expression_that_backtracks_for_ever(self) -> None:
        begun = time.monotonic()
        self.line(
            'device_spec = { "address": { "bus": "((((2*)*)*)*)*x" } }',
            "nova.conf:8:37: error: bus: matching the regular expression"
            " '((((2*)*)*)*)*x' may take for ever",
        )
        self.assertLess(time.monotonic() - begun, 60)

    def test_one_that_would_only_when_it_must_fit_the_whole(self) -> None:
        # Its first branch fits the beginning at once, as Nova asks it.
        self.configure(
            'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
            f' "address": {{ "domain": "0|{"0*" * 200}x" }} }}',
            NIC,
        )
        begun = time.monotonic()
        self.ok("device", "sync")
        checked = self.ok("config", "check", status=1)
        self.assertIn("also matches 0000", checked.out)
        self.assertLess(time.monotonic() - begun, 30)

    def test_an_alias_without_a_name(self) -> None:
        self.line(
            'alias = { "vendor_id": "8086", "product_id": "10ca" }',
            "nova.conf:8:9: error: the alias has no name",
        )

    def test_a_name_too_long_for_placement_is_not_sent(self) -> None:
        """Nova starts with it: it stops what publishes, and nothing else."""
        for key, word, stopped in (
            # The alias asks for another class.
            ("resource_class", "resource class", WRITERS[1:2]),
            ("traits", "trait", WRITERS[1:]),
        ):
            spec = (
                'device_spec = { "vendor_id": "8086", "product_id": "10ca",'
                f' "{key}": "{"A" * 249}" }}'
            )
            self.configure(spec, NIC)
            self.ok("claim", "delete", cli_case.ONE, status=0)
            self.ok("device", "sync")
            checked = self.json("config", "check", status=1)
            self.assertIn("VFIO210", [one["code"] for one in checked])
            said = (
                rf"nova.conf:7:\d+: error: a {word} of 0000:25:00.4 has"
                r" 256 characters, and Placement takes 255 \[VFIO210\]"
            )
            for words in stopped:
                text = self.refuses(*words)
                self.assertRegex(text, said)
                self.assertTrue(
                    text.startswith("error: Placement can't describe"), text
                )
            self.configure(NICS, NIC)
            self.ok(
                "claim", "create", "--instance", cli_case.ONE, "--alias=nic:1"
            )

    def test_every_error_of_a_file_is_said_at_once(self) -> None:
        self.configure(
            'device_spec = { "vendor_id": 8086 }',
            'device_spec = { "product_id": "10ca", "adress": "25:00.4" }',
        )
        self.stops("2 errors", "nova.conf:7:", "nova.conf:8:")


class LongTest(BadInputCase):
    """What is quoted may be of any length."""

    LONG = "x" * 1_000_000
    #: Characters that a person reads of one thing.
    MOST = 25_000

    def assert_short(self, *words: str) -> str:
        done = self.run_cli(*words)
        self.assertEqual(2, done.status, str(words))
        said = done.out + done.err
        self.assertLess(len(said), self.MOST, str(words))
        return said

    def test_values_are_cut_and_their_place_is_told(self) -> None:
        for value in (
            f'{{"vendor_id": "{self.LONG}"}}',
            f'{{"{self.LONG}": "1"}}',
            f'{{"vendor_id": "8086", "address": "{self.LONG}"}}',
            f'{{"vendor_id": "8086", "address": {{"bus": "{self.LONG}"}}}}',
            self.LONG,
        ):
            self.configure(f"device_spec = {value}")
            for words in (
                ("config", "check"),
                ("config", "check", "-f", "json"),
                ("device", "sync"),
            ):
                said = self.assert_short(*words)
                self.assertIn("nova.conf:", said)

    def test_names_of_options_are_cut(self) -> None:
        for tail in (
            f"[vfio]\nplacement = {self.LONG}\n",
            f"[vfio]\nprovider_layout = {self.LONG}\n",
            f"[vfio]\nplacement = service\n[placement]\ntimeout={self.LONG}\n",
        ):
            self.configure(NICS, tail=tail)
            self.assertIn("nova.conf:", self.assert_short("config", "check"))
        self.configure(NICS, tail=f"[vfio]\n{self.LONG} = 1\n")
        done = self.run_cli("config", "check")
        self.assertLess(len(done.out + done.err), self.MOST)

    def test_arguments_are_cut(self) -> None:
        for words in (
            ("device", "show", self.LONG),
            ("claim", "create", "--instance", self.LONG, "--alias", "a:1"),
            (
                "claim",
                "create",
                "--instance",
                cli_case.ONE,
                "--alias",
                self.LONG,
            ),
            ("--host-root", self.LONG, "host", "list"),
            ("host", "list", "--class", self.LONG),
        ):
            self.configure(NICS)
            self.assert_short(*words)


class FilesTest(BadInputCase):
    def test_a_file_that_is_not_utf8(self) -> None:
        conf = pathlib.Path("nova.conf")
        conf.write_bytes(conf.read_bytes() + b"# caf\xe9\n")
        self.stops("nova.conf:9:6: error: byte 0xe9 is not UTF-8")

    def test_a_file_that_is_not_there(self) -> None:
        pathlib.Path("nova.conf").unlink()
        self.stops("error: nova.conf: No such file or directory")

    def test_a_file_that_is_no_configuration(self) -> None:
        pathlib.Path("nova.conf").write_text("[pci\n")
        self.stops("nova.conf:1:1: error: ")

    def test_a_host_that_is_not_there(self) -> None:
        shutil.rmtree("host")
        self.stops("error: host root 'host' can't be used: No such file")


class RecordedHostTest(BadInputCase):
    """Recordings may come from anyone."""

    def setUp(self) -> None:
        super().setUp()
        self.options[1] = "--host-root=bad.tar.gz"
        self.bad = pathlib.Path("bad.tar.gz")

    def member(self, name: str, link: str = "", kind: bytes = b"") -> None:
        """A recording with a sound member and this one."""
        with tarfile.open(self.bad, "w:gz") as archive:
            sound = tarfile.TarInfo("proc/cmdline")
            sound.size = 6
            archive.addfile(sound, io.BytesIO(b"quiet\n"))
            evil = tarfile.TarInfo(name)
            if link:
                evil.type, evil.linkname = kind or tarfile.SYMTYPE, link
            archive.addfile(evil)

    def is_refused(self, why: str) -> None:
        self.stops("error: bad.tar.gz: ", why)
        self.assertIn(why, self.fails("host", "list"))

    def test_one_that_is_cut_off(self) -> None:
        whole = (HOSTS / "two-node-igb-nvme.tar.gz").read_bytes()
        for size in (len(whole) // 2, len(whole) - 4):
            self.bad.write_bytes(whole[:size])
            self.is_refused("cut off")

    def test_one_that_is_none(self) -> None:
        self.bad.write_text("hello")
        self.is_refused("no recorded host")

    def test_names_that_leave_it(self) -> None:
        self.member("sys/../../etc/passwd")
        self.is_refused("'sys/../../etc/passwd' leaves the recording")
        self.member("/etc/passwd")
        self.is_refused("'/etc/passwd' is an absolute name")

    def test_links_that_leave_it(self) -> None:
        for target in ("/etc", "../../etc"):
            self.member("sys/bus", target)
            self.is_refused("'sys/bus' is a link that leaves the recording")
        self.member("sys/bus", "proc/cmdline", tarfile.LNKTYPE)
        self.is_refused("neither a file, a directory nor a symbolic link")


class StateTest(BadInputCase):
    """A database that can't be used is left as it is."""

    def setUp(self) -> None:
        super().setUp()
        self.store = self.state / "nova-vfio.sqlite"

    def test_one_of_a_newer_version(self) -> None:
        with sqlite3.connect(self.store) as opened:
            opened.execute("UPDATE alembic_version SET version_num = '999'")
        opened.close()
        self.stops("newer version")
        self.assertIn("newer version", self.fails("device", "list"))

    def test_a_corrupt_one_is_kept_aside_and_named(self) -> None:
        self.store.write_bytes(b"garbage" * 1000)
        before = self.placement_rows()
        for words in (*WRITERS, ("device", "list"), ("claim", "list")):
            said = self.fails(*words)
            kept = re.search(r"it is kept as (\S+)", said)
            assert kept is not None, said
            aside = pathlib.Path(kept[1])
            self.assertEqual(self.store.read_bytes(), aside.read_bytes())
            self.assertIn("is corrupt", said.splitlines()[0])
        self.assertEqual(b"garbage" * 1000, self.store.read_bytes())
        self.assertEqual(before, self.placement_rows())
        # One is kept, however often it is found.
        self.assertEqual(1, len(list(self.state.glob("*.corrupt-*"))))

    def test_a_row_that_was_never_written_is_one_line_to_all_who_need_it(
        self,
    ) -> None:
        of_mdevs = (
            ("mdev", "list"),
            ("mdev", "definition", cli_case.TWO),
        )
        for into, status, commands in (
            (
                (
                    "vgpu_types VALUES ('0000:25:00.0', 'x', 'y', 1,"
                    """ '{"vendor_id": "8086", "product_id": "10ca"}')"""
                ),
                # It says what it knows without.
                0,
                (("vgpu", "types"),),
            ),
            (
                (
                    "mdevs (uuid, kind, assignment, since, attributes)"
                    f" VALUES ('{cli_case.TWO}', 'x', '', '', '[]')"
                ),
                2,
                of_mdevs,
            ),
        ):
            good = self.store.read_bytes()
            with sqlite3.connect(self.store) as opened:
                opened.execute(f"INSERT INTO {into}")
            opened.close()
            for words in commands:
                done = self.ok(*words, status=status)
                first, *_ = done.err.splitlines()
                self.assertRegex(first, "is corrupt .*it is kept as ")
                self.assertNotIn("--debug shows where", done.err)
                self.assertNotIn("Traceback", done.err)
            self.store.write_bytes(good)

    def placement_rows(self) -> list[str]:
        with sqlite3.connect(self.state / "placement.sqlite") as opened:
            rows = list(opened.iterdump())
        opened.close()
        return rows

    def test_a_corrupt_placement_is_said_to_be(self) -> None:
        # In a process that has not opened it yet.
        (self.state / "placement.sqlite").write_bytes(b"garbage" * 1000)
        for words in WRITERS[1:]:
            done = cli_case.program(*self.options, *words)
            self.assertEqual(2, done.returncode)
            self.assertIn("placement.sqlite can't be used", done.stderr)
            self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(1, len(self.json("claim", "list")))
