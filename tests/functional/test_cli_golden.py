# SPDX-License-Identifier: Apache-2.0
"""What every reading command says of both recorded hosts, text and JSON.

The expected outputs stand in ``golden/cli``. After a wanted change write
them anew with ``NOVA_VFIO_UPDATE_GOLDEN=1`` and read the difference.
"""

import collections
import contextlib
import functools
import io
import os
import pathlib
import re
import tarfile
import typing as ty

import fixtures

from nova_vfio_variant.cli import main, status
from nova_vfio_variant.host.tree import opening
from tests import base
from tests.functional import cli_case

GOLDEN = pathlib.Path(__file__).parent / "golden" / "cli"
UPDATE = "NOVA_VFIO_UPDATE_GOLDEN"
IGB = "two-node-igb-nvme"
NVME = "four-nvme-480-vfs"

#: What is asked of a host that nothing is tracked of; without "json" a
#: command has no other form than text.
FRESH = {
    "host-list": "host list",
    "host-list-class": "host list --class network",
    "host-list-few-columns": "host list --class storage -c address -c driver",
    "host-diff": "host diff host host",
    "host-plan": "host plan",
    "config-check": "config check",
    "config-suggest": "config suggest",
    "device-sync-dry-run": "device sync --dry-run",
    "device-list": "device list",
    "device-available": "device available",
    "capabilities": "capabilities",
    "claim-list": "claim list",
    "flavor-check": "flavor check --property pci_passthrough:alias={wanted}",
    "inventory-show": "inventory show",
    "inventory-diff": "inventory diff",
    "inventory-report-dry-run": "inventory report --dry-run",
    "mdev-types": "mdev types",
    "migration-check": f"migration check --instance {cli_case.ONE}",
    "migration-plan": f"migration plan --instance {cli_case.ONE} --to host",
    "mdev-list": "mdev list",
    "vgpu-types": "vgpu types",
    "vgpu-health": "vgpu health",
}
#: For one function each: a name and its address.
OF_FUNCTION = {
    "host-show": "host show",
    "config-explain": "config explain",
    "device-show": "device show",
    "explain": "explain",
    "guest-xml": "guest xml --address",
    "guest-qemu": "guest qemu --address",
    "guest-cloud-hypervisor": "guest cloud-hypervisor --address",
}
#: And of one with two claims.
CLAIMED = {
    "claimed-device-sync-dry-run": "device sync --dry-run",
    "claimed-claim-list": "claim list",
    "claimed-inventory-show": "inventory show",
    "claimed-inventory-diff": "inventory diff",
    "claimed-explain": f"explain {cli_case.ONE}",
    "claimed-guest-xml": f"guest xml --instance {cli_case.ONE}",
    "claimed-guest-qemu": f"guest qemu --instance {cli_case.ONE}",
    "claimed-migration-check": f"migration check --instance {cli_case.ONE}",
    "claimed-device-list": (
        "device list -c address -c status -c instance_uuid"
    ),
}
#: What other than a command's rows is expected of each host.
OTHERS = {
    "host-snapshot": "what a recording of the host holds",
    "upgrade-check": "nova-vfio-status upgrade check",
}
TEXT_ONLY = (
    "config suggest",
    "guest xml",
    "guest qemu",
    "guest cloud-hypervisor",
)


class Recorded(ty.NamedTuple):
    """A recorded host and what is asked of it.

    :param conf: its nova.conf
    :param functions: what to show in detail; the word is for file names
    :param claims: what two instances want
    """

    conf: str
    functions: ty.Mapping[str, str]
    claims: tuple[str, str]


HOSTS = {
    IGB: Recorded(
        (cli_case.EXAMPLES / "demo" / "nova.conf").read_text(),
        {
            "pf": "0000:41:00.0",
            "vf": "0000:41:10.0",
            "untracked-vf": "0000:41:10.2",
            "variant": "0000:43:00.0",
            "shared-group": "0000:00:10.0",
        },
        ("fast-nic:2,nic:1", "virtio-nic:1"),
    ),
    NVME: Recorded(
        # A few of the 480 VFs: those of two slots of one controller, and
        # those on vfio-pci of another; one is not bound although it has to
        # be, and one entry never wins.
        (GOLDEN / f"{NVME}.conf").read_text(),
        {
            "pf": "0000:21:00.0",
            "vf": "0000:41:01.4",
            "unbound-vf": "0000:22:00.1",
        },
        ("fast-nvme:3", "nvme:2"),
    ),
}


def _folded(name: str) -> str:
    """A path with its numbers left out: 480 VFs have the same files."""
    for pattern, word in (
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
        (r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", "ADDRESS"),
        (r"(ADDRESS/)+ADDRESS", "ADDRESS"),
        (r"pci[0-9a-f]{4,}:[0-9a-f]{2}", "pciROOT"),
        (r"(?<=/)(virtfn|node|cpu|)[0-9]+(?=/|$)", r"\1N"),
    ):
        name = re.sub(pattern, word, name)
    return name


class GoldenTest(cli_case.CliTestCase):
    """One test a host and state; see below."""

    maxDiff = None

    def setUp(self) -> None:
        super().setUp()
        for name in ("CLIFF_FIT_WIDTH", "CLIFF_MAX_TERM_WIDTH"):
            self.useFixture(fixtures.EnvironmentVariable(name))
        # A recording never changes: unpack each once.
        unpacked = functools.cache(opening.open_tree)
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.host.tree.opening.open_tree", unpacked
            )
        )

    def begin(self, name: str) -> Recorded:
        host = HOSTS[name]
        pathlib.Path("nova.conf").write_text(host.conf)
        pathlib.Path("host").symlink_to(
            cli_case.EXAMPLES / "hosts" / f"{name}.tar.gz"
        )
        return host

    def expect(self, host: str, name: str, words: str) -> None:
        """The command's text, and its JSON if it has any."""
        outputs = {"txt": f"{self.run_cli(*words.split())}\n"}
        self.assertNotIn("--debug", outputs["txt"])
        if not words.startswith(TEXT_ONLY):
            done = self.run_cli(*words.split(), "-f", "json")
            if done.status != 2 or done.out:
                # Each claim's is drawn anew.
                outputs["json"] = re.sub(
                    r'("assignment": )"[^"]+"', r'\1"DRAWN"', done.out
                )
        self.compare(host, name, words, outputs)

    def compare(
        self, host: str, name: str, words: str, outputs: dict[str, str]
    ) -> None:
        """Compare with the expected outputs, or write them."""
        for suffix, output in outputs.items():
            golden = GOLDEN / host / f"{name}.{suffix}"
            if os.environ.get(UPDATE):
                golden.parent.mkdir(parents=True, exist_ok=True)
                golden.write_text(output)
            self.assertEqual(golden.read_text(), output, f"{host}: {words}")

    def others(self, name: str) -> None:
        self.begin(name)
        outputs = {}
        for suffix, more in (("txt", []), ("json", ["--json"])):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                code = status.main([*self.options, "upgrade", "check", *more])
            outputs[suffix] = out.getvalue()
        outputs["txt"] += f"(status {code})\n"
        self.compare(name, "upgrade-check", "upgrade check", outputs)
        self.assertFalse(self.state.exists())
        self.ok("host", "snapshot", "new.tar.gz")
        with tarfile.open("new.tar.gz") as archive:
            held = collections.Counter(_folded(one.name) for one in archive)
        listing = "".join(f"{held[one]:5} {one}\n" for one in sorted(held))
        self.compare(name, "host-snapshot", "host snapshot", {"txt": listing})

    def fresh(self, name: str) -> None:
        host = self.begin(name)
        wanted = host.claims[0]
        for file, words in FRESH.items():
            self.expect(name, file, words.format(wanted=wanted))
        for file, words in OF_FUNCTION.items():
            for word, address in host.functions.items():
                self.expect(name, f"{file}-{word}", f"{words} {address}")
        self.assertFalse(self.state.exists())

    def claimed(self, name: str) -> None:
        host = self.begin(name)
        for instance, wanted in zip(
            (cli_case.ONE, cli_case.TWO), host.claims, strict=True
        ):
            self.ok(
                "claim", "create", "--instance", instance, "--alias", wanted
            )
        self.ok("inventory", "report")
        for file, words in CLAIMED.items():
            self.expect(name, file, words)


for _name in HOSTS:
    for _what in (GoldenTest.fresh, GoldenTest.claimed, GoldenTest.others):
        setattr(
            GoldenTest,
            f"test_{_name}_{_what.__name__}",
            functools.partialmethod(_what, _name),
        )


class CompleteTest(base.TestCase):
    #: What writes, and is asked here only for what it would do.
    writing: ty.ClassVar = {
        "host snapshot",
        "host apply",
        "host restore",
        "host recover",
        "device allow",
        "device bind",
        "device disallow",
        "device register",
        "device reset",
        "device scrub",
        "device unbind",
        "device unregister",
        "device cordon",
        "device drain",
        "device uncordon",
        "claim adopt",
        "claim create",
        "claim delete",
        "claim prepare",
        "claim release",
        "claim started",
        # It shows when a claim was made, and what was drawn for it.
        "claim show",
        # It asks a cloud; the real Nova answers in the conformance run.
        "flavor list",
        "mdev create",
        "mdev delete",
        "guest vdsm-hook",
        # No recording has a device that it could be about.
        "mdev definition",
        "vgpu apply",
        # It writes nothing, and compares with a file that a user has.
        "vgpu assert",
        "vgpu clear",
        "vgpu recycle",
        "vgpu report",
        "vgpu set",
        "reconcile",
        "store backup",
        "store restore",
    }

    def test_every_reading_command_has_expected_outputs(self) -> None:
        asked = {
            " ".join(words.split()[:2])
            for words in (*FRESH.values(), *OF_FUNCTION.values())
        }
        self.assertEqual(set(main.COMMANDS) - self.writing, asked)

    def test_no_expected_output_is_left_over(self) -> None:
        for name, host in HOSTS.items():
            wanted = {
                file: words
                for files in (FRESH, CLAIMED, OTHERS)
                for file, words in files.items()
            }
            for file, words in OF_FUNCTION.items():
                for word in host.functions:
                    wanted[f"{file}-{word}"] = words
            self.assertEqual(
                set(wanted), {path.stem for path in (GOLDEN / name).iterdir()}
            )
