# SPDX-License-Identifier: Apache-2.0
"""Rules about types of mediated devices, which Nova makes by itself."""

from __future__ import annotations

import re
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes, nova_mdev_codes
from nova_vfio_variant.conf import nova
from nova_vfio_variant.declaration import facts, nova_mdevs
from nova_vfio_variant.host.observe import mdev, programs, vgpu_mode
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address as pci_address

_ENABLED = nova_mdevs.ENABLED
_ADDRESSES = nova_mdevs.ADDRESSES
OF_ENABLED = "[devices] enabled_mdev_types"


def options(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """What Nova doesn't start with, and what it passes over."""
    read = nova_mdevs.read(given)
    for named in read.named:
        if named.wrong is nova_mdevs.Wrong.TWICE:
            yield on_name(
                given,
                named,
                nova_mdev_codes.MDEV_TWICE,
                f"{named.name} is named for type {named.before} already",
            )
        elif named.wrong is not None:
            yield on_name(
                given,
                named,
                nova_mdev_codes.MDEV_ADDRESS,
                f"{named.name!r} is {named.wrong}",
            )
    for kind in read.ignored:
        yield _on_type(
            given,
            kind,
            nova_mdev_codes.MDEV_IGNORED,
            f"nobody gets type {kind}: it names no {_ADDRESSES}, and"
            f" {read.default} has all that no type names",
        )
    if read.default is not None:
        group = f"{nova.OF_MDEV_TYPE}{read.default}"
        text = given.places.get((group, "mdev_class"))
        if text is not None and text.text != nova_mdevs.VGPU:
            yield facts.on_option(
                nova_mdev_codes.MDEV_IGNORED,
                f"mdev_class of {read.default} counts for nothing: it names no"
                f" {_ADDRESSES}, and its devices are {nova_mdevs.VGPU}",
                text,
                f"[{group}] mdev_class",
            )


def absent(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Addresses at which this host has nothing, or that nothing equals."""
    if given.scan is None:
        return
    for named in nova_mdevs.read(given).named:
        if named.wrong is not None or ":" not in named.name:
            continue
        try:
            at = pci_address.PciAddress.parse(named.name)
        except ValueError:
            at = None
        if at is None or str(at) != named.name:
            yield on_name(
                given,
                named,
                nova_mdev_codes.MDEV_ABSENT,
                f"no address equals {named.name}, letter by letter",
                None if at is None else f"Write it as {at}.",
            )
        elif given.scan.get(at) is None and at not in given.scan.unread:
            yield on_name(
                given,
                named,
                nova_mdev_codes.MDEV_ABSENT,
                f"this host has no PCI function {named.name}",
            )


def no_mdevctl(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Libvirt makes no mediated device without it."""
    offered = _offered(given) or {}
    if (
        given.scan is not None
        and any(kind in offered for kind in enabled(given))
        and programs.is_missing(given.scan.tree, "mdevctl")
    ):
        yield facts.on_option(
            nova_mdev_codes.NO_MDEVCTL,
            "mdevctl is not installed: libvirt, and so Nova, makes no"
            " mediated device",
            given.places.get(_ENABLED),
            OF_ENABLED,
        )


def not_offered(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Types that no card offers, and cards that don't offer the type."""
    offered = _offered(given)
    kinds = enabled(given)
    if offered is None or not kinds:
        return
    assert given.scan is not None
    hint = _vendors_way(given)
    if not offered and not given.scan.tree.exists(mdev.BUS):
        yield facts.on_option(
            codes.MDEV_NOT_OFFERED,
            "this host's kernel makes no mediated devices: there is no"
            f" /{mdev.BUS}",
            given.places.get(_ENABLED),
            OF_ENABLED,
            hint,
        )
        return
    for kind in kinds:
        if kind not in offered:
            yield _on_type(
                given,
                kind,
                codes.MDEV_NOT_OFFERED,
                f"no card of this host offers mediated devices of {kind}",
                hint,
            )
    read = nova_mdevs.read(given)
    if read.default in offered and not _takers(read, offered[read.default]):
        able = ", ".join(sorted(offered[read.default]))
        yield _on_type(
            given,
            read.default,
            codes.MDEV_NOT_OFFERED,
            f"Nova makes none of {read.default}: {able} can, and a type"
            f" without {_ADDRESSES} is made of PCI functions that no type"
            " names",
            f"Name a PCI function, or a virtual device, in {_ADDRESSES}.",
        )
    for card in read.named:
        parents = offered.get(card.kind)
        if parents is not None and card.name not in parents:
            why = _why_none(given, card)
            yield on_name(
                given,
                card,
                codes.MDEV_NOT_OFFERED,
                f"{card.name} offers no mediated devices of {card.kind}"
                + (f": {why}" if why else ""),
                f"Those that do: {', '.join(sorted(parents))}.",
            )


def _takers(
    read: nova_mdevs.NovaMdevs, parents: ty.Iterable[str]
) -> list[str]:
    """The parents of which the type without addresses is made."""
    named = {card.name for card in read.named}
    return [
        name
        for name in parents
        if nova_mdevs.is_address(name) and name not in named
    ]


def _why_none(given: facts.CheckInput, card: nova_mdevs.Named) -> str | None:
    """What of a card speaks against any; None for nothing that is seen."""
    assert given.scan is not None
    try:
        seen = given.scan.get(pci_address.PciAddress.parse(card.name))
    except ValueError:
        return None
    if seen is None:
        return None
    mode = vgpu_mode.of_cards(given.scan).get(vgpu_mode.card_of(seen))
    if mode is vgpu_mode.Mode.MIG:
        return "it is divided into GPU instances (MIG)"
    if mode is vgpu_mode.Mode.VENDOR:
        return "its VFs have vGPU types of their own"
    if any(
        card.kind in vf.mdev_types for vf in given.vfs_of.get(seen.address, ())
    ):
        return "its VFs do"
    return (
        f"its driver is {seen.driver}" if seen.driver else "it has no driver"
    )


def on_name(
    given: facts.CheckInput,
    named: nova_mdevs.Named,
    code: finding.Code,
    message: str,
    hint: str | None = None,
) -> finding.Finding:
    """A finding at a name of ``device_addresses``."""
    group = f"{nova.OF_MDEV_TYPE}{named.kind}"
    text = given.places.get((group, _ADDRESSES))
    subject = f"[{text.group if text else group}] {_ADDRESSES}"
    places = _words(text.text) if text else []
    if text is None or named.number >= len(places):
        return facts.on_option(code, message, text, subject, hint)
    start, end = places[named.number]
    return finding.Finding.on(code, message, text, start, end, subject, hint)


def _on_type(
    given: facts.CheckInput,
    kind: str,
    code: finding.Code,
    message: str,
    hint: str | None = None,
) -> finding.Finding:
    """A finding at a type where it is enabled."""
    text = given.places.get(_ENABLED)
    for start, end in _words(text.text) if text else ():
        if text is not None and text.text[start:end] == kind:
            return finding.Finding.on(
                code, message, text, start, end, OF_ENABLED, hint
            )
    return facts.on_option(code, message, text, OF_ENABLED, hint)


def _words(text: str) -> list[tuple[int, int]]:
    """Where each word of a list stands."""
    return [
        match.span()
        for match in re.finditer(r"[^,\s][^,]*?(?=\s*(?:,|$))", text)
    ]


def enabled(given: facts.CheckInput) -> list[str]:
    """The types that are enabled, each once."""
    return list(dict.fromkeys(given.options.get(_ENABLED) or ()))


def _offered(given: facts.CheckInput) -> dict[str, set[str]] | None:
    """Type -> the parents that offer it, as ``device_addresses`` names them.

    None where that can't be seen. Parents that are no PCI function stand in
    the class alone.
    """
    scan = given.scan
    if scan is None or any(
        mdev.TYPES in function.lost for function in scan.functions
    ):
        return None
    if not scan.tree.exists("sys/class"):
        return None
    found: dict[str, set[str]] = {}
    for seen in scan.functions:
        for kind in seen.mdev_types:
            found.setdefault(kind, set()).add(str(seen.address))
    for parent in given.host_facts.mdevs.parents.values():
        name = parent.name
        if name != str(parent.address):
            name = nova_mdevs.libvirt_name(parent) or name
        for offered in parent.types:
            found.setdefault(offered.id, set()).add(name)
    return found


def _vendors_way(given: facts.CheckInput) -> str | None:
    """What to do where VFs have vGPU types of their own."""
    assert given.scan is not None
    for seen in given.functions:
        folder = f"{paths.DEVICES}/{seen.address}/nvidia"
        if seen.physfn is not None and given.scan.tree.exists(
            f"{folder}/current_vgpu_type"
        ):
            return (
                f"VFs such as {seen.address} have vGPU types of their own:"
                ' name them in device_spec with "managed": "no".'
            )
    return None


RULES: tuple[facts.Rule, ...] = (
    options,
    absent,
    not_offered,
    no_mdevctl,
)
