# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio-status upgrade check``, from the operator's files to JSON."""

import io
import json
import pathlib
import sqlite3
import tempfile
import typing as ty
import warnings

import fixtures

from nova_vfio_variant.cli import main as nova_vfio
from nova_vfio_variant.cli import status
from nova_vfio_variant.host.tree import opening
from nova_vfio_variant.node import upgrade
from nova_vfio_variant.testing import placement as placement_testing
from nova_vfio_variant.tracker import sqlite
from tests import base
from tests.functional import check_host

STORE = "State database"
NAMES = "Names of options"
NVIDIA = "NVIDIA VFs without managed"
CLAIMS = "Claimed and blocked"
KERNEL = "Kernel"
LIBVIRT = "libvirt"
PLACEMENT = "Placement"

SPEC = '{ "vendor_id": "10de", "product_id": "25b6", "managed": "no" }'


class UpgradeCheckTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.host = self.root / "host"
        self.state = self.root / "state"
        check_host.build(
            self.host,
            check_host.card(vf_ids="10de:25b6", pf_ids="10de:25b5"),
            {},
            {},
        )
        self.write(f"[DEFAULT]\nhost = n1\n[pci]\ndevice_spec = {SPEC}\n")

    def write(self, text: str) -> None:
        (self.root / "nova.conf").write_text(text)

    @property
    def options(self) -> list[str]:
        return [
            "--config-file",
            str(self.root / "nova.conf"),
            "--host-root",
            str(self.host),
            "--state-path",
            str(self.state),
        ]

    def run_it(self, *words: str) -> tuple[int, str]:
        out, err = io.StringIO(), io.StringIO()
        with (
            fixtures.MonkeyPatch("sys.stdout", out),
            fixtures.MonkeyPatch("sys.stderr", err),
            warnings.catch_warnings(action="ignore"),
        ):
            code = status.main([*self.options, "upgrade", "check", *words])
        self.assertEqual("", err.getvalue())
        return code, out.getvalue()

    def check(self, name: str, result: int, text: str) -> None:
        """One check gives this, and the status is no better."""
        code, out = self.run_it("--json")
        found = {one["check"]: one for one in json.loads(out)["checks"]}
        self.assertEqual(
            [STORE, NAMES, NVIDIA, CLAIMS, KERNEL, LIBVIRT, PLACEMENT],
            list(found),
        )
        self.assertEqual(result, found[name]["result"], found[name])
        self.assertIn(text, found[name]["details"] or "")
        self.assertEqual(max(one["result"] for one in found.values()), code)

    def remove(self, pattern: str) -> None:
        for path in self.host.rglob(pattern):
            path.rmdir() if path.is_dir() else path.unlink()

    def release(self, text: str) -> None:
        """A host with this kernel, on which nothing is on a VFIO driver."""
        for path in list((self.host / "sys").rglob("vfio-dev")):
            path.rename(path.with_name("gone"))
        (self.host / "proc/sys/kernel/osrelease").write_text(f"{text}\n")

    def library(self, name: str) -> None:
        folder = self.host / "usr/lib/x86_64-linux-gnu"
        folder.mkdir(parents=True)
        (folder / "libvirt.so.0").symlink_to(name)
        (folder / name).touch()

    def test_all_is_fine_on_a_host_that_is_as_it_should_be(self) -> None:
        self.library("libvirt.so.0.11003.0")
        code, table = self.run_it()
        self.assertEqual(0, code, table)
        self.assertIn("Details: libvirt 11.3.0", table)
        self.assertFalse(self.state.exists())

    def test_the_store_tells_its_version(self) -> None:
        self.check(STORE, 0, "none yet")
        self.assertEqual(
            0, nova_vfio.main([*self.options, "-q", "device", "sync"])
        )
        self.check(STORE, 0, "has this version")
        with sqlite3.connect(self.state / sqlite.NAME) as link:
            link.execute("UPDATE alembic_version SET version_num = '9999'")
        link.close()
        self.check(STORE, 2, "made by a newer version")

    def test_old_names_of_options_are_named_with_their_place(self) -> None:
        self.write(f"[pci]\npassthrough_whitelist = {SPEC}\n")
        self.check(
            NAMES, 1, "nova.conf:2:1: [pci] passthrough_whitelist is an old"
        )

    def test_nvidia_vfs_without_managed_are_to_be_reviewed(self) -> None:
        self.check(NVIDIA, 0, "")
        self.write(
            '[pci]\ndevice_spec = { "vendor_id": "10de", "product_id":'
            ' "25b6" }\n'
        )
        self.check(NVIDIA, 1, "nova.conf:2:15 names 2 of them")

    def test_other_vendors_vfs_are_not(self) -> None:
        self.write('[pci]\ndevice_spec = { "vendor_id": "8086" }\n')
        self.check(NVIDIA, 0, "")

    def test_a_kernel_without_variant_drivers(self) -> None:
        self.release("5.14.0-427.el9.x86_64")
        self.check(KERNEL, 1, "5.14.0-427.el9.x86_64 has no VFIO variant")

    def test_a_kernel_that_may_lack_vfio_dev(self) -> None:
        self.release("5.16.0")
        self.check(KERNEL, 1, "may lack vfio-dev")
        self.release("6.1.0")
        self.check(KERNEL, 0, "Linux 6.1.0")

    def test_an_old_number_with_vfio_dev_is_a_backport(self) -> None:
        (self.host / "proc/sys/kernel/osrelease").write_text("5.14.0\n")
        self.check(KERNEL, 0, "5.14.0 shows vfio-dev")

    def test_a_kernel_that_can_not_be_seen(self) -> None:
        self.release("")
        self.check(KERNEL, 1, "could not be seen")

    def test_libvirt_that_refuses_variant_drivers(self) -> None:
        self.library("libvirt.so.0.9006.0")
        self.check(LIBVIRT, 1, "libvirt 9.6.0 refuses")

    def test_libvirt_that_chooses_no_variant_driver(self) -> None:
        self.library("libvirt.so.0.9007.0")
        self.check(LIBVIRT, 1, "libvirt 9.7.0 takes no variant driver")

    def test_a_host_without_libvirt(self) -> None:
        self.check(LIBVIRT, 0, "none")

    def test_an_embedded_placement_is_asked_once_it_is_there(self) -> None:
        self.check(PLACEMENT, 0, "not used yet")
        self.useFixture(placement_testing.EmbeddedPlacement(str(self.state)))
        self.assertEqual(
            0, nova_vfio.main([*self.options, "-q", "inventory", "report"])
        )
        self.check(PLACEMENT, 0, "up to microversion 1.")

    def test_a_placement_service_is_asked_for_its_microversion(self) -> None:
        for newest, result, text in (
            ("1.39", 0, "up to microversion 1.39"),
            ("1.38", 0, "up to microversion 1.38"),
            ("1.37", 2, "up to 1.37, and 1.38 is needed"),
            ("1.9", 2, "up to 1.9, and 1.38 is needed"),
        ):
            server = self.useFixture(
                placement_testing.PlacementServer(_speaking(newest))
            )
            self.write(
                "[vfio]\nplacement = service\n[placement]\nauth_type = none\n"
                f"endpoint_override = {server.url}\n"
            )
            self.check(PLACEMENT, result, text)

    def test_a_placement_service_that_is_down(self) -> None:
        self.write(
            "[vfio]\nplacement = service\n[placement]\nauth_type = none\n"
            "endpoint_override = http://127.0.0.1:9\n"
        )
        self.check(PLACEMENT, 2, "can't be reached")

    def test_a_placement_service_whose_certificates_are_nowhere(self) -> None:
        self.write(
            "[vfio]\nplacement = service\n[placement]\nauth_type = none\n"
            "endpoint_override = https://127.0.0.1:9\ncafile = /nope\n"
        )
        self.check(PLACEMENT, 2, "can't be used: ")

    def test_a_file_that_is_not_there_fails_what_needs_it(self) -> None:
        (self.root / "nova.conf").unlink()
        for name in (STORE, NAMES, NVIDIA, PLACEMENT):
            self.check(name, 2, "nova.conf: No such file or directory")
        self.check(KERNEL, 0, "")

    def test_a_host_that_is_not_there(self) -> None:
        self.host = self.root / "nowhere"
        self.check(KERNEL, 2, "nowhere")

    def test_what_is_typed_wrongly_is_one_line_and_a_hint(self) -> None:
        for words, said in (
            ((), "the following arguments are required: upgrade"),
            (("upgrade",), "the following arguments are required: check"),
            (("upgrade", "chek"), "argument check: invalid choice: 'chek'"),
            (
                ("upgrade", "check", "--jsn"),
                "unrecognized arguments: --jsn",
            ),
        ):
            err = io.StringIO()
            with fixtures.MonkeyPatch("sys.stderr", err):
                end = self.assertRaises(SystemExit, status.main, [*words])
            self.assertEqual(2, end.code)
            error, hint = err.getvalue().splitlines()
            self.assertTrue(error.startswith(f"error: {said}"), error)
            self.assertTrue(hint.startswith("hint: nova-vfio-status"), hint)

    def test_it_says_its_version_as_the_other_program_does(self) -> None:
        said = []
        for program in (status.main, nova_vfio.main):
            out = io.StringIO()
            with fixtures.MonkeyPatch("sys.stdout", out):
                end = self.assertRaises(SystemExit, program, ["--version"])
            self.assertEqual(0, end.code or 0)
            said.append(out.getvalue().split(" "))
        (name, version), (other, same) = said
        self.assertEqual(
            ("nova-vfio-status", "nova-vfio", version), (name, other, same)
        )

    def test_the_newest_library_counts(self) -> None:
        self.library("libvirt.so.0.9007.0")
        newer = self.host / "usr/lib64"
        newer.mkdir(parents=True)
        (newer / "libvirt.so.0.10000.1").touch()
        (newer / "libvirt.so.0.x").touch()
        self.assertEqual(
            (10, 0, 1),
            upgrade.libvirt_version(opening.open_tree(str(self.host))),
        )


def _speaking(newest: str) -> ty.Any:
    """A Placement whose newest microversion is this one."""

    def middleware(behind: ty.Any) -> ty.Any:
        def answer(environ: ty.Any, start_response: ty.Any) -> ty.Any:
            body = b"".join(behind(environ, start_response))
            if environ["PATH_INFO"] != "/":
                return [body]
            return [body.replace(b'"1.39"', f'"{newest}"'.encode().ljust(6))]

        return answer

    return middleware
