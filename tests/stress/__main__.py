# SPDX-License-Identifier: Apache-2.0
"""Claim and free in many processes that are killed, on a disk that fills.

``python -m tests.stress --seconds 60 --processes 20 --seed 7``, as root: the
disk is a small tmpfs in a mount namespace of its own. Now and then all are
killed, the disk has space again, and one ordinary command (``inventory
report``) runs. Then no device has two owners, store and Placement agree, each
claim that somebody was told to have is there, and none that was given back.
No command ends in a traceback or in an error that nobody expected.
"""

import argparse
import collections
import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as ty
import uuid

from nova_vfio_variant.cli import main as cli_main
from tests.functional import check_host, cli_claimants
from tests.hostile import state_files
from tests.stress import model

_INSIDE: ty.Final = "NOVA_VFIO_STRESS_INSIDE"
#: Bytes of the disk: some times what is written there.
_DISK: ty.Final = 6 << 20
#: Seconds between two looks at what is left.
_ROUND: ty.Final = 10.0
#: Seconds that nobody needs for what is done after a round.
_PATIENCE: ty.Final = 120.0
_NO_SPACE: ty.Final = ("No space left", "is full", "disk I/O error")


@dataclasses.dataclass
class Running:
    """A command that runs.

    :param kill: when it is killed; None if it isn't
    """

    words: tuple[str, ...]
    instance: model.Instance
    folder: pathlib.Path
    kill: float | None

    def said(self, name: str) -> str:
        """What it said on ``out`` or ``err``."""
        path = self.folder / name
        # Whoever is killed at once has neither.
        return path.read_text(errors="replace") if path.exists() else ""


class Stress:
    """All that runs, and what is known of it.

    :param folder: holds the disk, as ``disk``, and what must not be on it
    """

    def __init__(
        self, folder: pathlib.Path, processes: int, seed: int
    ) -> None:
        self._rng = random.Random(seed)
        self._folder = folder
        self._disk = folder / "disk"
        self._state = self._disk / "state"
        self._filler = self._disk / "filler"
        self._processes = processes
        self._running: dict[int, Running] = {}
        self._instances: list[model.Instance] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        check_host.build(
            folder / "host",
            [*check_host.card(vfs=8), *check_host.card(0x26, vfs=8)],
        )
        (folder / "nova.conf").write_text(state_files.CONFIGURATION)

    def run(self, seconds: float) -> None:
        """Let them, round after round."""
        until = time.monotonic() + seconds
        self._settle()
        while time.monotonic() < until and not self.failures:
            self._round(min(until, time.monotonic() + _ROUND))
            self._settle()

    def _round(self, until: float) -> None:
        """Start, kill and fill until then; then kill all that is left."""
        change = 0.0
        enough = self.counts["by themselves"] + self._processes
        while not self.failures:
            now = time.monotonic()
            # On a machine that is busy with others it takes longer.
            if now > until and self.counts["by themselves"] >= enough:
                break
            while len(self._running) < self._processes:
                self._start(*self._next())
            for pid, running in self._running.items():
                if running.kill is not None and running.kill < now:
                    os.kill(pid, signal.SIGKILL)
                    running.kill = None
            if now > change:
                is_full = self._fill_or_free()
                change = now + self._rng.uniform(0.1, 0.8 if is_full else 4)
            self._reap()
            time.sleep(0.01)
        self.end()

    def end(self) -> None:
        """Kill all that is left."""
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
        while self._running:
            self._reap()
            time.sleep(0.01)

    def _next(self) -> tuple[tuple[str, ...], model.Instance]:
        """What is done next, for whom: nobody has two commands at once."""
        busy = {id(running.instance) for running in self._running.values()}
        free = [
            instance
            for instance in self._instances
            if id(instance) not in busy
            and instance.known is not model.Known.HAS_NOT
        ]
        if free and self._rng.random() < 0.5:
            instance = self._rng.choice(free)
            if (
                instance.known is model.Known.UNKNOWN
                and self._rng.random() < 0.5
            ):
                return self._create(instance), instance
            return ("claim", "delete", instance.uuid), instance
        made = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        instance = model.Instance(made, f"nic:{self._rng.choice((1, 1, 2))}")
        self._instances.append(instance)
        return self._create(instance), instance

    @staticmethod
    def _create(instance: model.Instance) -> tuple[str, ...]:
        return (
            *("claim", "create", "-f", "json", "--alias", instance.alias),
            *("--instance", instance.uuid),
        )

    def _start(
        self,
        words: tuple[str, ...],
        instance: model.Instance,
        *,
        may_be_killed: bool = True,
    ) -> int:
        """Run a command in a process of its own."""
        number = self.counts["begun"]
        self.counts["begun"] += 1
        folder = self._folder / "said" / str(number)
        folder.mkdir(parents=True)
        kill = None
        if may_be_killed and self._rng.random() < 0.4:
            kill = time.monotonic() + self._rng.uniform(0, 10)
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            self._be(words, folder)
        self._running[pid] = Running(words, instance, folder, kill)
        return pid

    def _be(self, words: tuple[str, ...], folder: pathlib.Path) -> ty.NoReturn:
        """Be the command, whatever comes."""
        status = 70
        try:
            for number, name in ((1, "out"), (2, "err")):
                fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600)
                os.dup2(fd, number)
            status = cli_main.main(
                [
                    f"--config-file={self._folder}/nova.conf",
                    f"--host-root={self._folder}/host",
                    f"--state-path={self._state}",
                    *words,
                ]
            )
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 70
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _fill_or_free(self) -> bool:
        """Take all of the disk, or give it back; whether it is full now."""
        if self._filler.exists():
            self._filler.unlink()
            return False
        self.counts["filled"] += 1
        with (
            contextlib.suppress(OSError),
            open(self._filler, "wb", buffering=0) as file,
        ):
            while True:
                file.write(bytes(4096))
        return True

    def _reap(self) -> None:
        """See to those that have ended."""
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._ended(
                    self._running.pop(pid), os.waitstatus_to_exitcode(status)
                )

    def _ended(self, running: Running, status: int) -> None:
        """Note what a command said, or that it could not."""
        err = running.said("err")
        instance = running.instance
        if status == -signal.SIGKILL:
            self.counts["killed"] += 1
            instance.known = model.Known.UNKNOWN
            return
        self.counts["by themselves"] += 1
        if (
            status not in {0, 1, 2}
            or "Traceback" in err
            or "--debug shows where" in err
        ):
            self.failures.append(
                f"{' '.join(running.words)}: status {status}\n{err}"
            )
        if status:
            self.counts["refused"] += 1
            self.counts["for lack of space"] += any(
                text in err for text in _NO_SPACE
            )
            instance.known = model.Known.UNKNOWN
        elif "create" in running.words:
            self.counts["claimed"] += 1
            instance.known = model.Known.HAS
            instance.addresses = tuple(
                sorted(
                    address
                    for claim in json.loads(running.said("out"))
                    for address in claim["addresses"]
                )
            )
        else:
            self.counts["freed"] += 1
            instance.known, instance.addresses = model.Known.HAS_NOT, ()
        shutil.rmtree(running.folder)

    def _settle(self) -> None:
        """Give the space back, run one command, and look at what is there."""
        if self.failures:
            return
        self.counts["looks"] += 1
        self._filler.unlink(missing_ok=True)
        report = self._alone("inventory", "report")
        listed = self._alone("claim", "list", "-f", "json")
        diff = self._alone("inventory", "diff")
        self.failures += [
            f"{name} says: {out}{err}"
            for name, (status, out, err) in (
                ("inventory report", report),
                ("claim list", listed),
                ("inventory diff", diff),
            )
            if status
        ]
        if self.failures:
            return
        sure = [
            instance
            for instance in self._instances
            if instance.known is model.Known.HAS
        ]
        self.counts["claims that were sure"] += len(sure)
        self.failures += model.wrong(
            listed[1], self._state / "placement.sqlite", self._instances
        )
        model.learn(listed[1], self._instances)
        self._instances = [
            instance
            for instance in self._instances
            if instance.known is model.Known.HAS
        ]

    def _alone(self, *words: str) -> tuple[int, str, str]:
        """Run one command while nothing else runs."""
        pid = self._start(words, model.Instance("", ""), may_be_killed=False)
        running = self._running.pop(pid)
        until = time.monotonic() + _PATIENCE
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return 2, "", "it does not end"
            time.sleep(0.01)
        return (
            os.waitstatus_to_exitcode(status),
            running.said("out"),
            running.said("err"),
        )


def _inside(options: argparse.Namespace) -> int:
    """Run it, in a mount namespace of its own."""
    for name in cli_claimants.NEEDED:
        importlib.import_module(name)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        disk = folder / "disk"
        disk.mkdir()
        subprocess.run(
            [
                *("mount", "-t", "tmpfs", "-o"),
                *(f"size={_DISK},mode=0700", "tmpfs", str(disk)),
            ],
            check=True,
        )
        try:
            stress = Stress(folder, options.processes, options.seed)
            try:
                stress.run(options.seconds)
            finally:
                stress.end()
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    failures = [
        *stress.failures,
        *(
            f"there are none {name}: nothing was tried"
            for name in ("claimed", "freed", "killed", "filled")
            if not stress.counts[name]
        ),
    ]
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    counts = ", ".join(
        f"{count} {name}" for name, count in stress.counts.items()
    )
    print(
        f"seed {options.seed}: {counts}; {len(failures)} failures,"
        f" {time.monotonic() - begun:.0f} s"
    )
    return int(bool(failures))


def main() -> int:
    """Run it, here or in a namespace."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args()
    if _INSIDE in os.environ:
        return _inside(options)
    return subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private"),
            *(sys.executable, "-m", "tests.stress"),
            *("--seconds", str(options.seconds)),
            *("--processes", str(options.processes)),
            *("--seed", str(options.seed)),
        ],
        env={**os.environ, _INSIDE: "1"},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
