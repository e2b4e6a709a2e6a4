# SPDX-License-Identifier: Apache-2.0
"""Shows a mutant to the tests that can notice it."""

import collections
import compileall
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import typing as ty
from collections.abc import Callable, Iterable, Iterator, Mapping

from tests.mutants import making, tests

#: Seconds of tests, as measured, that a mutant is shown to; and one of a line
#: that none of them is seen to reach.
_SECONDS, _UNREACHED = 120, 30

#: A test hangs that takes so much longer than it did.
_TIMES, _MORE = 8, 20

#: What a copy of the tree does without.
_NOT_COPIED = shutil.ignore_patterns(
    ".*", "build", "releasenotes", "*.egg-info", "__pycache__"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant.

    :param killer: the test that noticed it, None if it survived
    :param how: in a few words
    """

    killer: str | None
    how: str


class Reach:
    """Which tests reach which lines, and how long they take."""

    def __init__(self) -> None:
        self._tests: dict[str, tests.Test] = {}
        self._lines: dict[str, dict[int, set[str]]] = {}
        #: How many lines a test reaches.
        self._counts: collections.Counter[str] = collections.Counter()
        #: Tests that fail without any mistake.
        self.failed: list[str] = []

    @classmethod
    def measured(
        cls,
        root: pathlib.Path,
        jobs: int,
        kept: pathlib.Path,
        say: Callable[[str], None],
    ) -> "Reach":
        """Run all tests once.

        :param kept: a folder for what is measured; what stands there already
            is believed
        :raises subprocess.CalledProcessError: if that can't be done
        """
        reach = cls()
        kept.mkdir(exist_ok=True)
        modules = tests.modules(root)
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            answers = pool.map(lambda one: _reached(root, one, kept), modules)
            for at, (module, told) in enumerate(
                zip(modules, answers, strict=True), 1
            ):
                reach._learn(module, told)
                say(f"{at}/{len(modules)} {module}")
        return reach

    def _learn(self, module: str, told: ty.Any) -> None:
        self.failed += told["failed"]
        for name, seconds in told["seconds"].items():
            if name not in self.failed:
                self._tests[name] = tests.Test(name, module, seconds)
        for path, lines in told["lines"].items():
            known = self._lines.setdefault(path, collections.defaultdict(set))
            for line, names in lines.items():
                known[int(line)].update(names)
                self._counts.update(names)

    def __len__(self) -> int:
        return len(self._tests)

    def of(self, place: making.Place) -> list[tests.Test]:
        """The tests that may notice a mistake there, as far as time allows.

        First those that reach the least of the package: they are about it.
        A line that no test reaches may be run by one in another process: so
        those that reach its module are asked.
        """
        lines = self._lines.get(place.module, {})
        names = set[str]().union(*(lines.get(at, ()) for at in place.lines))
        left = float(_SECONDS)
        if not names:
            names = set[str]().union(*lines.values())
            left = _UNREACHED
        found = []
        for name in sorted(
            names & self._tests.keys(),
            key=lambda one: (self._counts[one], one),
        ):
            left -= self._tests[name].seconds
            if left < 0:
                break
            found.append(self._tests[name])
        return found


def _reached(
    root: pathlib.Path, module: str, kept: pathlib.Path
) -> Mapping[str, ty.Any]:
    file = kept / f"{module}.json"
    if not file.exists():
        with _own_folder() as env:
            done = subprocess.run(
                [sys.executable, "-m", "tests.mutants.reach", module],
                cwd=root,
                env=env | {"PYTHONPATH": str(root)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                check=True,
            )
        file.write_bytes(done.stdout)
    found: Mapping[str, ty.Any] = json.loads(file.read_bytes())
    return found


@contextlib.contextmanager
def _own_folder() -> Iterator[dict[str, str]]:
    """What killed tests leave is ended, and removed with it."""
    with tempfile.TemporaryDirectory(
        prefix="m", ignore_cleanup_errors=True
    ) as folder:
        try:
            yield {
                **os.environ,
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": folder,
            }
        finally:
            _end_all(folder)


class Copy:
    """A copy of the tree, in which a module may be wrong for a while."""

    def __init__(self, root: pathlib.Path, folder: pathlib.Path) -> None:
        self._root = folder
        shutil.copytree(
            root, folder, ignore=_NOT_COPIED, dirs_exist_ok=True, symlinks=True
        )
        compileall.compile_dir(folder, quiet=2)

    @contextlib.contextmanager
    def _mutated(self, mutant: making.Mutant) -> Iterator[None]:
        path = making.path(self._root, mutant.place.module)
        right, at = path.read_text(), path.stat()
        path.write_text(mutant.source)
        # Compiled code is taken for that of a file of the same age.
        os.utime(path, (1, 1))
        try:
            yield
        finally:
            path.write_text(right)
            os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))

    def ask(
        self, mutant: making.Mutant, chosen: Iterable[tests.Test]
    ) -> Outcome:
        """Show it to these, until one notices."""
        chosen = [*chosen]
        if not chosen:
            return Outcome(None, "no test reaches it")
        with self._mutated(mutant), _own_folder() as env:
            status, said = self._run(chosen, env)
        last = said.split()[-1] if said else chosen[0].name
        if status in (None, -signal.SIGALRM):
            return Outcome(last, f"hangs in {last}")
        if status:
            return Outcome(last, f"killed by {last}")
        return Outcome(None, f"passes {len(chosen)} tests")

    def _run(
        self, chosen: list[tests.Test], env: Mapping[str, str]
    ) -> tuple[int | None, str]:
        """Run tests until one fails.

        :returns: the exit status, None if it had to be ended; and which
            tests were begun
        """
        # Files, for what hangs may keep a pipe open.
        asked = pathlib.Path(env["TMPDIR"], "asked")
        begun = asked.with_name("begun")
        asked.write_text(
            json.dumps(
                [
                    (one.module, one.name, one.seconds * _TIMES + _MORE)
                    for one in chosen
                ]
            )
        )
        with asked.open() as words, begun.open("w") as progress:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.mutants.until"],
                cwd=self._root,
                env={**env, "PYTHONPATH": str(self._root)},
                stdin=words,
                stdout=progress,
                stderr=subprocess.DEVNULL,
            )
        status: int | None = None
        try:
            status = process.wait(_SECONDS * _TIMES + _MORE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return status, begun.read_text()


def _end_all(folder: str) -> None:
    """End processes that are left of the tests, which have this folder."""
    mark = f"TMPDIR={folder}".encode()
    for place in pathlib.Path("/proc").glob("[0-9]*/environ"):
        # It may have ended meanwhile, or be somebody else's.
        with contextlib.suppress(OSError):
            if mark in place.read_bytes().split(b"\0"):
                os.kill(int(place.parent.name), signal.SIGKILL)
