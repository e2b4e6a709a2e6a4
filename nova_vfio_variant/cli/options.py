# SPDX-License-Identifier: Apache-2.0
"""The options that both programs take, and how what is typed wrongly ends."""

from __future__ import annotations

import argparse
import importlib.metadata
import pathlib
import re
import sys
import typing as ty

from nova_vfio_variant import shown

DEBUG_HELP: ty.Final = "show a traceback when something fails, and log all"

#: The first exit status that stays, by what --fail-on says.
_FAILS: ty.Final = {"warning": 1, "error": 2, "never": 256}


def reject(
    parser: argparse.ArgumentParser, message: str, hint: str | None = None
) -> ty.NoReturn:
    """End as every failure does, where argparse would print its usage."""
    hint = hint or f"{parser.prog} --help shows all options"
    parser.exit(
        2,
        f"error: {shown.line(shown.short(message))}\n"
        f"hint: {shown.line(hint)}\n",
    )


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in one line."""

    def error(self, message: str) -> ty.NoReturn:
        """Say it, and end with status 2."""
        reject(self, message)


class _Version(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        *_args: object,
        **_kwargs: object,
    ) -> None:
        version = importlib.metadata.version("nova-vfio-variant")
        # exit() itself would say it on standard error.
        sys.stdout.write(f"{parser.prog} {version}\n")
        parser.exit()


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add --version."""
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        help="show the version and exit",
    )


def add_node_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which node is meant."""
    parser.add_argument(
        "--config-file",
        action="append",
        type=named,
        metavar="FILE",
        help=(
            "a nova.conf-style file; may be given more than once. Without"
            " it: /etc/nova/nova.conf with Nova's drop-ins, then"
            " /etc/nova-vfio/"
        ),
    )
    parser.add_argument(
        "--config-dir",
        action="append",
        type=named,
        metavar="DIR",
        help="a folder of drop-ins named NAME.conf, read in order of name",
    )
    parser.add_argument(
        "--host-root",
        default="/",
        metavar="PATH",
        help=(
            "where the host's /sys, /proc and /lib hang: / (the"
            " default), another folder, or a recorded host (.tar.gz)"
        ),
    )
    parser.add_argument(
        "--state-path",
        type=named,
        metavar="DIR",
        help=(
            "where the tracker keeps its state. Without it:"
            " /var/lib/nova-vfio for root, else the folder nova-vfio in"
            " $XDG_STATE_HOME"
        ),
    )


def add_log_files(parser: argparse.ArgumentParser) -> None:
    """Add --log-file and --log-config-append."""
    parser.add_argument(
        "--log-file",
        type=named,
        metavar="FILE",
        help="log to FILE as well: errors and warnings, with -v more",
    )
    parser.add_argument(
        "--log-config-append",
        type=named,
        metavar="FILE",
        help=(
            "let a file of Python's logging.config say what is logged"
            " where, in place of -v and standard error; it has to be"
            " ours, or root's"
        ),
    )


def add_fail_on(parser: argparse.ArgumentParser) -> None:
    """Add --fail-on."""
    parser.add_argument(
        "--fail-on",
        choices=tuple(_FAILS),
        default="warning",
        help=(
            "what gives another exit status than 0. warning (the default): 1"
            " for warnings, differences and what is to be done, 2 for"
            " errors; error: 2 for errors alone; never: nothing but a wrong"
            " command line. What is printed stays the same"
        ),
    )


class Once(argparse.Action):
    """An option whose value would silently give way to a second one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: ty.Any,
        option_string: str | None = None,
    ) -> None:
        """Take the value.

        :raises ArgumentError: it was given before
        """
        given = namespace.__dict__.setdefault("_given", set())
        if option_string is not None and self.dest in given:
            raise argparse.ArgumentError(self, "it is given twice")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def exit_status(status: int, fail_on: str) -> int:
    """The exit status of a program whose command came to ``status``."""
    return status if status >= _FAILS[fail_on] else 0


def seconds(text: str) -> float:
    """How long to wait, given on the command line.

    :raises ArgumentTypeError: argparse prints it and ends with status 2
    """
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return found


def named(text: str) -> str:
    """The name of a file or a folder: a variable that is unset is none.

    :raises ArgumentTypeError: argparse prints it and ends with status 2
    """
    if not text:
        raise argparse.ArgumentTypeError("'' names no file or folder")
    return text


def path(text: str) -> pathlib.Path:
    """The same as a path.

    :raises ArgumentTypeError: argparse prints it and ends with status 2
    """
    return pathlib.Path(named(text))


def whole_number(text: str) -> int:
    """A number of things, given on the command line.

    :raises ArgumentTypeError: argparse prints it and ends with status 2
    """
    # int() takes digits of all scripts, and underscores between them.
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def reason(text: str) -> str:
    """A reason: one line that says something.

    :raises ArgumentTypeError: argparse prints it and ends with status 2
    """
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("a reason is a line of text")
    return text.strip()
