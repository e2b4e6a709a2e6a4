# SPDX-License-Identifier: Apache-2.0
"""What the host itself uses its PCI functions for, by subsystem.

Each module has one function that looks at a whole host at once. What can't
be read is a use of kind ``unknown``: it counts as in use.
"""

import dataclasses
import enum


class Kind(enum.StrEnum):
    """In what way a function is in use."""

    DISPLAY = "display"
    NETWORK = "network"
    STORAGE = "storage"
    OPEN = "open"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """One way in which a function is in use.

    :param kind: what sort of use
    :param what: it, as half a sentence: ``eth0 is up``
    """

    kind: Kind
    what: str
