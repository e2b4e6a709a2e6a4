# SPDX-License-Identifier: Apache-2.0
"""What ``nvidia-smi vgpu -s -v`` says of the types that a card supports.

It says so whatever vGPUs there are, and alone tells the framebuffer: the
vendor's folders have names of types.
"""

from __future__ import annotations

import re
import typing as ty

from nova_vfio_variant.host.observe import vgpu_card

_TYPE: ty.Final = re.compile(r"\s*vGPU Type ID\s*:\s*0x([0-9a-fA-F]{1,8})\s*")
_NAME: ty.Final = re.compile(r"\s*Name\s*:\s*(\S.*?)\s*")
_NUMBERS: ty.Final = {
    "size": re.compile(r"\s*FB Memory\s*:\s*([0-9]{1,9}) MiB\s*"),
    "most": re.compile(r"\s*Max Instances\s*:\s*([0-9]{1,6})\s*"),
    "profile": re.compile(r"\s*GPU Instance Profile ID\s*:\s*([0-9]{1,6})\s*"),
}


def told(text: str) -> vgpu_card.Told:
    """Read it. What isn't there, or makes no sense, isn't told.

    A card's framebuffer for vGPUs is what as many vGPUs as possible of the
    type that uses most of it have: less is left of it by what the tool calls
    the card's own total. Types of GPU instances have a part of it alone.
    """
    found: dict[str, dict[str, int]] = {}
    names: dict[str, str] = {}
    type_id = None
    current: dict[str, int] = {}
    for line in text.splitlines():
        begun = _TYPE.fullmatch(line)
        if begun is not None:
            type_id = str(int(begun[1], 16))
            current = found.setdefault(type_id, {})
            continue
        named = _NAME.fullmatch(line)
        if named is not None and type_id is not None:
            names.setdefault(type_id, named[1])
        for name, form in _NUMBERS.items():
            number = form.fullmatch(line)
            if number is not None:
                current[name] = int(number[1])
    whole = [
        of_type["size"] * of_type["most"]
        for of_type in found.values()
        if of_type.keys() & {"size", "most", "profile"} == {"size", "most"}
    ]
    return vgpu_card.Told(
        max(whole, default=None),
        {
            type_id: of_type["size"]
            for type_id, of_type in found.items()
            if of_type.get("size")
        },
        {
            type_id: of_type["most"]
            for type_id, of_type in found.items()
            if "most" in of_type
        },
        names,
    )
