# SPDX-License-Identifier: Apache-2.0
"""Findings about the files and the groups of the configuration."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR

FILE_UNREADABLE: ty.Final = finding.Code(
    "VFIO100",
    _ERROR,
    "a configuration file can't be opened",
    "The file or folder does not exist, its permissions keep us out, it is no"
    " regular file (a FIFO would be waited for, a device read for ever), or it"
    " is larger than 64 MiB or 100,000 lines. Nova's own file is often readable for its group"
    " alone.",
    "nova-vfio --config-file /etc/nova/nvoa.conf config check",
    "Correct the path, save what comes through a pipe as a file, or run the"
    " command as root or as a member of the file's group.",
)
NOT_UTF8: ty.Final = finding.Code(
    "VFIO101",
    _ERROR,
    "a configuration file is not UTF-8",
    "oslo.config decodes files as UTF-8 and stops with a bare"
    " UnicodeDecodeError that names no line.",
    "# caf\\xe9",
    "Save the file as UTF-8: iconv -f latin1 -t utf-8.",
)
FILE_SYNTAX: ty.Final = finding.Code(
    "VFIO102",
    _ERROR,
    "a line is neither a section, an option nor a comment",
    "oslo.config takes [section], option = value (or option: value),"
    " comments with # or ; in the first column, and indented lines that"
    " continue the value above (oslo_config.iniparser). A service that reads"
    " this file does not start.",
    "[pci\ndevice_spec",
    "Write it as [section] or option = value, or make it a comment.",
)
BAD_VALUE: ty.Final = finding.Code(
    "VFIO103",
    _ERROR,
    "an option's value is not of its type",
    "oslo.config refuses the value when it is first used; for Nova's options"
    " that is when the service starts.",
    "[pci]\nreport_in_placement = maybe",
    "Write a value of the kind that the message names.",
)
ENVIRONMENT_VALUE: ty.Final = finding.Code(
    "VFIO105",
    _ERROR,
    "an environment variable sets a multi-valued option",
    "oslo.config reads OS_<GROUP>__<OPTION> before any file, and gives a"
    " multi-valued option back as a list of single characters, none of which"
    " is JSON (oslo_config.sources._environment).",
    'OS_PCI__DEVICE_SPEC=\'{"vendor_id": "10de"}\'',
    "Unset the variable and write the value in a file.",
)
INTERPOLATION: ty.Final = finding.Code(
    "VFIO106",
    _ERROR,
    "a $name in a value names no option",
    "oslo.config replaces $name and ${name} in every value by that option's"
    " value, and raises where there is none. A $ that no name follows stays.",
    '[pci]\ndevice_spec = {"address": "$x"}',
    "Write $$ for a dollar sign.",
)
ELSEWHERE: ty.Final = finding.Code(
    "VFIO108",
    _ERROR,
    "more of the configuration stands elsewhere",
    "oslo.config asks the driver of each source that config_source names for"
    " the options that no file sets, such as a web server. What it would say"
    " has no line here, and nobody is asked for it; judged without it, Nova"
    " may do something else than is said. Only the driver environment adds"
    " nothing: its variables are read anyhow.",
    "[DEFAULT]\nconfig_source = central\n[central]\ndriver = remote_file\n"
    "uri = https://example.com/nova.conf",
    "Save what the source says as a file, and name that with --config-file"
    " beside a copy of this file without config_source.",
)
