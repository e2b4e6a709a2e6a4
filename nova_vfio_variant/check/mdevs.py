# SPDX-License-Identifier: Apache-2.0
"""Rules about types of mediated devices, which Nova makes by itself."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding, source
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.pci import address as pci_address

_ENABLED = ("devices", "enabled_mdev_types")
_ADDRESSES = "device_addresses"
_BUS = "sys/class/mdev_bus"
_OFFERED = "mdev_supported_types"


@dataclasses.dataclass(frozen=True, slots=True)
class _Named:
    """A card that ``device_addresses`` names for a type.

    :param name: as written: an address, or a path of a virtual parent
    """

    kind: str
    name: str
    text: source.SourceText
    start: int

    def finding(
        self, code: finding.Code, message: str, hint: str | None = None
    ) -> finding.Finding:
        """A finding at the name."""
        return finding.Finding.on(
            code,
            message,
            self.text,
            self.start,
            self.start + len(self.name),
            f"[{self.text.group}] {_ADDRESSES}",
            hint,
        )


def also_given_away(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Cards for mediated devices that device_spec gives to guests."""
    if given.scan is None:
        return
    named = list(_named(given))
    for card in named:
        try:
            at = pci_address.PciAddress.parse(card.name)
        except ValueError:
            continue
        taken = _taken(given, at)
        if taken is not None:
            yield card.finding(
                codes.MDEV_AND_SPEC, _said(given, card.kind, taken)
            )
    apart = {card.name for card in named}
    for kind in _enabled(given):
        if any(card.kind == kind for card in named):
            continue
        for seen in given.functions:
            if kind in seen.mdev_types and str(seen.address) not in apart:
                taken = _taken(given, seen.address)
                if taken is not None:
                    yield facts.on_option(
                        codes.MDEV_AND_SPEC,
                        _said(given, kind, taken),
                        given.places.get(_ENABLED),
                        "[devices] enabled_mdev_types",
                    )
                    break


def _taken(
    given: facts.CheckInput, at: pci_address.PciAddress
) -> pci_address.PciAddress | None:
    """Who of a card that makes mediated devices is given to guests.

    Its PF takes a VF away with it; other VFs of its PF are others.
    """
    seen = given.scan.get(at) if given.scan else None
    family = [at, *(function.address for function in given.vfs_of.get(at, ()))]
    if seen is not None and seen.physfn is not None:
        family.append(seen.physfn)
    return next(
        (address for address in family if address in given.spec_of), None
    )


def _said(
    given: facts.CheckInput, kind: str, taken: pci_address.PciAddress
) -> str:
    return (
        f"Nova makes mediated devices of type {kind} here, and the entry of"
        f" {given.spec_of[taken].location} gives {taken} to guests"
    )


def not_offered(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Types that no card offers, and cards that don't offer the type."""
    offered = _offered(given)
    if offered is None:
        return
    named = list(_named(given))
    hint = _vendors_way(given)
    for kind in _enabled(given):
        parents = offered.get(kind)
        if parents is None:
            text = given.places.get(_ENABLED)
            start = text.text.find(kind) if text else 0
            message = f"no card of this host offers mediated devices of {kind}"
            subject = "[devices] enabled_mdev_types"
            if text is None:
                yield finding.Finding(
                    codes.MDEV_NOT_OFFERED, message, subject=subject, hint=hint
                )
            else:
                yield finding.Finding.on(
                    codes.MDEV_NOT_OFFERED,
                    message,
                    text,
                    max(start, 0),
                    max(start, 0) + len(kind),
                    subject,
                    hint,
                )
            continue
        for card in named:
            if (
                card.kind == kind
                and card.name.rpartition("/")[2] not in parents
            ):
                yield card.finding(
                    codes.MDEV_NOT_OFFERED,
                    f"{card.name} offers no mediated devices of {kind}",
                    f"Those that do: {', '.join(sorted(parents))}.",
                )


def _enabled(given: facts.CheckInput) -> list[str]:
    return list(dict.fromkeys(given.options.get(_ENABLED) or ()))


def _named(given: facts.CheckInput) -> ty.Iterator[_Named]:
    """What device_addresses says of each type that is enabled."""
    kinds = {
        f"{prefix}{kind}".lower(): kind
        for kind in _enabled(given)
        for prefix in ("mdev_", "vgpu_")
    }
    for text in given.written:
        kind = kinds.get(text.group.lower())
        if kind is None or text.option != _ADDRESSES:
            continue
        at = 0
        for piece in text.text.split(","):
            name = piece.strip()
            if name:
                yield _Named(kind, name, text, at + piece.index(name))
            at += len(piece) + 1


def _offered(given: facts.CheckInput) -> dict[str, set[str]] | None:
    """Type -> the parents that offer it; None where that can't be seen.

    Parents that are no PCI function stand in the class alone.
    """
    scan = given.scan
    if scan is None or any(
        _OFFERED in function.lost for function in scan.functions
    ):
        return None
    if not scan.tree.exists("sys/class"):
        return None
    found: dict[str, set[str]] = {}
    for seen in scan.functions:
        for kind in seen.mdev_types:
            found.setdefault(kind, set()).add(str(seen.address))
    for parent in scan.tree.listdir(_BUS):
        for kind in scan.tree.listdir(f"{_BUS}/{parent}/{_OFFERED}"):
            found.setdefault(kind, set()).add(parent)
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


RULES: tuple[facts.Rule, ...] = (also_given_away, not_offered)
