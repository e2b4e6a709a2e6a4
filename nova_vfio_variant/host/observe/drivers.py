# SPDX-License-Identifier: Apache-2.0
"""Drivers by the modules' own word: which there are, which is made for what.

A variant driver names its functions in ``modules.alias`` by lines such as
``alias vfio_pci:v00001AF4d00001041sv*sd*bc*sc*i* virtio_vfio_pci``. The
``vfio_pci`` module itself takes everything, with nothing but wildcards.
"""

from __future__ import annotations

import collections
import fnmatch
import functools
import re
import typing as ty

from nova_vfio_variant.host.tree import host_tree

#: The driver for every function that has none of its own.
VFIO_PCI: ty.Final = "vfio-pci"

#: What we write as a driver's or module's name. 64 characters are more than
#: any has (MODULE_NAME_LEN is 56).
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
#: The kernel's own that take any function by its override, and so have no
#: line in modules.alias.
_OF_ANY = frozenset({"pci_pf_stub", "pci_stub", "uio_pci_generic", "vfio_pci"})
_HOLDERS = "sys/module/vfio_pci_core/holders"
_MODULE = re.compile(r"([^/\s]+)\.ko(?:\.\w+)?$")


def read_aliases(
    tree: host_tree.HostTree, kernel_release: str | None
) -> tuple[tuple[str, str], ...]:
    """The ``vfio_pci:`` lines of ``modules.alias``, as (pattern, module).

    :returns: in the file's order; nothing where there is no such file
    """
    path = aliases_path(kernel_release)
    return () if path is None else _aliases_in(tree.read_text(path) or "")


def aliases_path(kernel_release: str | None) -> str | None:
    """Where ``modules.alias`` stands; None if the release is unknown."""
    if kernel_release is None:
        return None
    return f"lib/modules/{kernel_release}/modules.alias"


def loadable(
    tree: host_tree.HostTree, kernel_release: str | None
) -> frozenset[str] | None:
    """The modules of a kernel, built into it or not, with ``_`` for ``-``.

    :returns: None where they can't be seen: a recording has no more of them
        than their ``vfio_pci:`` lines, a container often nothing
    """
    folder = f"lib/modules/{kernel_release}"
    if kernel_release is None or not tree.exists(f"{folder}/modules.dep"):
        return None
    names: set[str] = set()
    for file in ("modules.dep", "modules.builtin"):
        names |= _named_in(tree.read_text(f"{folder}/{file}") or "")
    return frozenset(names)


def for_functions(
    tree: host_tree.HostTree,
    kernel_release: str | None,
    vendors: ty.Collection[str],
) -> frozenset[str]:
    """The modules of drivers for PCI functions, with ``_`` for ``-``.

    These alone are ever loaded: VFIO drivers; those that udev would load for
    a card of the same vendor; and those that are made for any function.

    :param vendors: ids of the vendors whose functions the host has
    """
    path = aliases_path(kernel_release)
    text = "" if path is None else tree.read_text(path) or ""
    known = _modules_by_vendor(text)
    return _OF_ANY.union(
        *(known.get(vendor, ()) for vendor in ("", *vendors)),
        (module.replace("-", "_") for _, module in _aliases_in(text)),
    )


@functools.lru_cache(maxsize=2)
def _modules_by_vendor(text: str) -> ty.Mapping[str, frozenset[str]]:
    """The modules with ``pci:`` lines; under an empty name those for any."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for vendor, module in re.findall(
        r"^alias[ \t]+pci:v(?:0000([0-9A-F]{4})d|\*)\S*[ \t]+(\S+)",
        text,
        re.MULTILINE,
    ):
        found[vendor.lower()].add(module.replace("-", "_"))
    return {vendor: frozenset(modules) for vendor, modules in found.items()}


@functools.lru_cache(maxsize=2)
def _aliases_in(text: str) -> tuple[tuple[str, str], ...]:
    # A file of 20,000 lines, read again at each look at a host.
    lines = re.findall(
        r"^alias[ \t]+(vfio_pci:\S+)[ \t]+(\S+)", text, re.MULTILINE
    )
    return tuple(
        (pattern, module) for pattern, module in lines if is_name(module)
    )


def best_variant(
    modalias: str, aliases: ty.Iterable[tuple[str, str]]
) -> str | None:
    """The module with the VFIO driver that fits a function best.

    As in libvirt (virPCIDeviceFindBestVFIOVariant in util/virpci.c): of all
    patterns that match, the one with the fewest wildcards; of equals the
    first. The generic ``vfio_pci`` wins where nothing else matches.

    :param modalias: of the function, ``pci:v00008086d...``
    :param aliases: as :func:`read_aliases` gives them
    :returns: the module's name, which may differ from its driver's in ``-``
        and ``_``; None where nothing matches
    """
    bus, colon, rest = modalias.partition(":")
    if bus != "pci" or not colon:
        return None
    wanted = f"vfio_pci:{rest}"
    fitting = [
        (pattern.count("*"), module)
        for pattern, module in aliases
        if _compiled(pattern).fullmatch(wanted)
    ]
    return min(fitting, key=lambda pair: pair[0])[1] if fitting else None


def same_name(name: str, other: str) -> bool:
    """Whether two names of drivers or modules mean the same.

    A module is always shown with ``_`` where its driver may have ``-``
    (module ``vfio_pci``, driver ``vfio-pci``).
    """
    return name.replace("-", "_") == other.replace("-", "_")


def is_name(name: object) -> bool:
    """Whether something may be written as a driver's or module's name."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name))


def override_in(text: str | None) -> str | None:
    """The driver that a ``driver_override`` names; None for none.

    An unset one reads ``(null)``.

    :param text: what the file says; None where it isn't there
    """
    name = (text or "").strip()
    return None if name in ("", "(null)") else name


@functools.lru_cache(maxsize=4)
def _named_in(text: str) -> frozenset[str]:
    """The modules of a file with one a line, read again at each look."""
    return frozenset(
        found[1].replace("-", "_")
        for line in text.splitlines()
        if (found := _MODULE.search(line.partition(":")[0]))
    )


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def vfio_modules(
    tree: host_tree.HostTree, aliases: ty.Iterable[tuple[str, str]]
) -> frozenset[str]:
    """The modules of VFIO drivers, with ``_`` for ``-``.

    :param aliases: as :func:`read_aliases` gives them
    """
    return frozenset(
        module.replace("-", "_")
        for module in (
            VFIO_PCI,
            *tree.listdir(_HOLDERS),
            *(module for _, module in aliases),
        )
    )
