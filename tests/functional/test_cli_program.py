# SPDX-License-Identifier: Apache-2.0
"""The program itself: options, help, completion, pipes, an ordinary user."""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

import fixtures

from nova_vfio_variant.cli import main
from tests import base
from tests.functional import check_host, cli_case

NOBODY = 65534
DEMO = (
    f"--config-file={cli_case.EXAMPLES}/demo/nova.conf",
    f"--host-root={cli_case.EXAMPLES}/hosts/two-node-igb-nvme.tar.gz",
)


class WordsTest(cli_case.CliTestCase):
    """What is typed wrongly is one line and a hint, and status 2."""

    def says(self, said: str, *words: str) -> None:
        error, hint = self.fails(*words).splitlines()
        self.assertEqual(f"error: {said}", error)
        self.assertTrue(hint.startswith("hint: "), hint)

    def test_an_unknown_command_has_the_nearest_one_as_hint(self) -> None:
        said = self.fails("device", "sinc", "--dry-run")
        self.assertEqual(
            "error: 'device sinc' is no command of nova-vfio\n"
            "hint: did you mean device sync?\n",
            said,
        )
        self.assertIn(
            "did you mean claim adopt, claim create, claim delete,",
            self.fails("claim"),
        )
        self.assertEqual(1, len(self.fails("frobnicate").splitlines()))
        self.assertLess(len(self.fails("x" * 100_000)), 2000)

    def test_an_unknown_option_is_named_before_and_behind(self) -> None:
        self.says("unrecognized option --bogus", "--bogus", "device", "list")
        self.says("unrecognized arguments: --bogus", "host", "list", "--bogus")

    def test_options_without_a_command_are_no_shell(self) -> None:
        self.says("a command is missing")

    def test_what_an_option_cannot_be_is_said(self) -> None:
        self.says(
            "argument ADDRESS: '0000:25:20.0' is no PCI address such as"
            " 0000:25:00.4",
            *("host", "show", "0000:25:20.0"),
        )
        self.says(
            "the following arguments are required: --instance",
            *("claim", "create"),
        )
        self.says(
            "argument --numa: '0,x' is no list of NUMA nodes such as 0,1",
            *("claim", "create", "--numa", "0,x"),
        )
        self.says(
            "argument --config-file: expected one argument", "--config-file"
        )

    def test_cliffs_own_commands_end_like_ours(self) -> None:
        self.says(
            r"unrecognized arguments: --\u202ebogus",
            *("host", "--\u202ebogus", "--help"),
        )
        error, *_ = self.fails("complete", "--shell", "\x1b").splitlines()
        self.assertIn("argument --shell: invalid choice: ", error)

    def test_a_script_is_made_for_what_is_a_name_to_a_shell(self) -> None:
        for name in (
            "\x1b[2J",
            "a;touch ran",
            "$(touch ran)",
            "a\n",
            "a b",
            "\u00e9",
            "-x",
            "",
        ):
            error, *_ = self.fails("complete", f"--name={name}").splitlines()
            self.assertIn("argument --name: ", error)
            self.assertIn("is no name of a command", error)
            self.assertTrue(error.isprintable(), error)
        script = self.ok("complete", "--name", "nova_vfio-2.1").out
        self.assertIn("complete -F _nova_vfio_2.1 nova_vfio-2.1\n", script)

    def test_an_unknown_column_is_named(self) -> None:
        self.configure()
        self.host()
        done = self.ok("claim", "list", "-c", "bogus", status=2)
        self.assertEqual(
            "error: there is no column 'bogus'\n"
            "hint: the columns are instance_uuid, alias_name, addresses,"
            " status, vgpu_types, assignments, mdevs, assignment\n",
            done.err,
        )

    def test_quiet_says_nothing_beside_and_debug_says_where(self) -> None:
        self.configure()
        self.host()
        self.assertNotEqual("", self.ok("device", "list").err)
        self.assertEqual("", self.ok("-q", "device", "list").err)
        self.options[0] = "--config-file=none.conf"
        quiet = self.fails("-q", "device", "list")
        self.assertIn("none.conf", quiet)
        done = cli_case.program(*self.options, "--debug", "device", "list")
        self.assertIn("Traceback", done.stderr)
        self.assertIn(quiet, done.stderr)

    def test_every_command_has_an_example_that_it_takes(self) -> None:
        for name in (*main.COMMANDS, "complete", "help"):
            done = self.ok(*name.split(), "--help")
            last = done.out.rstrip().splitlines()
            at = next(n for n, line in enumerate(last) if "Example:" in line)
            shown = " ".join(" ".join(last[at:]).split())
            self.assertTrue(
                shown.startswith(f"Example: nova-vfio {name}"), shown
            )

    def test_help_lists_every_command_with_an_example(self) -> None:
        for words in (("--help",), ("help",)):
            done = self.ok(*words)
            for name in (*main.COMMANDS, "complete", "help"):
                self.assertIn(f"\n  {name} ", done.out)
                self.assertIn(f"\n  nova-vfio {name}", done.out)

    def test_each_example_is_a_line_that_is_taken(self) -> None:
        self.host()
        lines = [
            shlex.split(line)[1:]
            for line in self.ok("help").out.splitlines()
            if line.startswith("  nova-vfio ")
        ]
        self.assertEqual(len(main.COMMANDS) + 2, len(lines))
        for words in lines:
            if ">" in words:
                words = words[: words.index(">")]
            said = self.run_cli(*words).err
            for wrong in ("unrecognized", "required", "argument", "command"):
                self.assertNotIn(f"error: {wrong}", said)

    def test_completion_is_a_script_that_bash_reads(self) -> None:
        script = self.ok("complete").out
        for name in main.COMMANDS:
            group, _, word = name.rpartition(" ")
            variable = f"cmds_{group}=" if group else "cmds="
            (line,) = [
                one
                for one in script.splitlines()
                if one.strip().startswith(variable)
            ]
            self.assertIn(word, line.partition("=")[2].strip("'").split())
        read = subprocess.run(
            ["bash", "-n"],
            input=script,
            text=True,
            capture_output=True,
            check=True,
        )
        self.assertEqual("", read.stderr)


class ProgramTest(base.TestCase):
    def test_a_reader_that_has_seen_enough_ends_it_quietly(self) -> None:
        for words in ("host list", "config suggest", "device list -f csv"):
            told = subprocess.run(
                [
                    "bash",
                    "-c",
                    'set -o pipefail; "$@" | head -1',
                    "-",
                    cli_case.PROGRAM,
                    *DEMO,
                    *words.split(),
                ],
                text=True,
                capture_output=True,
                timeout=60,
                check=False,
            )
            self.assertEqual(1, len(told.stdout.splitlines()))
            self.assertNotIn("Error", told.stderr)
            self.assertNotIn("Traceback", told.stderr)

    def test_nothing_of_other_packages_is_loaded_to_show_devices(self) -> None:
        folder = pathlib.Path(tempfile.mkdtemp())
        info = folder / "stranger-1.0.dist-info"
        info.mkdir()
        info.joinpath("METADATA").write_text("Name: stranger\nVersion: 1.0\n")
        info.joinpath("entry_points.txt").write_text(
            "".join(
                f"[{namespace}]\nstranger = stranger:Stranger\n"
                for namespace in (
                    "cliff.formatter.list",
                    "cliff.formatter.show",
                    ".host_list",
                    ".host_show",
                )
            )
        )
        loaded = folder / "loaded"
        folder.joinpath("stranger.py").write_text(
            f"import pathlib\npathlib.Path({str(loaded)!r}).touch()\n"
            "class Stranger:\n    pass\n"
        )
        for words in (("host", "list"), ("host", "show", "0000:41:00.0")):
            subprocess.run(
                [cli_case.PROGRAM, *DEMO, *words, "-f", "json"],
                env={**os.environ, "PYTHONPATH": _with(folder)},
                capture_output=True,
                timeout=60,
                check=True,
            )
            self.assertFalse(loaded.exists(), words)

    def test_a_full_disk_is_said_to_be(self) -> None:
        for words in (
            *("--version", "host list --help", "complete --shell none"),
            *("host list -f json", "config suggest"),
        ):
            status, _, err = self.redirected(">/dev/full", *words.split())
            self.assertEqual(2, status)
            self.assertEqual(
                "error: standard output can't be written: No space left on"
                " device",
                err.splitlines()[-1],
            )

    def test_what_is_said_beside_a_result_can_not_spoil_it(self) -> None:
        for to in ("2>/dev/full", "2>&-"):
            status, out, _ = self.redirected(to, "host", "list", "-f", "json")
            self.assertEqual(0, status)
            self.assertTrue(json.loads(out))
            status, out, _ = self.redirected(to, "host", "show", "x")
            self.assertEqual((2, ""), (status, out))

    def test_who_closes_standard_output_wants_none(self) -> None:
        for words in ("--version", "host list", "host list -f csv"):
            status, out, err = self.redirected(">&- <&-", "-q", *words.split())
            self.assertEqual((0, "", ""), (status, out, err))

    def test_no_file_takes_the_place_of_a_closed_stream(self) -> None:
        # What were said on standard error would stand in it.
        state = self.useFixture(fixtures.TempDir()).path
        script = (
            "import os, sys; from nova_vfio_variant.cli import main;"
            " status = main.main();"
            " fd = os.open('/', os.O_RDONLY); sys.exit(status or fd < 3)"
        )
        words = [*DEMO, f"--state-path={state}", "device", "sync"]
        done = subprocess.run(
            [
                *("bash", "-c", '"$@" <&- >&- 2>&-', "-"),
                *(sys.executable, "-c", script, *words),
            ],
            timeout=60,
            check=False,
        )
        self.assertEqual(0, done.returncode)

    @staticmethod
    def redirected(to: str, *words: str) -> tuple[int, str, str]:
        """Status and what is said of a command, as a shell redirects it."""
        done = subprocess.run(
            [
                "bash",
                "-c",
                f'"$@" {to}',
                "-",
                cli_case.PROGRAM,
                *DEMO,
                *words,
            ],
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def test_a_terminal_that_lacks_a_letter_gets_its_number(self) -> None:
        conf = pathlib.Path(tempfile.mkdtemp(), "nova.conf")
        conf.write_text('[pci]\ndevice_spec = { "caf\u00e9": "1" }\n')
        done = cli_case.program(
            *(f"--config-file={conf}", "config", "check", "--offline"),
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        self.assertEqual((2, ""), (done.returncode, done.stderr))
        self.assertIn(r'{ "caf\xe9": "1" }', done.stdout)

    def test_standard_output_is_data_and_nothing_else(self) -> None:
        state = self.useFixture(fixtures.TempDir()).path
        for words in ("inventory report", "inventory show"):
            done = cli_case.program(
                *DEMO, f"--state-path={state}", *words.split(), "-f", "json"
            )
            self.assertEqual((0, ""), (done.returncode, done.stderr))
            self.assertTrue(json.loads(done.stdout))

    def test_the_live_machine_is_listed(self) -> None:
        folder = pathlib.Path("/sys/bus/pci/devices")
        there = sorted(
            path.name for path in (folder.iterdir() if folder.exists() else ())
        )
        done = cli_case.program("host", "list", "-f", "json")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        listed = json.loads(done.stdout)
        self.assertEqual(there, sorted(one["address"] for one in listed))


#: Whoever runs the tests may keep Python itself where others can't read it:
#: then the right to read is kept, and no other.
_AS_NOBODY = f"""
import os, sys
from oslo_privsep import capabilities
from nova_vfio_variant.cli import main
if os.geteuid() == 0:
    capabilities.set_keepcaps(True)
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
    capabilities.set_keepcaps(False)
    read = [os.access(one, os.R_OK) for one in (os.__file__, main.__file__)]
    kept = [capabilities.CAP_DAC_READ_SEARCH] if not all(read) else []
    capabilities.drop_all_caps_except(kept, kept, [])
sys.exit(main.main(sys.argv[1:]))
"""


class OrdinaryUserTest(base.TestCase):
    """Whoever only reads needs no rights and leaves nothing."""

    def test_reading_the_live_machine_creates_nothing(self) -> None:
        home = self.open_home()
        home.chmod(0o777)
        conf = home / "nova.conf"
        conf.write_text(
            "[pci]\ndevice_spec = "
            '{ "vendor_id": "ffff", "product_id": "ffff" }\n'
        )
        conf.chmod(0o644)
        for words, status in (
            ("host list", 0),
            ("config check", 1),
            ("config suggest", 0),
            ("device list", 0),
            ("device sync --dry-run", 0),
            ("claim list", 0),
            ("inventory show", 0),
            ("inventory diff", 0),
            ("inventory report --dry-run", 0),
            ("host plan", 0),
        ):
            done = self.as_nobody(
                home, "--config-file", str(conf), *words.split()
            )
            self.assertEqual(status, done.returncode, str(done))
            self.assertNotIn("error", done.stderr)
            self.assertEqual([conf], list(home.iterdir()))

    def test_another_user_s_state_is_read_as_far_as_it_goes(self) -> None:
        """Whose Placement is embedded can't be asked by others."""
        home = self.open_home()
        conf = home / "nova.conf"
        conf.write_text(
            "[DEFAULT]\nhost = n1\n[pci]\nreport_in_placement = true\n"
            "device_spec = "
            '{ "vendor_id": "8086", "product_id": "10ca" }\n'
        )
        check_host.build(home / "host", check_host.card(vfs=2))
        state = home / "state"
        options = (
            f"--config-file={conf}",
            f"--host-root={home / 'host'}",
            f"--state-path={state}",
        )
        done = cli_case.program(*options, "inventory", "report")
        self.assertEqual(0, done.returncode, str(done))
        before = sorted(path.name for path in state.iterdir())
        for path in (*state.iterdir(), state):
            path.chmod(0o555 if path.is_dir() else 0o444)
        self.addCleanup(state.chmod, 0o755)
        why = f"{state}/placement.sqlite can't be used: Permission denied"
        done = self.as_nobody(home, *options, "inventory", "show", "-f=json")
        self.assertEqual(0, done.returncode, str(done))
        self.assertIn("usage is unknown: ", done.stderr)
        self.assertIn(why, done.stderr)
        (shown,) = json.loads(done.stdout)
        self.assertEqual((2, None), (shown["total"], shown["used"]))
        done = self.as_nobody(home, *options, "config", "check", "-f=json")
        self.assertEqual(1, done.returncode, str(done))
        (found,) = json.loads(done.stdout)
        self.assertEqual("VFIO404", found["code"])
        self.assertIn(why, found["message"])
        self.assertIn("Run the command as the user who", found["hint"])
        self.assertIn("or give --offline", found["hint"])
        self.assertEqual("", done.stderr)
        for words in ("inventory diff", "inventory report --dry-run"):
            done = self.as_nobody(home, *options, *words.split())
            self.assertEqual(2, done.returncode, str(done))
            self.assertRegex(done.stderr, f"^error: .*{why}\nhint: [^\n]*\n$")
        self.assertEqual(before, sorted(path.name for path in state.iterdir()))

    def open_home(self) -> pathlib.Path:
        """A folder that others may read."""
        home = pathlib.Path(tempfile.mkdtemp())
        above = home
        while above != above.parent:
            if above.stat().st_uid == os.getuid():
                above.chmod(above.stat().st_mode | 0o055)
            above = above.parent
        return home

    def as_nobody(
        self, home: pathlib.Path, *words: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the program as an ordinary user."""
        return subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, *words],
            env={**os.environ, "HOME": str(home)},
            cwd=home,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )


def _with(folder: pathlib.Path) -> str:
    """What PYTHONPATH is with one more folder."""
    return os.pathsep.join(
        filter(None, (str(folder), os.environ.get("PYTHONPATH")))
    )
