# SPDX-License-Identifier: Apache-2.0
"""Questions about files: which values stand in a nova.conf."""

import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant import exception
from nova_vfio_variant.check import deviations
from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.conf import loader, located
from tests.conformance.hosts import choose, evenly
from tests.conformance.nova import Nova
from tests.conformance.question import Question, same, shows

_SECTIONS = ("[pci]", "[pci]", "[pci]", "[DEFAULT]", "[compute]")
_NAMES = (
    "device_spec",
    "device_spec",
    "alias",
    "passthrough_whitelist",
    "pci_passthrough_whitelist",
    "pci_alias",
    "my_ip",
)
_VALUES = (
    '{"vendor_id": "10de", "product_id": "25b6"}',
    '[{"address": "0000:25:00.4"},\n    {"address": "0000:25:00.5"}]',
    '{\n  "vendor_id": "10de",\n\n  "product_id": "25b6"\n }',
    '\'{"vendor_id": "10de"}\'',
    '"{}"',
    "'\"{}\"'",
    "\"{}'",
    '{"vendor_id": "10de"}  # the new cards',
    '{"address": {"bus": "25$"}}',
    '{"address": "$$x"}',
    '{"address": "${nosuch}"}',
    '{"address": "$nosuch"}',
    '{"vendor_id": "$my_ip"}',
    "",
    "  ",
    "{} = {}",
    '{"é": "ß"}',
)
_LINES = (
    "",
    "# a comment",
    "; another",
    "#device_spec = {}",
    "  # an indented one",
    "[pci",
    "device_spec",
    "= {}",
    "\ufeff",
)
_SEPARATORS = (" = ", "=", ":", " : ", "= ", " =")


@st.composite
def _files(draw: st.DrawFn) -> list[str]:
    """One or two files, most of them fine."""
    return [draw(_one_file()) for _ in range(draw(evenly(1, 2)))]


@st.composite
def _one_file(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(evenly(0, 3))):
        lines.append(choose(draw, _SECTIONS))
        for _ in range(draw(evenly(0, 3))):
            if draw(evenly(0, 19)) == 0:
                lines.append(choose(draw, _LINES))
            name = choose(draw, _NAMES)
            separator = choose(draw, _SEPARATORS)
            lines.append(f"{name}{separator}{choose(draw, _VALUES)}")
    end = choose(draw, ("\n", "\n", "", "\r\n"))
    return "\n".join(lines) + end


def _ours(files: list[str]) -> dict[str, Any]:
    """Return our values, or that we refuse."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, text in enumerate(files):
            path = pathlib.Path(folder, f"{number}.conf")
            path.write_text(text, encoding="utf-8", newline="")
            paths.append(str(path))
        try:
            conf = loader.load(paths, [])
        except exception.ConfigError as error:
            return {"refused": str(error)}
        return {
            option: [
                value.text for value in located.values(conf, "pci", option)
            ]
            for option in ("device_spec", "alias")
        }


def _compare(nova: Nova, files: list[str]) -> Iterable[Deviation]:
    theirs = nova.ask("config", files=files).value
    ours = _ours(files)
    if "refused" in theirs and "refused" in ours:
        return []
    if "refused" in ours and any("$my_ip" in text for text in files):
        assert not any(_sets_my_ip(text) for text in files), files
        return [deviations.BORROWED_OPTION]
    same(theirs, ours, files)
    return []


def _sets_my_ip(text: str) -> bool:
    """Whether a file sets the option that values refer to."""
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line
        elif section == "[DEFAULT]" and line.startswith("my_ip"):
            return True
    return False


@shows(
    deviations.BORROWED_OPTION,
    nova={"refused": "NoSuchOptError"},
    ours={"device_spec": ["25"], "alias": []},
)
def _borrowed_option(nova: Nova) -> tuple[Any, Any]:
    files = ["[DEFAULT]\nmy_bus = 25\n[pci]\ndevice_spec = $my_bus\n"]
    return nova.ask("config", files=files).value, _ours(files)


QUESTIONS = (Question("nova.conf files", 6, _files(), _compare),)
