# SPDX-License-Identifier: Apache-2.0
"""Directives for what stands in the code and is shown in the documentation.

* ``.. vfio-commands:: PATTERN``: commands of ``nova-vfio``
* ``.. vfio-status::``: the options of ``nova-vfio-status``
* ``.. vfio-codes::``: every kind of finding
* ``.. vfio-deviations::``: the table of differences from Nova
* ``.. vfio-peers::``: what other managers do, and how it is done here
* ``.. vfio-matrix::``: what was run beside which release of OpenStack
* ``.. vfio-rooms::``: a picture of the code's rooms
* ``.. vfio-way::``: the functions that a VF passes, named below it
"""

import abc
import argparse
import fnmatch
import functools
import re

import beside_nova
import house
import peers
from cliff import command, sphinxext
from docutils import nodes, statemachine
from docutils.parsers import rst
from sphinx import application

from nova_vfio_variant.check import catalogue, deviations
from nova_vfio_variant.cli import main, status


class Commands(sphinxext.AutoprogramCliffDirective):
    """cliff's own directive, with our commands, which no entry point names."""

    def _load_commands(self) -> dict[str, type[command.Command]]:
        manager = main.App().command_manager
        return {
            name: manager.find_command(name.split())[0]
            for name in manager.commands
            if fnmatch.fnmatch(name, self.options["command"])
        }


class _Generated(rst.Directive):
    """Text that is made and then parsed in place."""

    @abc.abstractmethod
    def lines(self) -> list[str]:
        """The reStructuredText that stands for the directive."""

    def run(self) -> list[nodes.Node]:
        text = statemachine.StringList(self.lines(), type(self).__name__)
        section = nodes.section()
        section.document = self.state.document
        self.state.nested_parse(text, 0, section, match_titles=True)
        return list(section.children)


class Deviations(_Generated):
    """The table of what differs from Nova."""

    def lines(self) -> list[str]:
        rows = [".. list-table::", "   :header-rows: 1", "   :widths: 4 3 3 2"]
        rows += ["", "   * - What", "     - Why", "     - Nova"]
        rows += ["     - What ``config check`` says"]
        for row in deviations.TABLE:
            rows.append(f"   * - {_plain(row.what)}")
            rows.append(f"     - {_plain(row.why)}")
            rows.append(f"     - ``{row.nova}``")
            said = ", ".join(code.id for code in row.findings)
            rows.append(f"     - {said or f'Nothing: {_plain(row.silent)}'}")
        return rows


class Peers(_Generated):
    """What other managers do, a table for each of them."""

    def lines(self) -> list[str]:
        text: list[str] = []
        for name, rows in peers.TABLES.items():
            text += [name, "=" * len(name), "", ".. list-table::"]
            text += ["   :header-rows: 1", "   :widths: 3 5 4", ""]
            text += ["   * - There", "     - Here", "     - What is different"]
            for row in rows:
                here = [
                    f"| ``{word}``"
                    for word in (
                        row.command and f"nova-vfio {row.command}",
                        row.call,
                        row.test,
                    )
                    if word
                ]
                text.append(f"   * - {_plain(row.what)}")
                text.append(f"     - {here[0] if here else 'None'}")
                text += [f"       {line}" for line in here[1:]]
                text.append(f"     - {_plain(row.why)}")
            text.append("")
        return text


def _plain(text: str) -> str:
    """Text as it stands: CUSTOM_ and *:*:*.* are no markup."""
    return re.sub(r"([\\*_`|])", r"\\\1", text)


class Codes(_Generated):
    """Every code, with cause, example and mend."""

    def lines(self) -> list[str]:
        text: list[str] = []
        for code in catalogue.everything().values():
            title = _plain(f"{code.id}: {code.title}")
            text += [f".. _{code.id}:", "", title, "-" * len(title), ""]
            text += [f"*{code.severity}.* {_plain(code.cause)}", "", "::", ""]
            text += [f"   {line}" for line in code.example.splitlines()]
            text += ["", _plain(code.mend), ""]
        return text


class Rooms(rst.Directive):
    """Which room of the code imports which, drawn from the code."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", house.picture(), format="html")]


class Way(_Generated):
    """The functions that a VF passes; each line is one for house.way()."""

    has_content = True

    def lines(self) -> list[str]:
        rows = [".. list-table::", "   :header-rows: 1", "   :widths: 2 5 5"]
        rows += [
            "",
            "   * - Command",
            "     - Function",
            "     - What it does",
        ]
        before = ""
        for station in house.way(self.content):
            told = "" if station.command == before else station.command
            rows.append(f"   * - {told and f'``{told}``'}")
            module = station.path.removesuffix(".py")
            rows.append(f"     - ``{module}``: ``{station.function}``")
            rows.append(f"     - {station.said}")
            before = station.command
        return rows


class Status(_Generated):
    """What ``nova-vfio-status`` says of itself."""

    def lines(self) -> list[str]:
        parser = status.parser()
        # Wide enough for the page, whatever the terminal is.
        parser.formatter_class = functools.partial(
            argparse.HelpFormatter, width=79
        )
        text = ["::", ""]
        text += [f"   {line}" for line in parser.format_help().splitlines()]
        return [*text, ""]


class Matrix(_Generated):
    """What was run beside which release, and what wasn't."""

    def lines(self) -> list[str]:
        return beside_nova.page(beside_nova.read())


def setup(app: application.Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.setup_extension("cliff.sphinxext")
    app.add_directive("vfio-commands", Commands)
    app.add_directive("vfio-deviations", Deviations)
    app.add_directive("vfio-peers", Peers)
    app.add_directive("vfio-codes", Codes)
    app.add_directive("vfio-rooms", Rooms)
    app.add_directive("vfio-way", Way)
    app.add_directive("vfio-status", Status)
    app.add_directive("vfio-matrix", Matrix)
    return {"parallel_read_safe": True}
