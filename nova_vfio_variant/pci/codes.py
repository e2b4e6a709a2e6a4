# SPDX-License-Identifier: Apache-2.0
"""VFIO1xx: findings about what an entry says."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import finding

_ERROR = finding.Severity.ERROR
_WARNING = finding.Severity.WARNING

UNKNOWN_KEY: ty.Final = finding.Code(
    "VFIO104",
    _ERROR,
    "a key that nobody knows",
    "In device_spec Nova takes any key silently as a tag, and matches "
    "nothing with it: a misspelt managed leaves the device managed by "
    "libvirt (nova/pci/devspec.py). In alias it refuses to start "
    "(nova/pci/request.py).",
    'device_spec = { "address": "0000:25:00.4", "mangaed": "no" }',
    "Write the key that the message names, or remove it.",
)
NOT_JSON: ty.Final = finding.Code(
    "VFIO110",
    _ERROR,
    "a value is not JSON",
    "device_spec is a JSON object or a list of objects, alias is a JSON "
    "object; nova-compute does not start on anything else.",
    'device_spec = { "vendor_id": "10de" "product_id": "25b6" }',
    "Correct what the message names.",
)
SINGLE_QUOTES: ty.Final = finding.Code(
    "VFIO111",
    _ERROR,
    "quotes that JSON doesn't know",
    "JSON knows the double quote alone. The live-migration example in "
    "Nova's own documentation is written with single quotes, and does not "
    "work.",
    "device_spec = { 'vendor_id': '10de' }",
    "Write \"vendor_id\" in place of 'vendor_id'.",
)
UNQUOTED_KEY: ty.Final = finding.Code(
    "VFIO112",
    _ERROR,
    "a key without quotes",
    "JSON keys stand in double quotes, unlike those of Python's dict() or "
    "of YAML.",
    'device_spec = { "address": "0000:25:00.4", managed: "no" }',
    'Write "managed" in place of managed.',
)
UNQUOTED_VALUE: ty.Final = finding.Code(
    "VFIO113",
    _ERROR,
    "a value without quotes",
    "Of unquoted words JSON knows true, false and null alone, in lower case.",
    'device_spec = { "address": "0000:25:00.4", "managed": no }',
    'Write "no" in place of no.',
)
TRAILING_COMMA: ty.Final = finding.Code(
    "VFIO114",
    _ERROR,
    "a comma behind the last item",
    "Python and YAML allow it, JSON does not; the last example of Nova's "
    "own help text for alias has one.",
    'device_spec = { "vendor_id": "10de", "product_id": "25b6", }',
    "Remove the comma.",
)
INLINE_COMMENT: ty.Final = finding.Code(
    "VFIO115",
    _ERROR,
    "a comment inside a value",
    "oslo.config knows comments only as whole lines; behind a value the # "
    "and all that follows belong to the value.",
    'device_spec = { "vendor_id": "10de" }  # the new cards',
    "Give the comment a line of its own above the option.",
)
DUPLICATE_KEY: ty.Final = finding.Code(
    "VFIO116",
    _WARNING,
    "a key stands twice in one object",
    "JSON readers keep the last value and drop the others silently; Nova "
    "does so too.",
    'device_spec = { "product_id": "25b6", "product_id": "25b7" }',
    "Remove all but one, or write an entry for each value.",
)
WRONG_TYPE: ty.Final = finding.Code(
    "VFIO117",
    _ERROR,
    "a value of the wrong JSON type",
    "Nova checks few types: a number where a string belongs ends in an "
    "AttributeError or TypeError without a place, at start or later.",
    'device_spec = { "vendor_id": 8086 }',
    "Write a value of the kind that the message names; a string stands in "
    "double quotes.",
)
NOT_BOOLEAN: ty.Final = finding.Code(
    "VFIO118",
    _ERROR,
    "a value that is neither yes nor no",
    "managed, live_migratable and one_time_use take what "
    "oslo_utils.strutils.bool_from_string(strict=True) takes. Nova reads "
    "remote_managed leniently, and anything it doesn't know as no; that is an "
    "error here.",
    'device_spec = { "address": "0000:25:00.4", "managed": "maybe" }',
    'Write "yes" or "no".',
)
BAD_ID: ty.Final = finding.Code(
    "VFIO119",
    _ERROR,
    "a vendor_id or product_id that is none",
    "In device_spec an id is a hex number up to ffff, or * "
    "(PciConfigInvalidSpec); in alias it is exactly four hex digits "
    "(PciInvalidAlias).",
    'device_spec = { "vendor_id": "nvidia" }',
    "Write the four hex digits that lspci -nn prints.",
)
ODD_ID: ty.Final = finding.Code(
    "VFIO120",
    _WARNING,
    "an id that is read by accident",
    "Nova reads ids with Python's int(text, 16), which takes 0x, spaces, "
    "underscores, a sign and fewer digits as well.",
    'device_spec = { "vendor_id": "0x10de" }',
    "Write the four hex digits that lspci -nn prints.",
)
BAD_ADDRESS: ty.Final = finding.Code(
    "VFIO121",
    _ERROR,
    "an address that is none",
    "An address is [[[domain:]bus:]slot][.function]; each field is a hex "
    "number or * as a whole: domain up to ffff, bus up to ff, slot up to "
    "1f, function up to 7 (PciDeviceWrongAddressFormat, "
    "PciConfigInvalidSpec).",
    'device_spec = { "address": "0000:25:20.4" }',
    "Write the address as lspci -D prints it. What takes parts of a field is "
    "an object in its place, whose domain, bus, slot and function are regular "
    "expressions.",
)
BAD_REGEX: ty.Final = finding.Code(
    "VFIO122",
    _ERROR,
    "a regular expression that can't be read",
    "Each field of an address object is a Python regular expression "
    "(PciDeviceWrongAddressFormat).",
    'device_spec = { "address": { "bus": "2[5" } }',
    "Correct the expression; a glob's * is .* in a regular expression.",
)
SLOW_REGEX: ty.Final = finding.Code(
    "VFIO123",
    _ERROR,
    "a regular expression that may take for ever",
    "Repeats nested four deep and more, or one that was stopped after a "
    "second. Nova matches each device with it, with Python's re, which has "
    "no deadline: four nested stars on four digits take half a second, "
    "five take minutes.",
    'device_spec = { "address": { "bus": "((((2*)*)*)*)*x" } }',
    "Write it without a repeat inside a repeat.",
)
LARGE_REGEX: ty.Final = finding.Code(
    "VFIO127",
    _ERROR,
    "a regular expression that is too large",
    "It has more than 512 characters, or more than 65,535 parts when its "
    "repeats are written out. Nova has no such bound: Python makes of "
    "(a{65535}){65535} what takes gigabytes. It is refused before anything "
    "is made of it.",
    'device_spec = { "address": { "bus": "(2{300}){300}" } }',
    "A field has one to four digits: write an expression for those.",
)
UNKNOWN_ADDRESS_KEY: ty.Final = finding.Code(
    "VFIO124",
    _ERROR,
    "a field that an address doesn't have",
    "An address object has domain, bus, slot and function. Nova ignores "
    "any other, so that the misspelt field matches everything.",
    'device_spec = { "address": { "bus": "25", "func": "[4-7]" } }',
    'Write "function".',
)
ADDRESS_AND_DEVNAME: ty.Final = finding.Code(
    "VFIO125",
    _ERROR,
    "both an address and a devname",
    "An entry names its devices by one of the two "
    "(PciDeviceInvalidDeviceName).",
    'device_spec = { "devname": "eth0", "address": "0000:25:00.0" }',
    "Remove devname: interface names change, and Nova refuses them with "
    "report_in_placement.",
)
IGNORED_VALUE: ty.Final = finding.Code(
    "VFIO126",
    _WARNING,
    "a value that Nova accepts and ignores",
    "Nova reads null and empty values as if the key were not there; it "
    "compares trusted with the word true; and devices with a "
    "physical_network are not published, so that their resource_class, "
    "traits and one_time_use mean nothing.",
    'device_spec = { "address": "0000:25:00.4", "managed": null }',
    "Remove the key, or give it a value that counts.",
)
ALIAS_WITHOUT_NAME: ty.Final = finding.Code(
    "VFIO130",
    _ERROR,
    "an alias without a name",
    "Flavors ask for an alias by its name, of 1 to 256 characters "
    "(PciInvalidAlias).",
    'alias = { "vendor_id": "10de", "product_id": "25b6" }',
    'Add "name", of 1 to 256 characters.',
)
ALIAS_VALUE: ty.Final = finding.Code(
    "VFIO131",
    _ERROR,
    "a word that an alias doesn't know here",
    "device_type is type-PCI, type-PF or type-VF; numa_policy is required, "
    "legacy, preferred or socket (PciInvalidAlias).",
    'alias = { "name": "A16", "resource_class": "A16", "device_type": "VF" }',
    "Write one of the words that the message names.",
)
ALIAS_DIFFERS: ty.Final = finding.Code(
    "VFIO132",
    _ERROR,
    "aliases of one name that contradict each other",
    "Aliases of one name are alternatives, so all must have one numa_policy "
    "and must all have one and the same device_type (PciInvalidAlias; where "
    "none has a device_type Nova says no more than 'dev_type').",
    'alias = { "name": "A", "vendor_id": "10de", "product_id": "25b6" } '
    "twice, with different numa_policy",
    "Give them the same device_type and numa_policy, or different names.",
)
ALIAS_REPEATED: ty.Final = finding.Code(
    "VFIO133",
    _ERROR,
    "a repeated alias name with PCI in Placement",
    "With [filter_scheduler] pci_in_placement Nova takes one alias a name "
    "(PciInvalidAlias).",
    'alias = { "name": "A", "resource_class": "X" } and '
    'alias = { "name": "A", "resource_class": "Y" }',
    "Give the devices one resource_class in device_spec, and ask for it in "
    "one alias.",
)
ALIAS_WITHOUT_IDS: ty.Final = finding.Code(
    "VFIO134",
    _ERROR,
    "an alias that doesn't say what it wants",
    "An alias needs vendor_id and product_id; with [filter_scheduler] "
    "pci_in_placement a resource_class will do in their place "
    "(PciInvalidAlias).",
    'alias = { "name": "A16", "device_type": "type-VF" }',
    "Add vendor_id and product_id, or resource_class and "
    "[filter_scheduler] pci_in_placement = true.",
)
ALIAS_MATCHES_NOTHING: ty.Final = finding.Code(
    "VFIO135",
    _WARNING,
    "an alias that no device can satisfy",
    "Nova accepts capability_type and then compares it with a property "
    "that no device has (nova/pci/utils.py, pci_device_prop_match).",
    'alias = { "name": "A", "capability_type": "pci", "vendor_id": "10de", '
    '"product_id": "25b6" }',
    "Remove capability_type.",
)
REQUEST_VALUE: ty.Final = finding.Code(
    "VFIO136",
    _ERROR,
    "a request of a claim that can't be",
    "claim create --request reads a JSON object with the keys of "
    "claim-request.schema.json, and each value has to be one that some device "
    "could have.",
    '{ "devices": [{ "class": "gpus" }] }',
    "Write one of the values that the message names.",
)
