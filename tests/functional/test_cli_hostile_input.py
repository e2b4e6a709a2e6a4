# SPDX-License-Identifier: Apache-2.0
"""Whatever is named, written or served: one line, at once, and no secret."""

import http.server
import os
import pathlib
import resource
import subprocess
import threading
import typing as ty

import fixtures

from tests.functional import check_host, cli_case

SPEC = 'device_spec = { "vendor_id": "8086", "product_id": "10ca" }'
_GIB = 1 << 30
#: Seconds that stand for ever: a command takes one.
FOR_EVER = 60


class FilesTest(cli_case.CliTestCase):
    """The program itself: what waits in the kernel would hold up us."""

    def refused(self, *words: str) -> str:
        done = cli_case.program(*words, cwd=self.folder)
        self.assertEqual((2, ""), (done.returncode, done.stdout))
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr

    def test_a_fifo_in_place_of_any_file_is_refused_at_once(self) -> None:
        self.configure(SPEC)
        pathlib.Path("conf.d").mkdir()
        for fifo in ("fifo", "conf.d/a.conf"):
            os.mkfifo(fifo)
        for words in (
            ("--config-file=fifo", "host", "plan"),
            ("--config-file=nova.conf", "--config-dir=conf.d", "host", "plan"),
            ("--host-root=fifo", "host", "list"),
        ):
            self.assertIn("it is a FIFO or pipe", self.refused(*words))
        self.assertIn(
            "error: fifo: can't be written: fifo is a FIFO or pipe",
            self.refused("--log-file=fifo", "host", "list"),
        )

    def test_a_pager_that_no_shell_could_run_is_none(self) -> None:
        done = subprocess.run(
            [cli_case.PROGRAM, "host", "list", "--help"],
            capture_output=True,
            text=True,
            timeout=FOR_EVER,
            check=False,
            env={**os.environ, "PAGER": "less 'x"},
        )
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_so_is_what_a_shell_makes_of_a_command(self) -> None:
        done = subprocess.run(
            [
                "bash",
                "-c",
                f"{cli_case.PROGRAM} --config-file <(echo) host plan",
            ],
            capture_output=True,
            text=True,
            timeout=FOR_EVER,
            check=False,
        )
        self.assertEqual(2, done.returncode)
        self.assertIn("it is a FIFO or pipe", done.stderr)

    def test_files_without_end_are_refused_at_once(self) -> None:
        with open("long", "wb") as file:
            file.truncate(1 << 40)
        for file_name, said in (
            ("long", "it is larger than 64 MiB"),
            ("/dev/zero", "it is a device"),
            ("/dev/full", "it is a device"),
        ):
            for option in ("--config-file", "--host-root"):
                self.assertIn(
                    said, self.refused(f"{option}={file_name}", "host", "plan")
                )

    def test_a_certificate_that_is_a_fifo_is_refused(self) -> None:
        os.mkfifo("fifo")
        self.host(*check_host.card(vfs=1))
        self.configure(
            SPEC,
            tail="[vfio]\nplacement = service\n[placement]\nauth_type = none\n"
            "endpoint_override = https://127.0.0.1:1\ncafile = fifo\n",
        )
        self.assertIn(
            "[placement] cafile: fifo: it is a FIFO",
            self.refused(*self.options, "inventory", "diff"),
        )


class LargeTest(cli_case.CliTestCase):
    """Files of 20,000 entries, and lines of 10 MB, in a GiB of memory."""

    def checked(self, *lines: str) -> str:
        self.configure(*lines)
        done = cli_case.program(
            *self.options[:1],
            "config",
            "check",
            "--offline",
            cwd=self.folder,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_AS, (_GIB, _GIB)
            ),
        )
        self.assertNotIn("Traceback", done.stderr)
        self.assertNotIn("MemoryError", done.stderr)
        self.assertIn(done.returncode, (0, 1, 2))
        return done.stdout + done.stderr

    def test_many_entries(self) -> None:
        self.checked(
            *(
                SPEC[:-1]
                + f', "address": "{n >> 8:04x}:{n & 255:02x}:00.1" }}'
                for n in range(20_000)
            )
        )

    def test_long_lines(self) -> None:
        many = 10_000_000
        for value, code in (
            ('{ "vendor_id": "' + "8" * many + '" }', "VFIO"),
            ("[" * many, "VFIO110"),
            ("$x" * (many // 2), "VFIO106"),
            ("$$" * (many // 2), "VFIO106"),
            ("{ 'vendor_id': '8086' }," * (many // 24), "VFIO111"),
        ):
            said = self.checked(f"device_spec = {value}")
            self.assertIn(code, said)
            self.assertLess(len(said), 10_000)


class Server(fixtures.Fixture):
    """A web server that counts what it is asked."""

    def _setUp(self) -> None:  # noqa: N802 - fixtures' own name
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"[pci]\nreport_in_placement = true\n")

            def log_message(self, *_args: ty.Any) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{server.server_port}/nova.conf"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)


class ElsewhereTest(cli_case.CliTestCase):
    """Configuration that a web server has."""

    def test_nobody_is_asked_for_what_stands_elsewhere(self) -> None:
        server = self.useFixture(Server())
        self.host(*check_host.card(vfs=1))
        self.configure(
            SPEC,
            head="config_source = central\n",
            tail=f"[central]\ndriver = remote_file\nuri = {server.uri}\n",
        )
        for word in ("--offline", "--fail-on=error"):
            found = self.ok("config", "check", "-fjson", word, status=2).json
            self.assertIn(
                ("VFIO108", "nova.conf:3:17"),
                [(problem["code"], problem["location"]) for problem in found],
            )
        for words in (
            ("device", "sync"),
            ("host", "plan"),
            ("inventory", "show"),
            ("config", "explain", "0000:25:00.4"),
        ):
            self.assertIn("[VFIO108]", self.refuses(*words))
        self.ok("host", "list")
        self.assertEqual([], server.asked)


class SecretsTest(cli_case.CliTestCase):
    """A password with a dollar sign in it, as they have."""

    def test_a_password_with_a_dollar_sign_is_told_and_not_shown(self) -> None:
        self.host(*check_host.card(vfs=1))
        self.configure(
            SPEC,
            tail="[vfio]\nplacement = service\n[placement]\n"
            "auth_type = password\npassword = hunter$two\n",
        )
        said = []
        for words in (
            ("config", "check"),
            ("config", "check", "-fjson"),
            ("inventory", "show"),
            ("inventory", "report"),
            ("device", "sync"),
        ):
            done = self.ok(*words, status=2)
            said.append(done.out + done.err)
            self.assertIn("nova.conf:12:18", said[-1])
            self.assertIn("$$", said[-1])
        for word in ("hunter", "two"):
            self.assertNotIn(word, "".join(said))
