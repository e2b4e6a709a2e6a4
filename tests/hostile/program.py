# SPDX-License-Identifier: Apache-2.0
"""The installed program, started as a user starts it."""

import contextlib
import os
import pathlib
import pty
import random
import select
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
import typing as ty

from tests.hostile import (
    host_files,
    inside,
    kind,
    mutations,
    runs,
    state_files,
    texts,
)

#: The program's own time is watched here; this is for whoever waits for it.
_PATIENCE: ty.Final = 300
PROGRAM: ty.Final = pathlib.Path(sys.executable).with_name("nova-vfio")
#: More of its output isn't kept.
_SHOWN: ty.Final = 1 << 20


def _ended(
    words: tuple[str, ...], started: "subprocess.Popen[bytes]", said: ty.Any
) -> inside.Done:
    """How it ended, once it has.

    :param said: gives what it said on both
    :raises kind.Fault: it took too long, or too much
    """
    watch = runs.Watch(started.pid)
    pid = 0
    while not pid:
        pid, status, used = os.wait4(started.pid, os.WNOHANG)
        if not pid and watch.seconds > kind.SECONDS:
            started.kill()
            os.wait4(started.pid, 0)
            raise kind.Fault(
                f"it takes more than {kind.SECONDS} seconds:"
                f" nova-vfio {shlex.join(words)!s:.2000}"
            )
        time.sleep(0.01)
    started.returncode = os.waitstatus_to_exitcode(status)
    if used.ru_maxrss << 10 > runs.MEMORY:
        raise kind.Fault(f"it takes {used.ru_maxrss >> 10} MiB")
    out, err = said()
    return inside.Done(words, started.returncode, out, err)


def run(words: tuple[str, ...]) -> inside.Done:
    """Run it, with standard output and errors in files."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = subprocess.Popen(
            [PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )

        def said() -> tuple[str, str]:
            for file in (out, err):
                file.seek(0)
            return _text(out.read(_SHOWN)), _text(err.read(_SHOWN))

        return _ended(words, started, said)


def run_in_a_terminal(words: tuple[str, ...]) -> inside.Done:
    """Run it in a terminal, where both are one."""
    ours, theirs = pty.openpty()
    try:
        started = subprocess.Popen(
            [PROGRAM, *words], stdin=theirs, stdout=theirs, stderr=theirs
        )
    finally:
        os.close(theirs)
    found = bytearray()

    def listen() -> None:
        # At its end Linux says EIO.
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65536):
                found.extend(piece[: max(_SHOWN - len(found), 0)])

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()

    def said() -> tuple[str, str]:
        listener.join(5)
        return "", _text(bytes(found))

    try:
        return _ended(words, started, said)
    finally:
        os.close(ours)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\ufffd", "?")


class Installed(kind.Kind):
    """Inputs of another kind, read by the program itself."""

    # Each has its own.
    name: str  # type: ignore[misc]
    share: int  # type: ignore[misc]
    seconds = _PATIENCE

    def __init__(self, inner: kind.Kind, share: int) -> None:
        self._inner = inner
        self.name = f"program: {inner.name}"
        self.share = share

    def begin(self, place: kind.Place) -> None:
        """As the other kind."""
        self._inner.begin(place)

    def make(self, rng: random.Random) -> kind.Input:
        """One that a command reads."""
        while True:
            made = self._inner.make(rng)
            if self._inner.is_for_a_command(made.data):
                return made

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """As the other kind does, with another process."""
        with inside.run_by(run):
            return self._inner.read(given, place)


class Terminals(texts.CommandLines):
    """What is typed at odd terminals, and said into closed pipes."""

    name = "program: terminals"
    seconds = _PATIENCE
    share = 12
    _VARIABLES: ty.Final = (
        *(("COLUMNS", "1"), ("COLUMNS", "0"), ("COLUMNS", "-5")),
        *(("COLUMNS", "99999999"), ("COLUMNS", "x"), ("TERM", "nonsense")),
        *(("LC_ALL", "C"), ("LC_ALL", "tr_TR.UTF-8"), ("LANG", "x.y@z")),
        *(("PYTHONIOENCODING", "ascii"), ("CLIFF_MAX_TERM_WIDTH", "x")),
        *(("NO_COLOR", "1"), ("CLIFF_MAX_TERM_WIDTH", "-1"), ("TZ", ":/x")),
    )

    def make(self, rng: random.Random) -> kind.Input:
        """Words, and the terminal."""
        made = super().make(rng).data
        return kind.Input(
            (rng.choice(self._VARIABLES), rng.choice(self._VARIABLES), *made)
        )

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Type it there."""
        before = dict(os.environ)
        words = [word for word in given if isinstance(word, str)]
        os.environ.update(word for word in given if isinstance(word, tuple))
        # Nobody is there to turn pages.
        os.environ["PAGER"] = "cat"
        try:
            with inside.run_by(run_in_a_terminal):
                return super().read(words, place)
        finally:
            os.environ.clear()
            os.environ.update(before)


class StatePaths(kind.Kind):
    """A state path, or a log file, that is no folder of ours."""

    name = "program: state paths"
    seconds = _PATIENCE
    share = 12
    _WAYS: ty.Final = (
        *("file", "fifo", "loop", "dangling", "long", "device", "database"),
        *("lock is a folder", "store is a folder", "store is a fifo"),
        *("journal is a folder", "journal is a fifo", "read-only", "out"),
        *("placement is a folder", "log", "log is a folder", "lock is a link"),
    )
    _WORDS: ty.Final = (
        *(("device", "list"), ("device", "sync"), ("claim", "list")),
        *(("inventory", "report"), ("inventory", "diff"), ("host", "recover")),
        *(("claim", "delete", "11111111-1111-4111-8111-111111111111"),),
        *(("config", "check"), ("explain", "0000:25:00.4")),
    )

    def begin(self, place: kind.Place) -> None:
        """Make a host, and a state that is good."""
        self._made = state_files.Made.make(place)

    def make(self, rng: random.Random) -> kind.Input:
        """What is wrong with it, and a command that comes by."""
        return kind.Input((rng.choice(self._WAYS), rng.choice(self._WORDS)))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Run the command there."""
        way, words = given if len(given) == 2 else ("file", self._WORDS[0])
        state = self._made.copy(place)
        options = [*self._made.options]
        changed = {
            "store": "nova-vfio.sqlite",
            "journal": "host-journal",
            "lock": "nova-vfio.lock",
            "placement": "placement.sqlite",
        }.get(way.partition(" ")[0])
        if changed is not None:
            path = state / changed
            path.unlink(missing_ok=True)
            if way.endswith("fifo"):
                os.mkfifo(path)
            elif way.endswith("link"):
                path.symlink_to(place.guard / "canary")
            else:
                path.mkdir()
        elif way.startswith("log"):
            log = place.guard / "folder" if way != "log" else "/dev/full"
            options.append(f"--log-file={log}")
        else:
            state = self._state(way, state, place)
        with inside.run_by(run):
            done = inside.run(*options, f"--state-path={state}", *words)
        return done.status < 2

    @staticmethod
    def _state(
        way: str, state: pathlib.Path, place: kind.Place
    ) -> pathlib.Path:
        """A path of this kind."""
        other = place.work / "other"
        if way == "file":
            other.write_text("x")
        elif way == "fifo":
            os.mkfifo(other)
        elif way == "loop":
            other.symlink_to("other")
        elif way == "dangling":
            other.symlink_to("nowhere/at/all")
        elif way == "long":
            other = other / ("x" * 300)
        elif way == "device":
            other = pathlib.Path("/dev/null")
        elif way == "database":
            other = state / "nova-vfio.sqlite"
        elif way == "out":
            other = pathlib.Path("/proc/1/nothing")
        else:
            other.mkdir()
            other.chmod(0o500)
        return other


class Servers(kind.Kind):
    """Something that listens where Placement should, and isn't one."""

    name = "program: servers"
    seconds = _PATIENCE
    share = 12
    _HEAD: ty.Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    _SAID: ty.Final = (
        *(b"", b"\r\n", b"\0" * 1000, b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/9.9 x"),
        *(
            b"HTTP/1.1 200 OK\r\n",
            _HEAD,
            _HEAD + b"Content-Length: 99\r\n\r\n{}",
        ),
        _HEAD + b"Content-Length: -1\r\n\r\n{}",
        _HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n{}",
        _HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        _HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n{}",
        _HEAD + b"X: y\r\n" * 1000 + b"\r\n{}",
        _HEAD + b"X\xff\xfe: y\r\n\r\n{}",
        _HEAD + b"Content-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: gopher://x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 500,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 503 \x1b[31m\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 \xff\r\nContent-Length: 0\r\n\r\n",
    )
    _WAYS: ty.Final = ("at once", "in drips", "and stays", "for ever")
    _WORDS: ty.Final = (
        *(("inventory", "show"), ("inventory", "diff"), ("config", "check")),
        *(("inventory", "report"), ("claim", "list")),
        ("claim", "delete", "11111111-1111-4111-8111-111111111111"),
    )

    def begin(self, place: kind.Place) -> None:
        """Make a host, and a state that is good."""
        self._made = state_files.Made.make(place)

    def make(self, rng: random.Random) -> kind.Input:
        """What it says and how, and who asks."""
        said = rng.choice(self._SAID)
        if rng.random() < 0.3:
            said = mutations.data(rng, said)
        return kind.Input(
            ((rng.choice(self._WAYS), rng.choice(self._WORDS), said),)
        )

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Ask it."""
        way, words, said = (
            given[0] if given else ("at once", self._WORDS[0], b"")
        )
        state = self._made.copy(place)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            over = threading.Event()
            server = threading.Thread(
                target=_serve, args=(listening, way, said, over)
            )
            server.start()
            port = listening.getsockname()[1]
            conf = place.work / "nova.conf"
            conf.write_text(
                f"{state_files.CONFIGURATION}[vfio]\nplacement = service\n"
                "[placement]\nauth_type = none\ntimeout = 2\n"
                f"endpoint_override = http://127.0.0.1:{port}\n"
            )
            try:
                with inside.run_by(run):
                    done = inside.run(
                        *(f"--config-file={conf}", self._made.options[1]),
                        *(f"--state-path={state}", *words),
                    )
            finally:
                over.set()
                server.join()
        return done.status < 2


def _serve(
    listening: socket.socket, way: str, said: bytes, over: threading.Event
) -> None:
    """Say it to whoever connects, until it is over."""
    callers: list[threading.Thread] = []
    while not over.is_set():
        if not select.select([listening], [], [], 0.1)[0]:
            continue
        caller, _ = listening.accept()
        callers.append(
            threading.Thread(target=_say, args=(caller, way, said, over))
        )
        callers[-1].start()
    for thread in callers:
        thread.join()


def _say(
    caller: socket.socket, way: str, said: bytes, over: threading.Event
) -> None:
    with caller, contextlib.suppress(OSError):
        caller.settimeout(1)
        caller.recv(65536)
        if way == "in drips":
            for place in range(len(said)):
                if over.wait(0.05):
                    return
                caller.sendall(said[place : place + 1])
            return
        caller.sendall(said)
        if way == "and stays":
            over.wait()
        while way == "for ever" and not over.is_set():
            caller.sendall(said or b"x" * 65536)


KINDS: ty.Final[tuple[kind.Kind, ...]] = (
    Installed(texts.CommandLines(), 20),
    Installed(texts.Files(), 20),
    Installed(texts.Variables(), 12),
    Installed(host_files.Trees(), 12),
    Installed(host_files.Recordings(), 12),
    Installed(state_files.Journals(), 10),
    Installed(state_files.Stores(), 10),
    Installed(state_files.PlacementStores(), 6),
    Terminals(),
    StatePaths(),
    Servers(),
)
