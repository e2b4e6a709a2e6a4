# SPDX-License-Identifier: Apache-2.0
"""Ask Nova and ourselves the same questions, and stop at a difference.

``python -m tests.conformance --cases 20000 --seed 7``. The last line of
output is ``N cases, seed S, K intended differences``; the exit status is 1
if anything differed that no row of ``nova_vfio_variant/check/deviations.py``
explains, or if a row has nothing left to explain.

The questions are shared out among processes. What is asked depends on the
seed alone, not on their number.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import logging
import multiprocessing
import os
import secrets
import sys
import time
import warnings

import hypothesis

from nova_vfio_variant.check import deviations
from tests.conformance import (
    ask_aliases,
    ask_chosen,
    ask_claims,
    ask_files,
    ask_flavors,
    ask_guests,
    ask_mdevs,
    ask_migrations,
    ask_names,
    ask_states,
    ask_suggest,
    ask_switch,
    ask_texts,
    ask_tracker,
    ask_tree,
    show_node,  # noqa: F401 - it shows deviations
)
from tests.conformance.interpreter import nova_python
from tests.conformance.nova import Nova
from tests.conformance.question import WITNESSES, Question

QUESTIONS: tuple[Question, ...] = (
    *ask_files.QUESTIONS,
    *ask_texts.QUESTIONS,
    *ask_aliases.QUESTIONS,
    *ask_flavors.QUESTIONS,
    *ask_tracker.QUESTIONS,
    *ask_chosen.QUESTIONS,
    *ask_claims.QUESTIONS,
    *ask_tree.QUESTIONS,
    *ask_switch.QUESTIONS,
    *ask_names.QUESTIONS,
    *ask_guests.QUESTIONS,
    *ask_migrations.QUESTIONS,
    *ask_mdevs.QUESTIONS,
    *ask_states.QUESTIONS,
    *ask_suggest.QUESTIONS,
)

#: How often an intended difference, by its id, was met, or a word was true.
Counted = collections.Counter[str]

#: Whoever knows what is wrong may leave the shrinking out.
PHASES = (hypothesis.Phase.generate, hypothesis.Phase.shrink)

#: Of fewer cases nobody can say what is often.
_MANY = 400


def ask(
    nova: Nova, question: Question, cases: int, seed: int, met: Counted
) -> int:
    """Ask about ``cases`` cases of one kind; return how many were asked.

    :raises AssertionError: on a difference, shrunk, with its case printed;
        or if hardly any case showed what many should
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
        phases=PHASES,
    )
    @hypothesis.given(question.cases)
    def compare(case: object) -> None:
        nonlocal asked
        found = list(question.compare(nova, case))
        asked += 1
        met.update(one if isinstance(one, str) else one.id for one in found)

    compare()
    for word, part in question.often.items():
        assert asked < _MANY or met[word] >= part * asked, (
            f"{word}: {met[word]} of {asked} cases, and {part:.0%} at least "
            "are expected"
        )
    return asked


def still_differ(nova: Nova, met: Counted) -> list[str]:
    """Return what is wrong with the table of intended differences."""
    wrong = []
    for row in deviations.TABLE:
        if row not in WITNESSES:
            wrong.append(f"{row.id}: nothing shows this difference")
            continue
        witness = WITNESSES[row]
        try:
            theirs, ours = witness.hear(nova)
        # A witness that can't be heard is a failure like any other.
        except Exception as error:  # noqa: BLE001
            wrong.append(f"{row.id}: {error!r}")
            continue
        if theirs == ours:
            wrong.append(f"{row.id}: no difference any more: {ours}")
        elif (theirs, ours) != (witness.nova, witness.ours):
            wrong.append(
                f"{row.id}: another difference: Nova {theirs!r} for"
                f" {witness.nova!r}, ours {ours!r} for {witness.ours!r}"
            )
        else:
            met[row.id] += 1
    wrong.extend(
        f"{row.id}: not in the table"
        for row in WITNESSES
        if row not in deviations.TABLE
    )
    return wrong


@dataclasses.dataclass(slots=True)
class Result:
    """What came of one question, or of the table at the end.

    :param asked: how many cases
    :param seconds: that it took
    :param met: intended differences, by id, and what else happened
    :param failed: lines about what is wrong
    """

    asked: int = 0
    seconds: float = 0.0
    met: Counted = dataclasses.field(default_factory=collections.Counter)
    failed: list[str] = dataclasses.field(default_factory=list)


#: The Nova that this process asks.
_NOVA: list[Nova] = []


def _begin() -> None:
    """Start a Nova for a process that asks."""
    # Libraries tell each other about their future; it is no answer.
    warnings.simplefilter("ignore")
    _NOVA.append(Nova())


def _ask(name: str, cases: int, seed: int) -> Result:
    """Ask one question, in a process of those that :func:`_begin` began."""
    result = Result()
    (question,) = (question for question in QUESTIONS if question.name == name)
    begun = time.monotonic()
    try:
        result.asked = ask(_NOVA[0], question, cases, seed, result.met)
    # Whatever either side or Hypothesis raises is a failure.
    except Exception as error:  # noqa: BLE001
        result.failed.append(f"{name}: {error}")
        result.failed += map(str, getattr(error, "__notes__", ()))
    result.seconds = time.monotonic() - begun
    return result


def _still_differ() -> Result:
    """Judge the table, likewise."""
    result = Result()
    result.failed += still_differ(_NOVA[0], result.met)
    return result


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument(
        "--only",
        help="ask only what has this in its name, and leave the table be",
        default="",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=min(len(os.sched_getaffinity(0)), 8),
        help="processes that ask, each a Nova of its own (default: CPUs)",
    )
    options = parser.parse_args()
    chosen = [
        question for question in QUESTIONS if options.only in question.name
    ]
    shares = sum(question.share for question in chosen)
    # Installed once, before there are processes that want it.
    nova_python()
    # Old names of options are asked about on purpose.
    logging.getLogger("oslo_config").addHandler(logging.NullHandler())
    results = []
    with concurrent.futures.ProcessPoolExecutor(
        options.jobs,
        # A bug that was planted in this process is in its children as well.
        multiprocessing.get_context("fork"),
        _begin,
    ) as pool:
        # The longest first, so that no process is left with one at the end.
        asked = {
            pool.submit(
                _ask,
                question.name,
                -(-options.cases * question.share // shares),
                options.seed,
            ): question
            for question in sorted(
                chosen, key=lambda question: question.share, reverse=True
            )
        }
        table = None if options.only else pool.submit(_still_differ)
        for done in concurrent.futures.as_completed(asked):
            result = done.result()
            results.append(result)
            often = "".join(
                f", {word} {result.met[word]}" for word in asked[done].often
            )
            print(
                f"{asked[done].name}: {result.asked} cases in "
                f"{result.seconds:.0f} s{often}",
                flush=True,
            )
        if table is not None:
            results.append(table.result())
    met = sum((one.met for one in results), start=collections.Counter[str]())
    for row in deviations.TABLE:
        print(f"  {row.id}: met {met[row.id]} times")
    failed = [line for one in results for line in one.failed]
    total = sum(one.asked for one in results)
    if total < options.cases and not failed:
        failed.append(f"no more than {total} cases could be asked")
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr, flush=True)
    print(
        f"{total} cases, seed {options.seed}, "
        f"{len(deviations.TABLE)} intended differences"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
