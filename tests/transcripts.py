# SPDX-License-Identifier: Apache-2.0
"""Sessions that stand in the documentation, run again and compared.

A comment before a literal block says what the block is::

    .. transcript-file: nova.conf      the block is this file
    .. transcript: two-node-igb-nvme   commands and what they say, on this host
    .. transcript:                     more, on the host as it is by now

The host is a recording, by its name, that answers as a kernel does, or one with
a card whose VFs take vGPUs (``vgpu-card``). What
stands behind ``$`` is run by a shell, in a folder of its own, where
``nova-vfio`` reads that host, ``nova.conf`` (the demo's, unless the page has
one) and a state path that is empty at first.

``python -m tests.transcripts`` writes what the commands say now into every
page, and draws the picture of a session that the README shows.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import textwrap
import typing as ty
from xml.sax import saxutils

from nova_vfio_variant.testing import fake_host
from tests import fake_program, pages
from tests.functional import claimed_vgpus

CHECKOUT = pages.CHECKOUT
#: The name of a host with a card that takes vGPUs, of which is no recording.
VGPU_CARD: ty.Final = "vgpu-card"
#: Whose session the README's picture shows, and the picture.
DRAWN = CHECKOUT / "doc/source/user/index.rst"
PICTURE = CHECKOUT / "doc/source/_static/session.svg"

_MARK = re.compile(r"\.\. (transcript|transcript-file):(?: +(\S+))?$")
_BLOCK = re.compile(r"(.*::|\.\. code-block:: *\S*)$")
#: What only a host says that is made of files.
_UNSEEN = "note: this host root doesn't show "


@dataclasses.dataclass(frozen=True)
class Block:
    """A marked block of a page.

    :param kind: ``transcript`` or ``transcript-file``
    :param name: the host or the file, if any
    :param start: its first line
    :param end: the line behind its last
    :param lines: what stands in it, without the indentation
    """

    kind: str
    name: str | None
    start: int
    end: int
    lines: tuple[str, ...]


def blocks(text: str) -> ty.Iterator[Block]:
    """The marked blocks of a page.

    :raises ValueError: no literal block stands behind a mark
    """
    lines = text.splitlines()
    for number, line in enumerate(lines):
        mark = _MARK.match(line)
        if mark is None:
            continue
        start = number + 1
        while start < len(lines) and not _BLOCK.match(lines[start]):
            start += 1
        start += 1
        while start < len(lines) and not lines[start]:
            start += 1
        end = start
        while end < len(lines) and (not lines[end] or lines[end][0] == " "):
            end += 1
        while end > start and not lines[end - 1]:
            end -= 1
        if start >= end:
            raise ValueError(f"line {number + 1}: no literal block follows")
        inside = textwrap.dedent("\n".join(lines[start:end])).split("\n")
        yield Block(mark[1], mark[2], start, end, tuple(inside))


def commands(lines: ty.Iterable[str]) -> list[str]:
    """What stands behind ``$``, with the lines that a backslash adds."""
    found: list[str] = []
    goes_on = False
    for line in lines:
        if goes_on:
            found[-1] += f"\n{line}"
        elif line.startswith("$ "):
            found.append(line.removeprefix("$ "))
        else:
            continue
        goes_on = line.endswith("\\")
    return found


def recording(name: str) -> pathlib.Path:
    """The file of a recorded host."""
    shipped = CHECKOUT / f"etc/nova-vfio/hosts/{name}.tar.gz"
    if shipped.exists():
        return shipped
    return CHECKOUT / f"tests/functional/cases/{name}/host.tar.gz"


class Session:
    """A folder in which the commands of a page are run.

    :param folder: one that is there, and empty
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._status = 0
        programs = folder / "programs"
        programs.mkdir()
        fake_program.write(
            programs / "nova-vfio",
            config_file="nova.conf",
            host_root="host",
            state_path="state",
        )
        shutil.copy(CHECKOUT / "etc/nova-vfio/demo/nova.conf", folder)
        self._environment = {
            "COLUMNS": "120",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            # So that what is said stands in the order in which it is said.
            "PYTHONUNBUFFERED": "1",
        }

    def begin(self, host: str) -> None:
        """Begin anew on a host."""
        for name in ("host", "state"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        if host == VGPU_CARD:
            claimed_vgpus.with_cards(self._folder / "host", claimed_vgpus.PF)
        else:
            fake_host.FakeHost.load(self._folder / "host", recording(host))

    def write(self, name: str, lines: ty.Sequence[str]) -> None:
        """Write a file."""
        (self._folder / name).write_text("\n".join(lines) + "\n")

    def run(self, command: str) -> list[str]:
        """Run a command, and give what a terminal would show of it."""
        done = subprocess.run(
            ["bash", "-c", f"(exit {self._status}); {command}"],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self._status = done.returncode
        shown = done.stdout.rstrip("\n")
        return [
            line.rstrip()
            for line in (shown.split("\n") if shown else [])
            if not line.startswith(_UNSEEN)
        ]


def replay(text: str) -> str:
    """The page as it has to be, with what its commands say now."""
    lines = text.splitlines()
    with tempfile.TemporaryDirectory(prefix="nova-vfio-page-") as folder:
        session = Session(pathlib.Path(folder))
        shift = 0
        for block in blocks(text):
            if block.kind == "transcript-file":
                assert block.name is not None
                session.write(block.name, block.lines)
                continue
            if block.name is not None:
                session.begin(block.name)
            said: list[str] = []
            for command in commands(block.lines):
                said += f"$ {command}".split("\n")
                said += session.run(command)
            first = lines[block.start + shift]
            indent = first[: len(first) - len(first.lstrip())]
            lines[block.start + shift : block.end + shift] = [
                f"{indent}{line}".rstrip() for line in said
            ]
            shift += len(said) - (block.end - block.start)
    return "\n".join(lines) + "\n"


def marked() -> list[pathlib.Path]:
    """Every page in which something is marked."""
    return [
        path
        for path in pages.paths()
        if any(map(_MARK.match, path.read_text().splitlines()))
    ]


def picture(text: str) -> str:
    """The first session of a page as it looks in a terminal, as SVG."""
    block = next(block for block in blocks(text) if block.kind == "transcript")
    width = 7.3 * max(map(len, block.lines)) + 32
    height = 17 * len(block.lines) + 56
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img"'
            f' width="{width:.0f}" height="{height}"'
            f' viewBox="0 0 {width:.0f} {height}"'
            ' font-family="DejaVu Sans Mono, Menlo, Consolas, monospace"'
            ' font-size="12">'
        ),
        "<title>A session of nova-vfio</title>",
        '<rect width="100%" height="100%" rx="8" fill="#1d2733"/>',
    ]
    for number, colour in enumerate(("#e0605e", "#dfb13f", "#5ab552")):
        parts.append(
            f'<circle cx="{20 + 18 * number}" cy="18" r="5" fill="{colour}"/>'
        )
    for number, line in enumerate(block.lines):
        colour = "#9fd6ff" if line.startswith("$ ") else "#dbe4ec"
        parts.append(
            f'<text x="16" y="{52 + 17 * number}" fill="{colour}"'
            f' textLength="{7.3 * len(line):.1f}" xml:space="preserve">'
            f"{saxutils.escape(line)}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Renew every page, and the picture."""
    for path in marked():
        text = path.read_text()
        renewed = replay(text)
        if renewed != text:
            path.write_text(renewed)
            print(f"renewed {pages.name(path)}")
    PICTURE.write_text(picture(DRAWN.read_text()))


if __name__ == "__main__":
    main()
