# SPDX-License-Identifier: Apache-2.0
"""Inputs are read by processes that are watched: how long, and how much.

A process tells each input before it reads it, so that of whoever hangs or dies
it is known what it read.
"""

import collections
import contextlib
import dataclasses
import io
import multiprocessing
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import types
import typing as ty
from multiprocessing import connection

from tests import sample_hosts
from tests.hostile import kind

#: Bytes that reading an input may need.
MEMORY: ty.Final = 1 << 30
#: What can't be interrupted is killed so many seconds later.
_MERCY = 5
#: How long, and how often, an input that fails is tried to be made smaller.
_SHRINKING = 10.0
_TRIES = 300

_FORK = multiprocessing.get_context("fork")

#: Name of a kind, and the number of one of its inputs.
Job = tuple[str, int]


class TooSlowError(BaseException):
    """An input took too long. No ``except Exception`` keeps it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """An input that had an effect that none may have.

    :param of: which kind
    :param number: which of its inputs
    :param sort: the same for what goes wrong in the same way
    :param told: what went wrong, for a person
    :param data: the input as Python writes it, made as small as was found
    """

    of: str
    number: int
    sort: str
    told: str
    data: str


@dataclasses.dataclass(slots=True)
class Tally:
    """What became of the inputs of one kind."""

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    slowest: float = 0.0


def made(of: kind.Kind, seed: int, number: int) -> kind.Input:
    """An input: always the same one."""
    return of.make(random.Random(f"{seed}/{of.name}/{number}"))


class Watch:
    """How long a process took, without what it waited for a CPU.

    A machine may be busy with other things; whoever sleeps takes his time.

    :param pid: of the process
    """

    def __init__(self, pid: int | str) -> None:
        self._path = pathlib.Path(f"/proc/{pid}/schedstat")
        self._last = 0.0
        self._begun = time.monotonic() - self._waited()

    def _waited(self) -> float:
        # In nanoseconds (Documentation/scheduler/sched-stats.rst).
        with contextlib.suppress(OSError):
            self._last = int(self._path.read_text().split()[1]) / 1e9
        return self._last

    @property
    def seconds(self) -> float:
        """So many until now."""
        return time.monotonic() - self._begun - self._waited()


@contextlib.contextmanager
def _deadline(seconds: float) -> ty.Iterator[None]:
    watch = Watch("self")

    def alarmed(_number: int, _frame: types.FrameType | None) -> None:
        left = seconds - watch.seconds
        if left <= 0:
            raise TooSlowError
        signal.setitimer(signal.ITIMER_REAL, left + 0.1)

    signal.signal(signal.SIGALRM, alarmed)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _tried(
    of: kind.Kind, given: ty.Any, place: kind.Place
) -> tuple[bool, BaseException | None]:
    """Whether an input was taken, and what it did that none may do."""
    # What libraries print is no answer.
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            with _deadline(of.seconds):
                return of.ask(given, place), None
        except TooSlowError:
            return False, kind.Fault(
                f"it takes more than {of.seconds} seconds"
            )
        # Whatever an input raises that isn't one of ours is what is looked for.
        except BaseException as error:  # noqa: BLE001
            return False, error


def sort_of(error: BaseException) -> str:
    """Where an error came from, the same for the same mistake."""
    where = [
        f"{pathlib.Path(frame.filename).name}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "nova_vfio_variant" in frame.filename
    ]
    text = str(error)
    if isinstance(error, kind.Fault):
        inner = [
            line.split(", in ")[-1]
            for line in text.splitlines()
            if "nova_vfio_variant" in line and ", in " in line
        ]
        return " ".join([text.partition(":")[0], *inner[-1:]])
    return " ".join([type(error).__name__, *where[-1:]])


def _told(error: BaseException) -> str:
    if isinstance(error, kind.Fault):
        return str(error)
    return "".join(traceback.format_exception(error, limit=-12))


def _smaller(
    of: kind.Kind, given: ty.Any, sort: str, place: kind.Place
) -> ty.Any:
    """As little of an input as still fails in the same way."""
    until, tries, size = time.monotonic() + _SHRINKING, 0, len(given) // 2
    while size:
        at = 0
        while at < len(given):
            if time.monotonic() > until or tries > _TRIES:
                return given
            tries += 1
            less = given[:at] + given[at + size :]
            _, error = _tried(of, less, place)
            if error is not None and sort_of(error) == sort:
                given = less
            else:
                at += size
        size //= 2
    return given


def _failed(
    of: kind.Kind,
    number: int,
    given: kind.Input,
    error: BaseException,
    place: kind.Place,
) -> Failure:
    sort = sort_of(error)
    small = given.data
    if not given.damaged and "seconds" not in sort:
        small = _smaller(of, given.data, sort, place)
    return Failure(of.name, number, sort, _told(error), repr(small))


def _one(
    of: kind.Kind, number: int, given: kind.Input, place: kind.Place
) -> tuple[bool, float, Failure | None]:
    """Whether an input was taken, how long it took, and what is wrong."""
    watch = Watch("self")
    taken, error = _tried(of, given.data, place)
    took = watch.seconds
    if error is None and taken and given.damaged:
        error = kind.Fault("what is damaged is taken as if it were whole")
    if error is None:
        return taken, took, None
    return taken, took, _failed(of, number, given, error, place)


def _bounded() -> None:
    """Have no more memory than there is, and so much for reading."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _work(
    kinds: ty.Mapping[str, kind.Kind],
    jobs: ty.Sequence[Job],
    seed: int,
    told: connection.Connection,
) -> None:
    """Read inputs, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=sample_hosts.MEMORY) as folder:
        # What a kind makes once stands beside it, and goes with the folder.
        root = pathlib.Path(folder, "place")
        root.mkdir()
        place = kind.Place(root)
        place.enter()
        for name in dict.fromkeys(name for name, _ in jobs):
            kinds[name].begin(place)
        _bounded()
        for name, number in jobs:
            given = made(kinds[name], seed, number)
            told.send(given.data)
            told.send(_one(kinds[name], number, given, place))
    told.send(None)


class Reader:
    """A process that reads inputs, and what is known of it.

    :param jobs: which ones, in which order
    """

    def __init__(
        self,
        kinds: ty.Mapping[str, kind.Kind],
        jobs: ty.Sequence[Job],
        seed: int,
    ) -> None:
        self._kinds = kinds
        self._jobs = collections.deque(jobs)
        self._seed = seed
        self._start()

    def _start(self) -> None:
        self.answers, theirs = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(
            target=_work,
            args=(self._kinds, list(self._jobs), self._seed, theirs),
        )
        self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self._pid = self._process.pid
        self._at: kind.Data | None = None
        self._since = Watch(self._pid)

    def hear(self) -> tuple[str, bool, float, Failure | None] | None:
        """What became of the input that was read; None if one begins.

        :raises EOFError: there are no more
        """
        try:
            said = self.answers.recv()
        except EOFError:
            return self._died(f"the process ended: {self._ending()}")
        if said is None:
            self._process.join()
            raise EOFError
        self._since = Watch(self._pid)
        if self._at is None:
            self._at = said
            return None
        name, _ = self._jobs.popleft()
        self._at = None
        return name, *said

    def look(self) -> tuple[str, bool, float, Failure | None] | None:
        """The same of one that is read for too long."""
        if self._at is None:
            return None
        name, _ = self._jobs[0]
        seconds = self._kinds[name].seconds
        patience = seconds + _MERCY + _SHRINKING * 2
        if self._since.seconds < patience:
            return None
        self._process.kill()
        return self._died(f"it takes more than {seconds} seconds, for good")

    def _ending(self) -> str:
        self._process.join()
        return f"status {self._process.exitcode}"

    def _died(self, why: str) -> tuple[str, bool, float, Failure | None]:
        """Go on with another process behind the input that it died of."""
        self._process.join()
        self.answers.close()
        if self._at is None:
            raise RuntimeError(f"{why}, and no input was read")
        name, number = self._jobs.popleft()
        failure = Failure(name, number, why, why, repr(self._at))
        self._start()
        return name, False, 0.0, failure

    def end(self) -> None:
        """Leave the rest unread."""
        self._process.kill()
        self._process.join()


def read_all(
    kinds: ty.Sequence[kind.Kind],
    jobs: ty.Sequence[Job],
    seed: int,
    processes: int,
    until: float,
    *,
    first: bool = False,
) -> tuple[dict[str, Tally], list[Failure]]:
    """Have all inputs read.

    :param until: when to leave the rest unread, by the monotonic clock
    :param first: leave it unread once something failed
    """
    by_name = {of.name: of for of in kinds}
    tallies = {of.name: Tally() for of in kinds}
    failures: list[Failure] = []
    readers = [
        Reader(by_name, jobs[start::processes], seed)
        for start in range(processes)
    ]
    while readers and time.monotonic() < until and not (first and failures):
        ready = connection.wait([reader.answers for reader in readers], 1)
        for reader in list(readers):
            try:
                heard = (
                    reader.hear() if reader.answers in ready else reader.look()
                )
            except EOFError:
                readers.remove(reader)
                continue
            if heard is None:
                continue
            name, taken, took, failure = heard
            tally = tallies[name]
            tally.tried += 1
            tally.accepted += taken
            tally.refused += not taken
            tally.slowest = max(tally.slowest, took)
            if failure is not None:
                failures.append(failure)
                print(
                    f"{name} {failure.number}: {failure.sort:.300}",
                    file=sys.stderr,
                    flush=True,
                )
    for reader in readers:
        reader.end()
    return tallies, failures
