# SPDX-License-Identifier: Apache-2.0
"""Completion for zsh, beside that for bash, which cliff has."""

from __future__ import annotations

import argparse
import importlib.metadata
import typing as ty

from cliff import complete
from stevedore import extension

if ty.TYPE_CHECKING:
    from cliff import app

#: Words that aren't commands (options before them, and their values) are
#: passed over. It may be sourced, or stand in a folder of $fpath.
_SCRIPT = """\
#compdef NAME
_NAME() {
  local -A known
  known=(
KNOWN
  )
  local place=top next word
  for word in "${(@)words[2,CURRENT-1]}"; do
    [[ $word == help ]] && continue
    next="${word//-/_}"
    [[ $place == top ]] || next="${place}_${next}"
    (( ${+known[$next]} )) && place=$next
  done
  if [[ $known[$place] == -* && $words[CURRENT] != -* ]]; then
    _files
  else
    compadd -- ${=known[$place]}
  fi
}
if [[ $funcstack[1] == _NAME ]]; then
  _NAME "$@"
else
  compdef _NAME NAME
fi
"""


class CompleteZsh(complete.CompleteShellBase):
    """A script that zsh reads."""

    def get_header(self) -> str:
        """What stands before the data."""
        return _SCRIPT.replace("NAME", self.name).partition("KNOWN\n")[0]

    def get_trailer(self) -> str:
        """What stands behind them."""
        return _SCRIPT.replace("NAME", self.name).partition("KNOWN\n")[2]

    def write(self, cmdo: str, data: list[tuple[str, str]]) -> None:
        """Write the script.

        :param cmdo: the first words
        :param data: of each word, joined with ``_``, what may follow it
        """
        self.output.write(self.get_header())
        for words, following in [("top", cmdo), *data]:
            key = words.replace("-", "_")
            self.output.write(f"    {key} '{following}'\n")
        self.output.write(self.get_trailer())


class Complete(complete.CompleteCommand):
    """Print a script that completes commands, for bash or zsh."""

    def __init__(
        self,
        app: app.App,
        app_args: argparse.Namespace,
        cmd_name: str | None = None,
    ) -> None:
        super().__init__(app, app_args, cmd_name)
        self._formatters.extensions.append(
            extension.Extension(
                "zsh",
                importlib.metadata.EntryPoint("zsh", __name__, __name__),
                CompleteZsh,
                None,
            )
        )
