# SPDX-License-Identifier: Apache-2.0
"""Words for what a function is, by its PCI base class."""

from __future__ import annotations

import typing as ty

#: Each word, with the PCI base class that it means.
CLASSES: ty.Final = {
    "storage": 0x01,
    "network": 0x02,
    "gpu": 0x03,
    "multimedia": 0x04,
    "memory": 0x05,
    "bridge": 0x06,
    "communication": 0x07,
    "system": 0x08,
    "serial": 0x0C,
    "encryption": 0x10,
    "accelerator": 0x12,
}


def word(class_code: int) -> str:
    """The word for a function's class; its two hex digits if it has none."""
    for name, number in CLASSES.items():
        if class_code >> 16 == number:
            return name
    return f"{class_code >> 16:02x}"
