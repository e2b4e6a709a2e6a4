# SPDX-License-Identifier: Apache-2.0
"""A command run in this process, as the program would run it."""

import contextlib
import dataclasses
import io
import logging
import re
import shlex
import typing as ty
import warnings

from nova_vfio_variant.cli import main
from tests.hostile import kind

#: What stands in the message of an error that nobody expected.
CATCH_ALL: ty.Final = "--debug shows where"
TRACEBACK: ty.Final = "Traceback (most recent call last)"
#: How autopage shows headings and values of help on a terminal.
_STYLED: ty.Final = re.compile("\x1b\\[[34]m([^\x1b]*)\x1b\\[0m")


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """A command that ended.

    :param words: what was typed
    """

    words: tuple[str, ...]
    status: int
    out: str
    err: str


def _once(words: tuple[str, ...]) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            status: ty.Any = main.main(list(words))
        except SystemExit as end:
            status = end.code or 0
    if not isinstance(status, int):
        raise kind.Fault(f"status {status!r} of {shlex.join(words)}")
    # Handlers that were set up meanwhile write to what is gone.
    logging.getLogger().handlers.clear()
    return Done(words, status, out.getvalue(), err.getvalue())


def wrong(done: Done) -> str | None:
    """What is wrong with how a command ended; None if nothing is."""
    both = done.out + done.err
    if done.status not in {0, 1, 2}:
        return f"status {done.status}"
    if TRACEBACK in both:
        return "a traceback"
    if CATCH_ALL in both:
        return "an error that nobody expected"
    if done.status == 2 and not both.strip():
        return "nothing is said of a failure"
    for sign in _STYLED.sub(r"\1", both):
        if not sign.isprintable() and sign not in "\n\t\r":
            return f"{sign!r} is printed raw"
    return None


#: Who runs commands.
_runner: list[ty.Callable[[tuple[str, ...]], Done]] = [_once]


@contextlib.contextmanager
def run_by(
    runner: ty.Callable[[tuple[str, ...]], Done],
) -> ty.Iterator[None]:
    """Have commands run by somebody else meanwhile."""
    _runner.append(runner)
    try:
        yield
    finally:
        _runner.pop()


def run(*words: str) -> Done:
    """Run ``nova-vfio`` with these words.

    :raises Fault: it ended as no command may
    """
    once = _runner[-1]
    done = once(words)
    what = wrong(done)
    if what is not None:
        told = once(("--debug", *words)) if CATCH_ALL in done.err else done
        raise kind.Fault(
            f"{what}: nova-vfio {shlex.join(words)!s:.2000}\n"
            f"{done.err[-2000:]}\n{_trace(told.err)}"
        )
    return done


def _trace(said: str) -> str:
    """The last traceback, without what else was said."""
    at = said.rfind("Traceback")
    return said[at:][-3000:] if at >= 0 else ""
