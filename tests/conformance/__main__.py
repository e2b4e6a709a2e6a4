# SPDX-License-Identifier: Apache-2.0
"""Ask Nova and ourselves the same questions, and stop at a difference.

``python -m tests.conformance --cases 20000 --seed 7``. The last line of
output is ``N cases, seed S, K intended differences``; the exit status is 1
if anything differed that no row of ``nova_vfio_variant/deviations.py``
explains, or if a row has nothing left to explain.
"""

import argparse
import collections
import secrets
import sys
import time

import hypothesis

from nova_vfio_variant import deviations
from tests.conformance import (
    ask_aliases,
    ask_files,
    ask_guests,
    ask_names,
    ask_states,
    ask_suggest,
    ask_texts,
    ask_tracker,
    ask_tree,
)
from tests.conformance.nova import Nova
from tests.conformance.question import WITNESSES, Question

QUESTIONS: tuple[Question, ...] = (
    *ask_files.QUESTIONS,
    *ask_texts.QUESTIONS,
    *ask_aliases.QUESTIONS,
    *ask_tracker.QUESTIONS,
    *ask_tree.QUESTIONS,
    *ask_names.QUESTIONS,
    *ask_guests.QUESTIONS,
    *ask_states.QUESTIONS,
    *ask_suggest.QUESTIONS,
)

#: Differences met, by id, and cases asked, by the name of the question.
Counted = collections.Counter[str]


def ask(
    nova: Nova, question: Question, cases: int, seed: int, met: Counted
) -> int:
    """Ask about ``cases`` cases of one kind; return how many were asked.

    :raises AssertionError: on a difference, shrunk, with its case printed
    """
    asked = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    )
    @hypothesis.given(question.cases)
    def compare(case: object) -> None:
        nonlocal asked
        asked += 1
        met.update(one.id for one in question.compare(nova, case))

    compare()
    return asked


def still_differ(nova: Nova, met: Counted) -> list[str]:
    """Return what is wrong with the table of intended differences."""
    wrong = []
    for row in deviations.TABLE:
        if row not in WITNESSES:
            wrong.append(f"{row.id}: nothing shows this difference")
            continue
        try:
            theirs, ours = WITNESSES[row](nova)
        # A witness that can't be heard is a failure like any other.
        except Exception as error:  # noqa: BLE001
            wrong.append(f"{row.id}: {error!r}")
            continue
        if theirs == ours:
            wrong.append(f"{row.id}: no difference any more: {ours}")
        else:
            met[row.id] += 1
    wrong.extend(
        f"{row.id}: not in the table"
        for row in WITNESSES
        if row not in deviations.TABLE
    )
    return wrong


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument(
        "--only", help="ask only what has this in its name", default=""
    )
    options = parser.parse_args()
    chosen = [one for one in QUESTIONS if options.only in one.name]
    shares = sum(one.share for one in chosen)
    total, failed = 0, []
    met: Counted = collections.Counter()
    with Nova() as nova:
        for question in chosen:
            cases = -(-options.cases * question.share // shares)
            begun = time.monotonic()
            try:
                asked = ask(nova, question, cases, options.seed, met)
            # Whatever either side or Hypothesis raises is a failure.
            except Exception as error:  # noqa: BLE001
                failed.append(f"{question.name}: {error}")
                notes = getattr(error, "__notes__", ())
                failed.extend(str(note) for note in notes)
                asked = 0
            total += asked
            print(
                f"{question.name}: {asked} cases in "
                f"{time.monotonic() - begun:.0f} s",
                flush=True,
            )
        failed += still_differ(nova, met)
    for row in deviations.TABLE:
        print(f"  {row.id}: met {met[row.id]} times")
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr, flush=True)
    print(
        f"{total} cases, seed {options.seed}, "
        f"{len(deviations.TABLE)} intended differences"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
