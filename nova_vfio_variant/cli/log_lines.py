# SPDX-License-Identifier: Apache-2.0
"""What is logged: when it is first, and as lines that command no terminal."""

from __future__ import annotations

import copy
import io
import logging
import logging.config
import os
import pathlib
import sys
import typing as ty

from nova_vfio_variant import shown


class Formatter(logging.Formatter):
    """Makes one line of a message, and escapes what is told behind it.

    :param formatter: what makes the rest of the line
    """

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Escape the message, then the whole."""
        record = copy.copy(record)
        record.msg, record.args = shown.line(record.getMessage()), None
        return shown.lines(self._formatter.format(record))


def to_file(path: str) -> logging.StreamHandler[ty.TextIO]:
    """Log to a file of ours as well, at its end.

    :raises HostError: it, or its folder, may be a stranger's, or can't be
        written
    """
    from nova_vfio_variant import own_files, trust

    where = pathlib.Path(path)
    try:
        with own_files.opened(where.parent, sticky=True) as folder:
            fd = folder.open_or_make(where.name, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise trust.unwritten(where, error) from error
    return logging.StreamHandler(
        os.fdopen(fd, "a", encoding="utf-8", errors="backslashreplace")
    )


def configure(path: str) -> None:
    """Let a file say what is logged where, as ``logging.config`` reads it.

    What it names is run, so that it has to be ours, or root's.

    :raises HostError: it, or its folder, may be a stranger's, or can't be
        read, or says nothing of the kind
    """
    from nova_vfio_variant import exception, input_file, own_files, trust

    where = pathlib.Path(path)
    try:
        with own_files.opened(where.parent, sticky=True) as folder:
            fd = folder.open(where.name, os.O_RDONLY)
            try:
                text = input_file.read_all(fd, path, input_file.CONFIG)
            finally:
                os.close(fd)
    except OSError as error:
        raise exception.HostError(
            f"{path}: can't be read: {error.strerror or error}",
            trust.mend(error),
        ) from error
    try:
        logging.config.fileConfig(
            io.StringIO(text.decode()), disable_existing_loggers=False
        )
    except Exception as error:
        # It may name whatever there is, and run it.
        why = " ".join(str(error).split())
        raise exception.HostError(
            f"{path}: is no configuration of logging:"
            f" {type(error).__name__}: {why}"
        ) from error


def tell_once(handler: logging.Handler) -> None:
    """Let a handler say in a line that it can't log, where it would trace.

    A disk may be full by now. What was to be done is done all the same.
    """
    said = False

    def lost(record: logging.LogRecord) -> None:
        del record
        nonlocal said
        if said:
            return
        said = True
        error = sys.exc_info()[1]
        sys.stderr.write(
            f"warning: not all could be logged: {shown.line(str(error))}\n"
        )

    handler.handleError = lost  # type: ignore[method-assign] # for this alone


def handlers() -> ty.Iterator[logging.Handler]:
    """All that any logger has."""
    root = logging.getLogger()
    for logger in (root, *root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield from logger.handlers


class FirstRecord(logging.Handler):
    """Sets up logging when there is something to log, which is rare.

    oslo.log would be half of the time that most commands take.

    :param set_up: replaces this handler by others, and sets levels
    """

    def __init__(self, set_up: ty.Callable[[], None]) -> None:
        super().__init__()
        self._set_up = set_up

    @classmethod
    def wait(cls, set_up: ty.Callable[[], None], level: int) -> None:
        """Be the only handler until then.

        The root's level is the lowest that any logger has afterwards.

        :param level: of what is logged of our own
        """
        logging.basicConfig(
            level=logging.INFO, handlers=[cls(set_up)], force=True
        )
        logging.getLogger("nova_vfio_variant").setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Set it up, and log this as if it had been so before."""
        self._set_up()
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
