# SPDX-License-Identifier: Apache-2.0
"""Where a flavor comes from: a file, the command line, a cloud."""

from __future__ import annotations

import typing as ty

from nova_vfio_variant import exception, input_file, source
from nova_vfio_variant.pci import extra_specs

#: Bytes of a flavor in a file; Nova takes 255 for a value.
MOST: ty.Final = 1 << 20


def of_file(path: str) -> extra_specs.Given:
    """A flavor in a file.

    :raises ConfigError: it can't be read
    """
    try:
        text = input_file.read(path, MOST).decode()
    except OSError as error:
        raise exception.ConfigError(
            f"{path}: {error.strerror}",
            "give a file, or --os-cloud CLOUD for a flavor of that name",
        ) from error
    except UnicodeError as error:
        raise exception.ConfigError(f"{path} is not UTF-8 text") from error
    return extra_specs.of_file(source.SourceText.of(text, path, file=path))


def with_properties(
    given: extra_specs.Given, properties: ty.Sequence[str]
) -> extra_specs.Given:
    """The same after ``openstack flavor set --property KEY=VALUE``."""
    more = extra_specs.of_lines(properties, "--property")
    return extra_specs.Given(
        {**given.settings, **more.settings},
        given.name,
        (*given.findings, *more.findings),
    )
