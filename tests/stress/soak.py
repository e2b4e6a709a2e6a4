# SPDX-License-Identifier: Apache-2.0
"""The machine of claims, run for long: ``python -m tests.stress.soak``.

Each process has its part of the runs, and its own seed, which is printed; the
same seed makes the same runs.
"""

import argparse
import logging
import multiprocessing
import os
import secrets
import sys
import time
import traceback
import typing as ty

import hypothesis
from hypothesis import stateful

from tests.stress import machine


def soak(
    runs: int, steps: int, seed: int, is_first: bool = False
) -> str | None:
    """Run it; what fails, with the shortest way to it that was found.

    :param is_first: look for no shorter one
    """
    logging.disable(logging.CRITICAL)
    settings = hypothesis.settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=False,
        phases=[hypothesis.Phase.generate]
        + ([] if is_first else [hypothesis.Phase.shrink]),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    test = hypothesis.seed(seed)(machine.ClaimsMachine)
    try:
        stateful.run_state_machine_as_test(test, settings=settings)
    except Exception:  # noqa: BLE001 - whatever it is, it is told
        return traceback.format_exc()
    return None


def follow(
    steps: ty.Iterable[tuple[str, dict[str, ty.Any]]],
) -> str | None:
    """Follow some of the machine's rules, in place of any; what fails.

    :param steps: a rule's name, and what it is given
    """
    logging.disable(logging.CRITICAL)
    one = machine.ClaimsMachine()
    try:
        for name, given in steps:
            rule = getattr(machine.ClaimsMachine, name)
            may = rule.hypothesis_stateful_rule.preconditions
            if not all(is_met(one) for is_met in may):
                raise RuntimeError(f"{name} can't be next")
            rule(one, **given)
            one.holds()
    except AssertionError:
        one.stack.close()
        return traceback.format_exc()
    one.teardown()
    return None


def main() -> int:
    """Run all of it, in some processes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument(
        "--first", action="store_true", help="look for no shorter way"
    )
    options = parser.parse_args()
    begun = time.monotonic()
    parts = [
        (
            options.runs // options.processes
            + (number < options.runs % options.processes),
            options.steps,
            options.seed + number,
            options.first,
        )
        for number in range(options.processes)
    ]
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        failures = [found for found in pool.starmap(soak, parts) if found]
    for failure in failures:
        print(failure, file=sys.stderr)
    print(
        f"seed {options.seed}: {options.runs} runs of {options.steps} steps,"
        f" {len(failures)} failures, {time.monotonic() - begun:.0f} s"
    )
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
