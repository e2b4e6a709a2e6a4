# SPDX-License-Identifier: Apache-2.0
"""A kind of input: how it is made, and who reads it."""

import abc
import dataclasses
import os
import pathlib
import random
import shutil
import typing as ty

from nova_vfio_variant import exception

#: What can be cut into pieces, to find the one that matters.
Data = str | bytes | tuple[ty.Any, ...]

#: Seconds that nothing may take longer than.
SECONDS: ty.Final = 20
#: What a canary says.
_CANARY = "Nobody writes here.\n"


class Fault(AssertionError):
    """What must not come of any input."""


@dataclasses.dataclass(frozen=True, slots=True)
class Input:
    """An input.

    :param data: what is read
    :param damaged: it is known that nobody may take it
    """

    data: Data
    damaged: bool = False


class Place:
    """Where the run may write, and what it must leave as it is.

    :param root: a folder of its own
    :ivar work: emptied before each input
    :ivar guard: beside it; no path in any input should lead there
    """

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.work = root / "work"
        self.guard = root / "guard"
        self.home = root / "home"
        self.temporary = root / "tmp"
        for folder in (self.work, self.guard, self.home, self.temporary):
            folder.mkdir()
        (self.guard / "canary").write_text(_CANARY)
        (self.guard / "folder").mkdir()
        (self.guard / "folder/canary.conf").write_text(_CANARY)
        self._before = self._seen()

    def enter(self) -> None:
        """Make this process's home and temporary files stand here."""
        for name in list(os.environ):
            if name.startswith(("OS_", "XDG_", "PYTHONWARN")):
                del os.environ[name]
        os.environ["HOME"] = str(self.home)
        os.environ["TMPDIR"] = str(self.temporary)
        os.chdir(self.home)

    def clear(self) -> None:
        """Empty the work folder."""
        if any(self.work.iterdir()):
            shutil.rmtree(self.work)
            self.work.mkdir()

    def expect_untouched(self) -> None:
        """See that nothing was written but in the work folder.

        :raises Fault: something was
        """
        now = self._seen()
        if now != self._before:
            changed = {path for path, _ in self._before ^ now}
            self._before = now
            raise Fault(f"written outside of its folders: {sorted(changed)}")

    def _seen(self) -> frozenset[tuple[str, tuple[int, ...]]]:
        """Each file that isn't in the work folder, with what tells a write."""
        found = set()
        for folder, names, files in os.walk(self.root):
            if folder == str(self.root):
                names.remove("work")
            for name in (*names, *files):
                path = os.path.join(folder, name)
                seen = os.lstat(path)
                state: tuple[int, ...] = (seen.st_mode, seen.st_ino)
                if name in files:
                    state += (seen.st_size, seen.st_mtime_ns)
                found.add((path, state))
        return frozenset(found)


class Kind(abc.ABC):
    """One kind of input.

    :cvar name: what the summary calls it
    :cvar share: its part of all inputs
    :cvar seconds: that reading one may take
    """

    name: ty.ClassVar[str]
    share: ty.ClassVar[int]
    seconds: ty.ClassVar[float] = SECONDS

    def begin(self, place: Place) -> None:
        """Make ready what all inputs of this kind need, once a process."""
        del place

    @abc.abstractmethod
    def make(self, rng: random.Random) -> Input:
        """Make an input; the same random numbers make the same one."""

    def is_for_a_command(self, given: ty.Any) -> bool:
        """Whether a command reads this input, and no function alone."""
        return True

    @abc.abstractmethod
    def read(self, given: ty.Any, place: Place) -> bool:
        """Let it be read.

        :param given: an input's data, or a piece of it
        :returns: whether it was taken
        :raises VfioVariantError: it was refused, which is as good
        """

    def ask(self, given: ty.Any, place: Place) -> bool:
        """The same; False where it was refused by an error."""
        place.clear()
        try:
            taken = self.read(given, place)
        except exception.VfioVariantError as error:
            # Whoever shows it needs its text.
            str(error).encode("utf-8", "backslashreplace")
            taken = False
        place.expect_untouched()
        return taken
