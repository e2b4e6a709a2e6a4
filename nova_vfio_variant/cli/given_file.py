# SPDX-License-Identifier: Apache-2.0
"""A file that a command is given, or its standard input."""

from __future__ import annotations

import sys

from nova_vfio_variant import exception, input_file, source


def read(name: str, group: str) -> source.SourceText:
    """The whole of it, as text.

    :param name: of the file; - for standard input
    :param group: of the options that it stands for
    :raises VfioVariantError: it can't be read, or is no text
    """
    place = "standard input" if name == "-" else name
    try:
        if name == "-":
            data = sys.stdin.buffer.read(input_file.CONFIG + 1)
            input_file.expect_size(len(data), place, input_file.CONFIG)
        else:
            data = input_file.read(name, input_file.CONFIG)
        text = data.decode()
    except OSError as error:
        raise exception.VfioVariantError(
            f"{place}: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise exception.VfioVariantError(
            f"{place}: byte {error.start + 1} is not UTF-8"
        ) from error
    return source.SourceText.of(text, place, group, place)
