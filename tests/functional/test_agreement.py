# SPDX-License-Identifier: Apache-2.0
"""A hundred random hosts, asked by the commands as users type them.

The hosts are folders, the store is a file, and Placement is an embedded one.
See :mod:`tests.agreement` for what agreement is.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import typing as ty

from nova_vfio_variant.node import context, tracked_devices
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing import placement
from tests import agreement, agreement_asked, random_hosts, sample_hosts
from tests.functional import cli_case

_HOSTS = 100
_PARTS = 2
#: Other hosts than those in memory.
_FIRST = 100_000


class AgreementTest(cli_case.CliTestCase):
    """Every command, with an embedded Placement."""

    def agree(self, part: int) -> None:
        for seed in range(_FIRST + part, _FIRST + _HOSTS, _PARTS):
            host = random_hosts.random_host(seed)
            with self._on(host):
                said = agreement.disagreements(host, self._answers(host))
            self.assertEqual([], said, f"{host}\n" + "\n".join(said))

    def test_first_half(self) -> None:
        self.agree(0)

    def test_second_half(self) -> None:
        self.agree(1)

    @contextlib.contextmanager
    def _on(self, host: random_hosts.Host) -> ty.Iterator[None]:
        """In a folder of its own, with all that the host has."""
        folder = pathlib.Path(
            tempfile.mkdtemp(dir=sample_hosts.MEMORY)
        ).resolve()
        os.chdir(folder)
        self.state = folder / "state"
        try:
            with placement.EmbeddedPlacement(str(self.state)):
                random_hosts.Files(host).write(folder / "host")
                pathlib.Path("nova.conf").write_text(
                    random_hosts.configuration(host)
                )
                pathlib.Path("bare.conf").write_text(
                    random_hosts.configuration(host, declared=False)
                )
                on = context.Context(["nova.conf"], None, "host", "state")
                with on.open_store(read_only=False) as opened:
                    agreement_asked.record(opened, on, host)
                self._scan = on.scan
                yield
        finally:
            os.chdir(self.folder)
            shutil.rmtree(folder)

    def _answers(self, host: random_hosts.Host) -> agreement.Answers:
        said = agreement.Answers()
        on = context.Context(["nova.conf"], None, "host", "state")
        agreement_asked.learn(on.given().spec_of, said)
        agreement_asked.of_devices(
            tracked_devices.TrackedDevices(on).devices(), on.scan, said
        )
        self._listings(host, said)
        found = self.run_cli("config", "check", "-f", "json").json
        agreement_asked.told(
            (
                (
                    one["code"],
                    one.get("subject"),
                    int((one["location"] or "::0:0").split(":")[-2]),
                )
                for one in found
            ),
            host,
            said,
        )
        text = self.ok("config", "suggest").out
        agreement_asked.suggested(text, on.scan, said)
        rows = self.json("inventory", "show")
        agreement_asked.inventory(_units(rows), said)
        self.run_cli("inventory", "report")
        again = self.json("inventory", "show")
        self.assertEqual(list(_units(rows)), list(_units(again)), str(host))
        self._plan(host, said)
        self._claims(host, said)
        for owner in sorted(
            {one.owner for one in said.tracked.values() if one.owner}
        ):
            done = self.run_cli("claim", "delete", owner)
            said.released[owner] = done.status == 0
        return said

    def _listings(
        self, host: random_hosts.Host, said: agreement.Answers
    ) -> None:
        for command in ("host list", "device list"):
            said.states[command] = {
                one["address"]: one["assignable"]
                for one in self.json(*command.split())
            }
        bare = {
            one["address"]: one["assignable"]
            for one in self._bare("host", "list")
        }
        ready = 0
        for function in host.functions:
            at = function.address
            # What is ready has no obstacles: one of those is shown.
            is_ready = said.states["host list"][at] == "ready"
            ready += is_ready
            if is_ready and ready > 1:
                said.shown[at] = agreement.Shown("ready")
            else:
                shown = self.json("host", "show", at)
                said.shown[at] = agreement.Shown(
                    shown["assignable"],
                    agreement_asked.codes_of(shown["obstacles"]),
                )
            if function.physfn is not None:
                obstacles: list[str] = []
                if bare[at] not in agreement.ASSIGNABLE:
                    obstacles = self._bare("host", "show", at)["obstacles"]
                said.undeclared[at] = agreement.Shown(
                    bare[at], agreement_asked.codes_of(obstacles)
                )
        for at in list(said.tracked)[:1]:
            shown = self.json("device", "show", at)
            said.states["device show"] = {at: shown["assignable"]}
            if said.tracked[at].owner is None:
                rows = self.run_cli("explain", at, "-f", "json").json
                verdict = next(
                    row["what"] for row in rows if row["topic"] == "verdict"
                )
                said.states["explain"] = {at: verdict}

    def _plan(self, host: random_hosts.Host, said: agreement.Answers) -> None:
        """Ask one function a host; in memory all are asked."""
        at = host.functions[host.seed % len(host.functions)].address
        wanted = json.dumps(agreement_asked.to_vfio(host, at))
        pathlib.Path("plan.conf").write_text(
            pathlib.Path("bare.conf").read_text()
            + f"\n[vfio]\nhost_spec = {wanted}\n"
        )
        before = self.options
        self.options = ["--config-file=plan.conf", *before[1:]]
        done = self.run_cli("host", "plan")
        self.options = before
        said.plans[at] = {
            code
            for line in done.err.splitlines()
            if line.startswith(f"error: {at}: ") or "plan.conf:" in line
            for code in re.findall(r"\[(VFIO\d+)\]$", line)
        }
        on = context.Context(["plan.conf"], None, "host", "state")
        seen = on.scan.get(pci_address.PciAddress.parse(at))
        assert seen is not None
        kept = agreement_asked.against_plan(
            on.verdicts,
            seen,
            [
                pci_address.PciAddress.parse(one)
                for one in json.loads(wanted).get("companions", ())
            ],
            said,
        )
        if kept and done.status < 2:
            said.unplanned.add(at)

    def _bare(self, *words: str) -> ty.Any:
        """What a command gives where nothing is declared."""
        before = self.options
        self.options = ["--config-file=bare.conf", *before[1:]]
        try:
            return self.json(*words)
        finally:
            self.options = before

    def _claims(
        self, host: random_hosts.Host, said: agreement.Answers
    ) -> None:
        # In memory all of them are tried.
        those = list(agreement_asked.wanted(host, said))
        turn = host.seed % max(len(those), 1)
        for alias, count in those[turn : turn + 1]:
            name = agreement_asked.alias_name(alias)
            done = self.run_cli(
                *("claim", "create", "-f", "json"),
                *("--instance", cli_case.ONE, "--alias", f"{name}:{count}"),
            )
            given = None
            if done.status == 0:
                given = tuple(
                    at
                    for one in json.loads(done.out)
                    for at in one["addresses"]
                )
                self.ok("claim", "delete", "--force", cli_case.ONE)
            said.claims.append(
                agreement.Claimed(alias, count, given, done.err)
            )


def _units(rows: ty.Any) -> ty.Iterator[tuple[str, int, int]]:
    for one in rows:
        yield one["resource_class"], one["total"], one["reserved"]
