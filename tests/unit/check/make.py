# SPDX-License-Identifier: Apache-2.0
"""What is declared and what is seen, in as few words as a test can bear."""

import pathlib
import tempfile
import typing as ty
from collections.abc import Iterable, Sequence

from nova_vfio_variant import finding, source
from nova_vfio_variant.declaration import facts
from tests.functional import check_host
from tests.unit.pci import make

VF = '"vendor_id": "8086", "product_id": "10ca"'


def given(
    specs: Sequence[str] = (),
    aliases: Sequence[str] = (),
    functions: Iterable[check_host.Function] | None = None,
    files: ty.Mapping[str, str] | None = None,
    options: ty.Mapping[tuple[str, str], ty.Any] | None = None,
    **more: ty.Any,
) -> facts.CheckInput:
    """All that rules look at; without a host if it has no functions.

    Each option that is given stands in a file of its own.
    """
    scan = None
    if functions is not None:
        folder = pathlib.Path(tempfile.mkdtemp())
        scan = check_host.build(folder, [*functions], files)
    options = options or {}
    return facts.CheckInput(
        specs=make.specs(*specs),
        aliases=make.read_aliases(*aliases)[0],
        options=options,
        places={
            key: source.SourceText.of(str(value), key[1], key[0])
            for key, value in options.items()
        },
        scan=scan,
        **more,
    )


def said(found: Iterable[finding.Finding]) -> list[str]:
    """Code and message of each."""
    return [f"{one.code.id} {one.message}" for one in found]
