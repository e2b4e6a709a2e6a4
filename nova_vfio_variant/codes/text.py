# SPDX-License-Identifier: Apache-2.0
"""VFIO1xx: the text can't be read, or isn't what its writer thought."""

from nova_vfio_variant.finding import Code, Severity

FILE_UNREADABLE = Code(
    "VFIO100",
    Severity.ERROR,
    "a configuration file can't be opened",
    "The file or folder does not exist, or its permissions keep us out."
    " Nova's own file is often readable for its group alone.",
    "nova-vfio --config-file /etc/nova/nvoa.conf config check",
    "Correct the path, or run the command as root or as a member of the"
    " file's group.",
)

NOT_UTF8 = Code(
    "VFIO101",
    Severity.ERROR,
    "a configuration file is not UTF-8",
    "oslo.config decodes files as UTF-8 and stops with a bare"
    " UnicodeDecodeError that names no line.",
    "# caf\\xe9",
    "Save the file as UTF-8: iconv -f latin1 -t utf-8.",
)

FILE_SYNTAX = Code(
    "VFIO102",
    Severity.ERROR,
    "a line is neither a section, an option nor a comment",
    "oslo.config takes [section], option = value (or option: value),"
    " comments with # or ; in the first column, and indented lines that"
    " continue the value above (oslo_config.iniparser). A service that reads"
    " this file does not start.",
    "[pci\ndevice_spec",
    "Write it as [section] or option = value, or make it a comment.",
)

BAD_VALUE = Code(
    "VFIO103",
    Severity.ERROR,
    "an option's value is not of its type",
    "oslo.config refuses the value when it is first used; for Nova's options"
    " that is when the service starts.",
    "[pci]\nreport_in_placement = maybe",
    "Write a value of the kind that the message names.",
)

ENVIRONMENT_VALUE = Code(
    "VFIO105",
    Severity.ERROR,
    "an environment variable sets a multi-valued option",
    "oslo.config reads OS_<GROUP>__<OPTION> before any file, and gives a"
    " multi-valued option back as a list of single characters, none of which"
    " is JSON (oslo_config.sources._environment).",
    'OS_PCI__DEVICE_SPEC=\'{"vendor_id": "10de"}\'',
    "Unset the variable and write the value in a file.",
)

INTERPOLATION = Code(
    "VFIO106",
    Severity.ERROR,
    "a $name in a value names no option",
    "oslo.config replaces $name and ${name} in every value by that option's"
    " value, and raises where there is none. A $ that no name follows stays.",
    '[pci]\ndevice_spec = {"address": "$x"}',
    "Write $$ for a dollar sign.",
)

CHANGED_MEANWHILE = Code(
    "VFIO107",
    Severity.ERROR,
    "a file changed while it was read",
    "Each file is read twice, once by oslo.config and once for the places of"
    " its values, and the two readings differ.",
    "an editor or a deployment tool that writes nova.conf right now",
    "Run the command again when nothing writes the file.",
)

UNKNOWN_OPTION = Code(
    "VFIO140",
    Severity.WARNING,
    "an option that exists nowhere",
    "oslo.config passes over options that nobody registered: the line has no"
    " effect, and Nova starts. The live-migration example of Nova's"
    " pci-passthrough page says dev_spec and works nowhere.",
    '[pci]\ndev_spec = {"vendor_id": "10de"}',
    "Write the option, and its group, as the message names them.",
)

DEPRECATED_OPTION = Code(
    "VFIO141",
    Severity.WARNING,
    "an option by its old name",
    "Nova still reads it. Of options with many values it puts what stands"
    " under old names before what stands under the new one, file by file. A"
    " later Nova drops the name.",
    "[pci]\npassthrough_whitelist = {}",
    "Write the new name; mind that the order of matching may change.",
)

NO_FILE = Code(
    "VFIO142",
    Severity.WARNING,
    "no configuration file was read",
    "Neither Nova's default files nor ours are there, and none was named:"
    " there is nothing to check.",
    "/etc/nova/nova.conf does not exist",
    "Name the file with --config-file.",
)
