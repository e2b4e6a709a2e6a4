# SPDX-License-Identifier: Apache-2.0
"""Ask the real Nova.

>>> with Nova() as nova:
...     nova.ask("resource_class", name="a-b", vendor_id="10de",
...              product_id="25b6")
Answer(value='CUSTOM_A_B', error=None, message='', uncaught=False)
"""

import dataclasses
import json
import pathlib
import subprocess
from collections.abc import Iterable
from typing import Any, Self

from tests.conformance.interpreter import nova_python

#: The top of the repository, which the oracle is started from.
TOP = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What Nova said.

    :param value: its answer, None when it refused
    :param error: the class of its refusal, None when it did not refuse
    :param message: the text of its refusal
    :param uncaught: True if the refusal is no error of Nova's own but what
        Python raised: a service would die of it with a traceback
    """

    value: Any
    error: str | None = None
    message: str = ""
    uncaught: bool = False

    @property
    def said(self) -> Any:
        """Its answer, or the class of its refusal."""
        return self.value if self.error is None else self.error

    @classmethod
    def read(cls, told: dict[str, Any]) -> Self:
        """Return the answer that stands in one JSON object."""
        if "error" in told:
            return cls(
                None,
                told["error"],
                told["message"],
                told.get("uncaught", False),
            )
        return cls(told["ok"])


class Nova:
    """The oracle's process: started once, asked many times."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [
                nova_python(),
                "-W",
                "ignore",
                "-m",
                "tests.conformance.oracle",
            ],
            cwd=TOP,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def ask(self, op: str, **args: Any) -> Answer:
        """Ask one question.

        :param op: one of the names in ``oracle/__main__.py``
        :raises RuntimeError: if the oracle died, of an error of its own
        """
        return self.ask_all([(op, args)])[0]

    def ask_all(
        self, questions: Iterable[tuple[str, dict[str, Any]]]
    ) -> list[Answer]:
        """Ask many questions in one line, for the sake of speed."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        asked = [{"op": op, "args": args} for op, args in questions]
        stdin.write(json.dumps(asked) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("the oracle died; see its traceback above")
        return [Answer.read(told) for told in json.loads(line)]
