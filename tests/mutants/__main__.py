# SPDX-License-Identifier: Apache-2.0
"""Make mistakes in the code, and see whether tests notice.

``python -m tests.mutants --count 150 --seed 7``. Mistakes are drawn at random
from all that cosmic-ray and ``operators.py`` can make in what decides,
refuses, restores, undoes and checks; ``making.py`` says which modules these
are, and what is no mistake by construction: types, log lines, assertions,
guards. Each is shown to the tests that reach it, until one fails or hangs.

The exit status is 1 if less than 92 of a hundred are killed of those that are
not equivalent, or if ``known.toml`` speaks of code that is gone.
"""

import argparse
import collections
import concurrent.futures
import pathlib
import queue
import secrets
import sys
import tempfile
import time

from tests.mutants import asking, known, making

_ROOT = pathlib.Path(__file__).parents[2]

#: Of a hundred that are not equivalent.
_GOAL = 92


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--only", help="only modules with this in their name", default=""
    )
    parser.add_argument(
        "--reach",
        type=pathlib.Path,
        metavar="FOLDER",
        help="keep there what each test module reaches, and don't measure it"
        " again as long as it stands there",
    )
    given = parser.parse_args()
    if given.count < 1 or given.jobs < 1:
        parser.error("--count and --jobs: at least 1")
    return given


class _Clock:
    """Says what is done, and when."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:5.0f} s  {text}", flush=True)


def _ask_all(
    mutants: list[making.Mutant],
    reach: asking.Reach,
    jobs: int,
    clock: _Clock,
) -> list[asking.Outcome]:
    copies: queue.SimpleQueue[asking.Copy] = queue.SimpleQueue()

    def ask(mutant: making.Mutant) -> asking.Outcome:
        copy = copies.get()
        try:
            return copy.ask(mutant, reach.of(mutant.place))
        finally:
            copies.put(copy)

    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        for at in range(jobs):
            copies.put(asking.Copy(_ROOT, pathlib.Path(folder, str(at))))
        outcomes: dict[int, asking.Outcome] = {}
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            begun = {
                pool.submit(ask, mutant): at
                for at, mutant in enumerate(mutants)
            }
            for done in concurrent.futures.as_completed(begun):
                at = begun[done]
                outcomes[at] = done.result()
                clock.say(
                    f"{len(outcomes)}/{len(mutants)} {mutants[at].where}"
                    f" {outcomes[at].how}"
                )
    return [outcomes[at] for at in range(len(mutants))]


def _report(
    mutants: list[making.Mutant], outcomes: list[asking.Outcome]
) -> float:
    """Print what survived and why; return how many of a hundred didn't."""
    explained = known.load()
    counts: collections.Counter[str] = collections.Counter()
    for mutant, outcome in zip(mutants, outcomes, strict=True):
        if outcome.killer is not None:
            counts["killed"] += 1
            continue
        found = known.find(explained, mutant)
        kind = "survived"
        if found is not None and found.equivalent:
            kind = "equivalent"
        counts[kind] += 1
        print(f"\n{kind}: {mutant}\n  {outcome.how}: ", end="")
        print(found.why if found is not None else "not explained")
    judged = counts["killed"] + counts["survived"]
    rate = 100 * counts["killed"] / judged if judged else 100.0
    print(
        f"\n{len(mutants)} mutants: {counts['killed']} killed,"
        f" {counts['equivalent']} equivalent, {counts['survived']} survived:"
        f" {rate:.1f} % killed of those that are not equivalent"
    )
    return rate


def main() -> int:
    given = _arguments()
    seed = secrets.randbelow(100_000) if given.seed is None else given.seed
    print(f"seed {seed}, {given.count} mutants", flush=True)
    gone = known.gone(known.load(), _ROOT)
    for one in gone:
        print(f"known.toml: not in {one.room} any more: {one.line}")
    clock = _Clock()
    mutants = making.sample(_ROOT, given.count, seed, given.only)
    clock.say("mutants are made; now which test reaches what")
    with tempfile.TemporaryDirectory() as folder:
        kept = given.reach or pathlib.Path(folder)
        reach = asking.Reach.measured(_ROOT, given.jobs, kept, clock.say)
    for name in reach.failed:
        print(f"fails without any mistake, so isn't asked: {name}")
    clock.say(f"{len(reach)} tests")
    rate = _report(mutants, _ask_all(mutants, reach, given.jobs, clock))
    print(f"seed {seed}")
    return 1 if gone or rate < _GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
