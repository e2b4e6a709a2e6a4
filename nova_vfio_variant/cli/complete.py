# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio complete``: a script by which bash completes our commands.

cliff's own needs the package bash-completion, and knows nothing of options
before the command.
"""

import argparse
import typing as ty

from nova_vfio_variant.cli import base, main, status

#: Stands for a value that is a file, or anything; bash itself completes it.
_FILE = "FILE"

_BEGIN = """\
# Completion for bash, and for zsh after: autoload -U bashcompinit; bashcompinit
_nova_vfio_complete() {
  local cur=${COMP_WORDS[COMP_CWORD]} path=$1 takes= words word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == "=" ]]; then continue; fi
    if [[ $takes ]]; then takes=; continue; fi
    if [[ $word == -* ]]; then
      case "$path $word" in
"""
_PATHS = """\
      esac
      continue
    fi
    case "$path $word" in
"""
_CHOICES = """\
    esac
  done
  if [[ $cur == "=" ]]; then cur=; fi
  case "$takes" in
"""
_WORDS = """\
    ?*) return ;;
    *) case "$path" in
"""
_END = """\
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
_nova_vfio() { _nova_vfio_complete nova-vfio; }
_nova_vfio_status() { _nova_vfio_complete nova-vfio-status; }
complete -o default -F _nova_vfio nova-vfio
complete -o default -F _nova_vfio_status nova-vfio-status
"""


class Complete(base.Base):
    """Print a script by which bash completes commands and options.

    Of nova-vfio and of nova-vfio-status. It needs nothing but bash.
    """

    example = "complete > /etc/bash_completion.d/nova-vfio"

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print it."""
        del parsed_args
        parsers = {
            f"{main.App.NAME} {name}": self._parser(name)
            for name in main.COMMANDS
        }
        parsers[main.App.NAME] = self.app.parser
        parsers |= _below(status.NAME, status.parser())
        self.app.stdout.write(script(parsers))

    def _parser(self, name: str) -> argparse.ArgumentParser:
        command, *_ = self.app.command_manager.find_command(name.split())
        parser: argparse.ArgumentParser = command(self.app, None).get_parser(
            f"{main.App.NAME} {name}"
        )
        return parser


def script(parsers: ty.Mapping[str, argparse.ArgumentParser]) -> str:
    """The script for some programs.

    :param parsers: program and command, ``nova-vfio host list``, and its
        parser
    """
    words: dict[str, set[str]] = {path: set() for path in parsers}
    for path in parsers:
        parts = path.split()
        for end in range(1, len(parts)):
            words.setdefault(" ".join(parts[:end]), set()).add(parts[end])
    takes: list[tuple[str, str, str]] = []
    for path, found in sorted(words.items()):
        options: dict[str, str | None] = {}
        if path.partition(" ")[0] == main.App.NAME:
            # They may stand behind a command, too.
            options |= _options(parsers[main.App.NAME])
        if path in parsers:
            options |= _options(parsers[path])
        found.update(options)
        takes += [
            (path, word, values)
            for word, values in sorted(options.items())
            if values is not None
        ]
    choices = sorted({values for _, _, values in takes} - {_FILE})
    return "".join(
        [
            _BEGIN,
            *(
                f'        "{path} {word}") takes="{values}" ;;\n'
                for path, word, values in takes
            ),
            _PATHS,
            *(
                f'      "{path}") path="{path}" ;;\n'
                for path in sorted(words)
                if " " in path
            ),
            _CHOICES,
            *(f'    "{one}") words="{one}" ;;\n' for one in choices),
            _WORDS,
            *(
                f'      "{path}") words="{" ".join(sorted(found))}" ;;\n'
                for path, found in sorted(words.items())
            ),
            _END,
        ]
    )


def _options(parser: argparse.ArgumentParser) -> dict[str, str | None]:
    """Each option, and the values it takes; None if it takes none."""
    return {
        word: None
        if action.nargs == 0
        else " ".join(map(str, action.choices or ())) or _FILE
        for action in parser._get_optional_actions()  # noqa: SLF001 - as cliff
        for word in action.option_strings
    }


def _below(
    path: str, parser: argparse.ArgumentParser
) -> dict[str, argparse.ArgumentParser]:
    """A parser and those of its subcommands, by path."""
    found = {path: parser}
    for action in parser._get_positional_actions():  # noqa: SLF001 - see above
        if isinstance(action.choices, dict):
            for word, inner in action.choices.items():
                found |= _below(f"{path} {word}", inner)
    return found
