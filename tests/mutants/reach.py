# SPDX-License-Identifier: Apache-2.0
"""Which test reaches which line: ``python -m tests.mutants.reach MODULE``.

Runs the tests of a module, and prints as JSON what each of them reaches of
the package while it runs, how long it takes, and whether it passes.
"""

import json
import os
import pathlib
import sys
import time
import unittest

import coverage

from tests.mutants import making, tests


def main(module: str) -> None:
    # Tests may write to where they think a terminal is.
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    package = pathlib.Path(making.PACKAGE).resolve()
    watch = coverage.Coverage(
        data_file=None, source=[str(package)], config_file=False
    )
    seconds: dict[str, float] = {}
    failed: list[str] = []
    watch.start()
    try:
        for name, test in tests.load(module).items():
            watch.switch_context(name)
            outcome = unittest.TestResult()
            begun = time.monotonic()
            test.run(outcome)
            seconds[name] = time.monotonic() - begun
            watch.switch_context("")
            if not outcome.wasSuccessful():
                failed.append(name)
    finally:
        watch.stop()
    data = watch.get_data()
    lines = {
        pathlib.Path(file).relative_to(package).with_suffix("").as_posix(): {
            line: [name for name in names if name]
            for line, names in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    json.dump({"seconds": seconds, "failed": failed, "lines": lines}, answer)
    answer.close()


if __name__ == "__main__":
    main(sys.argv[1])
