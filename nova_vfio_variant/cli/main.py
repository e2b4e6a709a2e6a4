# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio``: the application, its global options and its commands."""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.metadata
import logging
import sys
import typing as ty

from cliff import app, command, commandmanager

from nova_vfio_variant import exception, shown
from nova_vfio_variant.cli import (
    completion,
    log_lines,
    options,
    script_words,
    streams,
    widths,
)

DESCRIPTION = (
    "Prove that nova.conf, the host, the tracker and Placement agree about"
    " PCI devices, and make them agree."
)

_PACKAGE = "nova_vfio_variant.cli"

#: So many new objects make Python look for circles among them. At its own 700
#: it looks, while modules are imported, for 4 to 9 % of a command's time.
_OBJECTS = 50_000

#: Each command and the class that does it; imported when it is called.
COMMANDS = {
    "explain": "explain:Explain",
    "capabilities": "capabilities:Capabilities",
    "host list": "host:List",
    "host show": "host:Show",
    "host snapshot": "host:Snapshot",
    "host diff": "host_diff:Diff",
    "host plan": "host_prepare:Plan",
    "host apply": "host_prepare:Apply",
    "host restore": "host_prepare:Restore",
    "host recover": "host_prepare:Recover",
    "config check": "config:Check",
    "config explain": "config:Explain",
    "config suggest": "config:Suggest",
    "device sync": "device:Sync",
    "device list": "device:List",
    "device show": "device:Show",
    "device allow": "device:Allow",
    "device disallow": "device:Disallow",
    "device register": "device_name:Register",
    "device unregister": "device_name:Unregister",
    "device available": "device_name:Available",
    "device bind": "device_host:Bind",
    "device unbind": "device_host:Unbind",
    "device reset": "device_host:Reset",
    "device scrub": "device_host:Scrub",
    "device cordon": "cordon:Cordon",
    "device drain": "cordon:Drain",
    "device uncordon": "cordon:Uncordon",
    "claim create": "claim:Create",
    "claim adopt": "claim_adopt:Adopt",
    "claim list": "claim:List",
    "claim show": "claim:Show",
    "claim prepare": "claim:Prepare",
    "claim started": "claim:Started",
    "claim release": "claim:Release",
    "claim delete": "claim:Delete",
    "flavor check": "flavor:Check",
    "flavor list": "flavor:List",
    "guest xml": "guest:Xml",
    "guest qemu": "guest:Qemu",
    "guest cloud-hypervisor": "guest:CloudHypervisor",
    "guest vdsm-hook": "vdsm:Hook",
    "migration check": "migration:Check",
    "migration plan": "migration:Plan",
    "vgpu report": "vgpu_health:Report",
    "vgpu health": "vgpu_health:Health",
    "vgpu clear": "vgpu_health:Clear",
    "reconcile": "reconcile:Reconcile",
    "store backup": "store:Backup",
    "store restore": "store:Restore",
    "inventory show": "inventory:Show",
    "inventory diff": "inventory:Diff",
    "inventory report": "inventory:Report",
    "mdev types": "mdev:MdevTypes",
    "mdev list": "mdev:List",
    "mdev create": "mdev:Create",
    "mdev delete": "mdev:Delete",
    "mdev definition": "mdev_definition:Definition",
    "vgpu types": "vgpu_types:Types",
    "vgpu set": "vgpu:Set",
    "vgpu apply": "vgpu:Apply",
    "vgpu assert": "vgpu:Assert",
    "vgpu recycle": "vgpu:Recycle",
}


#: Of cliff's own commands, as ours have one each.
_EXAMPLES: ty.Final = {
    "complete": "complete --shell zsh",
    "help": "help host list",
}


class Commands(commandmanager.CommandManager):
    """The commands of ``COMMANDS``, each imported when it is needed."""

    def __init__(self) -> None:
        super().__init__("")  # no entry points
        self.commands.update(
            {
                name: importlib.metadata.EntryPoint(
                    name, f"{_PACKAGE}.{place}", _PACKAGE
                )
                for name, place in COMMANDS.items()
            }
        )

    def add_command(
        self, name: str, command_class: type[command.Command]
    ) -> None:
        """Add one of cliff's own; what is typed wrongly ends it as ours."""
        if name == "complete":
            command_class = completion.Complete

        class Ours(command_class):  # type: ignore[misc,valid-type] # cliff's
            __doc__ = command_class.__doc__
            example = _EXAMPLES[name]

            def get_epilog(self) -> str:
                return f"Example: {App.NAME} {self.example}"

            def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
                parser = super().get_parser(prog_name)
                parser.error = functools.partial(options.reject, parser)
                script_words.check(parser)
                return ty.cast("argparse.ArgumentParser", parser)

        super().add_command(name, Ours)


class _Parser(options.Parser):
    """One whose help has an example for each command.

    :param commands: all of them; they are imported when help is asked for
    """

    def __init__(
        self, commands: commandmanager.CommandManager, **more: ty.Any
    ) -> None:
        super().__init__(**more)
        self._commands = commands

    def format_help(self) -> str:
        """The options, then the examples; cliff adds the commands."""
        examples = "".join(
            f"  {App.NAME} {ty.cast('ty.Any', found.load()).example}\n"
            for _, found in sorted(self._commands)
        )
        return f"{super().format_help()}\nExamples:\n{examples}"


class App(app.App):
    """The application: global options, then one command."""

    NAME = "nova-vfio"

    def __init__(self) -> None:
        super().__init__(DESCRIPTION, None, Commands(), deferred_help=True)

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, ty.Any] | None = None,
    ) -> argparse.ArgumentParser:
        """The global options; they may stand before or behind a command."""
        parser = _Parser(
            self.command_manager,
            prog=self.NAME,
            description=description,
            add_help=False,
            allow_abbrev=False,
            **argparse_kwargs or {},
        )
        options.add_version(parser)
        parser.add_argument(
            "-h",
            "--help",
            dest="deferred_help",
            action="store_true",
            help="show this help, or a command's, and exit",
        )
        options.add_node_options(parser)
        options.add_fail_on(parser)
        loudness = parser.add_mutually_exclusive_group()
        loudness.add_argument(
            "-v",
            "--verbose",
            action="count",
            dest="verbose_level",
            default=1,
            help=(
                "log each thing that is done; -vv also what was seen, and"
                " what each library does"
            ),
        )
        loudness.add_argument(
            "-q",
            "--quiet",
            action="store_const",
            dest="verbose_level",
            const=0,
            help="say nothing but errors on standard error",
        )
        options.add_log_files(parser)
        parser.add_argument(
            "--debug",
            action="store_true",
            help=options.DEBUG_HELP,
        )
        return parser

    def configure_logging(self) -> None:
        """Logging waits until a command runs: it needs oslo.log."""

    def prepare_to_run_command(self, cmd: command.Command) -> None:
        """Set up logging, as soon as something is logged."""
        wrong = widths.unread()
        if wrong is not None:
            options.reject(self.parser, wrong, "unset it, or write 0 or 1")
        given = self.options
        set_up = functools.partial(
            set_up_logging,
            self.NAME,
            debug=given.debug,
            verbose_level=given.verbose_level,
            log_file=given.log_file,
            log_config=given.log_config_append,
        )
        if (
            given.debug
            or given.verbose_level > 2
            or given.log_file
            or given.log_config_append
        ):
            try:
                set_up()
            except exception.HostError as error:
                options.reject(self.parser, error.message, error.hint)
        else:
            log_lines.FirstRecord.wait(set_up, _LEVELS[given.verbose_level])

    def run(self, argv: list[str]) -> int:
        """Run one command. Every failure gives status 2."""
        from stevedore import _cache

        # What only reads writes nothing, and stevedore has no public switch
        # to keep it from the home folder of whoever runs this.
        _cache._c._disable_caching = True  # noqa: SLF001 - see above
        if not argv:
            argv = ["--help"]
        return super().run(argv)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run it; an unknown command is a failure as any other."""
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            if argv[0].startswith("-"):
                options.reject(self.parser, f"unrecognized option {argv[0]}")
            words = " ".join(argv[:2])
            near = _near(words) or _near(argv[0])
            self.stderr.write(
                f"error: {shown.short(words)!r} is no command of {self.NAME}\n"
            )
            if near:
                self.stderr.write(f"hint: did you mean {', '.join(near)}?\n")
            return 2
        status = super().run_subcommand(argv)
        return options.exit_status(status, self.options.fail_on)

    def interact(self) -> ty.NoReturn:
        """There is no shell: options without a command are a mistake."""
        options.reject(self.parser, "a command is missing")


def _near(words: str) -> list[str]:
    """Commands that begin so, else the one that is written most alike."""
    import difflib

    begin = [name for name in sorted(COMMANDS) if name.startswith(f"{words} ")]
    return begin or difflib.get_close_matches(words, COMMANDS, 1)


#: What is logged of our own, by how loud we are.
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO)

#: Of libraries, what is no error of ours in other words.
_OF_LIBRARIES = (
    "alembic=WARNING",
    "oslo.privsep=WARNING",
    # It names deprecated options; config check does so better.
    "oslo_config=ERROR",
    # They log a traceback with what becomes an error of ours.
    "oslo_db=CRITICAL",
    "placement=CRITICAL",
    # They warn of what becomes an error of ours.
    "keystoneauth=ERROR",
    "urllib3=ERROR",
    "openstack=ERROR",
    "stevedore=ERROR",
)


def set_up_logging(
    name: str,
    *,
    debug: bool = False,
    verbose_level: int = 1,
    log_file: str | None = None,
    log_config: str | None = None,
) -> None:
    """Set up oslo.log, on standard error, and in a file if one is named.

    The operator's nova.conf names Nova's log files; they are not ours to
    write, so its logging options are not read.

    :param name: the program's
    :param verbose_level: 0 for errors, 1 for warnings, 2 for infos, 3 for all
    :param log_config: a file that says the rest; what is told above of
        loudness then counts for nothing
    :raises HostError: a file can't be read or written, or may be a stranger's
    """
    from oslo_config import cfg
    from oslo_log import log

    # Before anything is set up: it may be refused. oslo.log would open it by
    # name, through links, and let the umask say who may read it.
    handler = log_lines.to_file(log_file) if log_file else None

    conf = cfg.ConfigOpts()
    log.register_options(conf)
    conf([], project=name, default_config_files=[])
    loud = debug or verbose_level > 2
    conf.set_override("debug", loud)
    # Without this it writes to standard output, into our JSON.
    conf.set_override("use_stderr", True)
    if loud:
        logging.getLogger("nova_vfio_variant").setLevel(logging.DEBUG)
    else:
        level = logging.getLevelName(_LEVELS[verbose_level])
        conf.set_override(
            "default_log_levels",
            [
                # The last one of a name counts.
                *conf.default_log_levels,
                f"nova_vfio_variant={level}",
                *_OF_LIBRARIES,
            ],
        )
    log.setup(conf, name)
    root = logging.getLogger()
    if handler is not None:
        handler.setFormatter(root.handlers[0].formatter)
    if log_config is not None:
        log_lines.configure(log_config)
    if handler is not None:
        root.addHandler(handler)
    for each in log_lines.handlers():
        each.setFormatter(log_lines.Formatter(each.formatter))
        log_lines.tell_once(each)


def main(argv: list[str] | None = None) -> int:
    """Run ``nova-vfio``; the exit status is what it returns.

    :param argv: the words of the command line without the program's name
    """
    gc.set_threshold(_OBJECTS)
    words = sys.argv[1:] if argv is None else argv
    return streams.run(lambda: App().run(words))
