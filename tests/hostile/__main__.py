# SPDX-License-Identifier: Apache-2.0
"""Read what nobody should write, answer or type, and see that it is refused.

``python -m tests.hostile --seed 7 --inputs 20000 --commands 500``. No input
may end in a traceback, in an error that nobody expected, take more than 20
seconds or 1 GiB, be taken though it is damaged, or have anything written
outside of its folders. The last line says how many there were; the exit
status is 1 if any did.

What is read depends on the seed alone. ``--only KIND --number N`` reads one
input again.
"""

import argparse
import collections
import os
import pathlib
import random
import secrets
import sys
import tempfile
import time
import typing as ty

from tests.hostile import (
    guests,
    host_files,
    nodes,
    program,
    runs,
    services,
    state_files,
    texts,
)

KINDS: ty.Final = (
    *texts.KINDS,
    *host_files.KINDS,
    *state_files.KINDS,
    *services.KINDS,
    *guests.KINDS,
    *nodes.KINDS,
)

#: Characters of an input that are printed; a larger one is in a file.
_SHOWN: ty.Final = 2000


def jobs(
    inputs: int,
    commands: int,
    seed: int,
    only: str = "",
    number: int | None = None,
) -> list[runs.Job]:
    """Which inputs are read, in an order that mixes the kinds."""
    found = []
    for kinds, most in ((KINDS, inputs), (program.KINDS, commands)):
        chosen = [kind for kind in kinds if only in kind.name]
        shares = sum(kind.share for kind in chosen)
        for kind in chosen:
            count = -(-most * kind.share // shares)
            places = range(count) if number is None else [number]
            found += [(kind.name, place) for place in places]
    random.Random(seed).shuffle(found)
    return found


def tell(
    failures: ty.Sequence[runs.Failure], seed: int, folder: pathlib.Path
) -> None:
    """Print each sort of failure once, with an input that shows it."""
    sorts: dict[tuple[str, str], list[runs.Failure]] = collections.defaultdict(
        list
    )
    for failure in failures:
        sorts[failure.of, failure.sort].append(failure)
    for (of, sort), same in sorts.items():
        first = min(same, key=lambda failure: len(failure.data))
        print(
            f"\nFAILED {of}: {sort} ({len(same)} inputs)\n"
            f"{first.told.rstrip()}\n"
            f"again: python -m tests.hostile --seed {seed} --only {of!r}"
            f" --number {first.number}",
            file=sys.stderr,
        )
        if len(first.data) <= _SHOWN:
            print(f"input: {first.data}", file=sys.stderr)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{of.replace(' ', '-')}-{first.number}.txt"
        path.write_text(first.data, encoding="utf-8")
        print(f"input: as Python writes it, in {path}", file=sys.stderr)


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=20000)
    parser.add_argument("--commands", type=int, default=500)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument(
        "--minutes",
        type=float,
        default=60,
        help="a run that isn't at its end by then has failed",
    )
    parser.add_argument(
        "--only", help="only kinds with this in their name", default=""
    )
    parser.add_argument("--number", type=int, help="only this one of each")
    parser.add_argument(
        "--first", action="store_true", help="stop at the first failure"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="processes that read (default: CPUs)",
    )
    parser.add_argument(
        "--save",
        type=pathlib.Path,
        default=pathlib.Path(tempfile.gettempdir(), "hostile-inputs"),
        help="where inputs that fail are left, if they are large",
    )
    options = parser.parse_args()
    begun = time.monotonic()
    until = begun + 60 * options.minutes
    asked = jobs(
        options.inputs,
        options.commands,
        options.seed,
        options.only,
        options.number,
    )
    print(f"seed {options.seed}", flush=True)
    tallies, failures = runs.read_all(
        (*KINDS, *program.KINDS),
        asked,
        options.seed,
        min(options.jobs, len(asked)),
        until,
        first=options.first,
    )
    wanted = collections.Counter(name for name, _ in asked)
    failed = bool(failures)
    for name, number in wanted.items():
        tally = tallies[name]
        print(
            f"{name}: tried {tally.tried}, refused {tally.refused},"
            f" accepted {tally.accepted}, slowest {tally.slowest:.1f} s"
        )
        if tally.tried < number and not (options.first and failures):
            failed = True
            print(
                f"FAILED {name}: {tally.tried} of {number} tried in"
                f" {options.minutes:g} minutes",
                file=sys.stderr,
            )
    tell(failures, options.seed, options.save)
    total = sum(tally.tried for tally in tallies.values())
    print(
        f"{total} inputs, seed {options.seed}, {len(failures)} failures,"
        f" {time.monotonic() - begun:.0f} s"
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
