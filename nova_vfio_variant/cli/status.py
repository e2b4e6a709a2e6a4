# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio-status upgrade check``."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys

from nova_vfio_variant import exception, shown
from nova_vfio_variant.cli import main as cli_main
from nova_vfio_variant.cli import options as cli_options
from nova_vfio_variant.cli import streams
from nova_vfio_variant.node import context

NAME = "nova-vfio-status"

#: Not to be confused with the checks' own 0, 1 and 2.
_BROKEN = 255


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = cli_options.Parser(
        prog=NAME,
        description="Look whether a new version finds all in order.",
        epilog=f"Example: {NAME} upgrade check --json",
        allow_abbrev=False,
    )
    cli_options.add_version(top)
    cli_options.add_node_options(top)
    cli_options.add_fail_on(top)
    top.add_argument(
        "--debug",
        action="store_true",
        help=cli_options.DEBUG_HELP,
    )
    upgrade = top.add_subparsers(required=True, metavar="upgrade").add_parser(
        "upgrade", help="about upgrades"
    )
    check = upgrade.add_subparsers(required=True, metavar="check").add_parser(
        "check",
        help="check the state database, nova.conf, the host and Placement",
        description=(
            "Check whether the state database, nova.conf, the host and"
            " Placement are fit for this version. Status 0: all is fine; 1:"
            " there are warnings; 2: something must be mended first; 255:"
            " the checks could not be made. --fail-on makes 0 of some."
        ),
        epilog=f"Example: {NAME} upgrade check --json",
    )
    check.add_argument(
        "--json", action="store_true", help="print JSON instead of a table"
    )
    return top


def main(argv: list[str] | None = None) -> int:
    """Run ``nova-vfio-status``; the exit status is what it returns.

    :param argv: the words of the command line without the program's name
    """
    return streams.run(lambda: _run(argv), _BROKEN)


def _run(argv: list[str] | None) -> int:
    options = parser().parse_args(argv)
    cli_main.set_up_logging(NAME, debug=options.debug)
    try:
        status = _check(options)
    except Exception as error:
        if options.debug:
            raise
        message = (
            error.message
            if isinstance(error, exception.VfioVariantError)
            else f"{type(error).__name__}: {' '.join(str(error).split())}"
        )
        sys.stderr.write(f"error: {shown.line(message)}\n")
        status = _BROKEN
    return cli_options.exit_status(status, options.fail_on)


def _check(options: argparse.Namespace) -> int:
    from oslo_config import cfg
    from oslo_upgradecheck import upgradecheck

    from nova_vfio_variant.node import upgrade

    checks = upgrade.Checks(
        context.Context(
            options.config_file,
            options.config_dir,
            options.host_root,
            options.state_path,
        )
    )
    # As upgradecheck.main does, whose run prints tracebacks.
    conf = cfg.ConfigOpts()
    upgradecheck.register_cli_options(conf, checks)
    words = ["upgrade", "check", *(["--json"] if options.json else [])]
    conf(words, project=NAME, default_config_files=[], default_config_dirs=[])
    upgradecheck.CONF = conf
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = checks.check()
    sys.stdout.write(shown.lines(printed.getvalue()))
    return int(status)
