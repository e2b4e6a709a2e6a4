# SPDX-License-Identifier: Apache-2.0
"""Rules about PFs and their VFs, and about what Nova refuses of them."""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes, mends
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.pci import function as host_function
from nova_vfio_variant.pci import matching, pattern, pools
from nova_vfio_variant.pci import spec as pci_spec
from nova_vfio_variant.placement import codes as placement_codes
from nova_vfio_variant.tracker import device as tracked


def pf_alone(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """PFs that have VFs, where no entry takes any of these."""
    for spec, taken in given.of_guests():
        pfs = [
            seen
            for seen in taken
            if (vfs := given.vfs_of.get(seen.address))
            and not any(vf.address in given.spec_of for vf in vfs)
        ]
        if not pfs:
            continue
        vfs = [vf for pf in pfs for vf in given.vfs_of[pf.address]]
        entries = mends.taking(vfs, given.functions, mends.written(spec))
        yield facts.on_spec(
            codes.PF_ALONE,
            f"this entry takes {facts.named(pfs)} alone, and no entry takes"
            f" the {counted(vfs)} of {facts.it(pfs)}",
            spec,
            None,
            str(pfs[0].address),
            f"If the VFs are meant, write {mends.in_place_of(spec, entries)}"
            " in its place."
            if entries
            else None,
        )


def counted(found: ty.Sequence[host_function.PciFunction]) -> str:
    """How many there are, of which kind and ids: 4 VFs 15b3:101e."""
    words = {"VF": "VF", "PF": "PF", "PCI": "function"}
    kinds = {words[function.kind] for function in found}
    word = kinds.pop() if len(kinds) == 1 else "function"
    ids = sorted(
        {f"{function.vendor_id}:{function.product_id}" for function in found}
    )
    plural = "" if len(found) == 1 else "s"
    return f"{len(found)} {word}{plural} {' and '.join(ids)}"


def apart(
    given: facts.CheckInput, found: ty.Iterable[finding.Finding]
) -> ty.Iterator[finding.Finding]:
    """Say of each PF that matches with its VFs how to name either alone."""
    known: dict[int, str | None] = {}
    for problem in found:
        at = _address(problem.subject)
        if (
            problem.code is not placement_codes.PF_AND_VF_MATCHED
            or at not in given.spec_of
        ):
            yield problem
            continue
        spec = given.spec_of[at]
        vf = next(
            seen for seen in given.by_spec[spec.index] if seen.address == at
        )
        other = given.spec_of.get(vf.physfn) if vf.physfn else None
        if other is not None and other is not spec:
            hint: str | None = (
                f"Remove this entry, or that of {other.location}."
            )
        else:
            if spec.index not in known:
                known[spec.index] = _parted(given, spec)
            hint = known[spec.index]
        yield dataclasses.replace(problem, hint=hint or problem.code.mend)


def _address(subject: str | None) -> pci_address.PciAddress | None:
    try:
        return pci_address.PciAddress.parse(subject or "")
    except ValueError:
        return None


def _parted(given: facts.CheckInput, spec: pci_spec.DeviceSpec) -> str | None:
    """How to write an entry for the VFs, or for the PFs, that it takes."""
    taken = given.by_spec[spec.index]
    parents = {function.physfn for function in taken}
    base = mends.written(spec)
    said = []
    vfs = [function for function in taken if function.address not in parents]
    every = sum(len(given.vfs_of.get(pf, ())) for pf in parents if pf)
    for whom, those in (
        (
            "the VFs"
            if len(vfs) >= every
            else f"{len(vfs)} of the {every} VFs",
            vfs,
        ),
        (
            "the PF alone",
            [function for function in taken if function.physfn is None],
        ),
    ):
        entries = mends.taking(those, given.functions, base)
        if entries:
            said.append(f"for {whom} {mends.in_place_of(spec, entries)}")
    if not said:
        return None
    return f"In its place write, {'; or, '.join(said)}."


def remote_managed(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """``remote_managed`` on what Nova takes for a PF, or doesn't find."""
    specs = [entry for entry in given.specs if matching.remote_managed(entry)]
    if given.scan is None or not specs:
        return
    by_address = {
        str(function.address): function for function in given.functions
    }
    by_name = _interfaces(given)
    for spec in specs:
        if spec.devname is not None:
            pf = by_name.get(spec.devname)
            if pf is None and not any(
                "net" in x.lost for x in given.functions
            ):
                yield facts.on_spec(
                    codes.REMOTE_MANAGED_PF,
                    "nova-compute does not start with remote_managed on an"
                    f" interface that is missing, {spec.devname}",
                    spec,
                    "devname",
                    hint="Name the VFs by vendor_id and product_id.",
                )
                continue
        else:
            single = spec.address.single if spec.address else None
            pf = by_address.get(single or "")
        if pf is None or not pf.sriov_totalvfs:
            continue
        vfs = given.vfs_of.get(pf.address)
        entries = vfs and mends.taking(
            vfs, given.functions, mends.written(spec), by_pf=False
        )
        yield facts.on_spec(
            codes.REMOTE_MANAGED_PF,
            "nova-compute 34 does not start with remote_managed on"
            f" {'the interface' if spec.devname else 'the address'} of a PF,"
            f" {pf.address}, though its VFs are meant",
            spec,
            "devname" if spec.devname else "address",
            str(pf.address),
            f"Write {mends.in_place_of(spec, entries)} in its place."
            if entries
            else None,
        )


def _interfaces(
    given: facts.CheckInput,
) -> dict[str, host_function.PciFunction]:
    return {name: seen for seen in given.functions for name in seen.netdevs}


def wide_domains(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """Functions that an entry means and Nova skips, or stumbles over."""
    wide = [
        function
        for function in given.functions
        if function.address.domain > pattern.MAX_DOMAIN
    ]
    if not wide:
        return
    by_name = _interfaces(given)
    # In domain 0 they would be taken as Nova takes any other.
    moved = [
        dataclasses.replace(
            function,
            address=dataclasses.replace(function.address, domain=0),
            physfn=None,
        )
        for function in wide
    ]
    free = [
        entry
        for entry in given.specs
        if entry.devname is None
        and (entry.address is None or entry.address.wanted("domain") is None)
    ]
    meant: dict[int, list[host_function.PciFunction]] = {}
    winners = matching.Matcher(free, moved).winners(moved)
    for seen, spec in zip(wide, winners, strict=True):
        if spec is not None and not seen.has_bridge_class:
            meant.setdefault(spec.index, []).append(seen)
    for spec in given.specs:
        owner = by_name.get(spec.devname or "")
        if owner is not None and owner in wide:
            yield facts.on_spec(
                codes.DEVNAME_WIDE_DOMAIN,
                f"{spec.devname} is the interface of {owner.address}:"
                " nova-compute does not start with a devname in a domain"
                f" above {pattern.MAX_DOMAIN:x}",
                spec,
                "devname",
                str(owner.address),
            )
        skipped = meant.get(spec.index)
        if skipped:
            yield facts.on_spec(
                codes.WIDE_DOMAIN,
                f"Nova skips {facts.named(skipped)}, which"
                f" {facts.are(skipped)} in a domain above"
                f" {pattern.MAX_DOMAIN:x}",
                spec,
                None,
                str(skipped[0].address),
            )


def null_tags(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """VFs of one PF that Nova pools although their tags differ."""
    families: dict[pci_address.PciAddress, dict[int, tracked.Device]] = {}
    for device in given.desired:
        if device.parent_addr:
            of_pf = families.setdefault(device.parent_addr, {})
            of_pf.setdefault(given.spec_of[device.address].index, device)
    for pf, of_pf in families.items():
        made = {
            index: pools.properties_of(tracked_device)
            for index, tracked_device in of_pf.items()
        }
        for index, mine in made.items():
            other = next(
                (
                    number
                    for number, theirs in made.items()
                    if mine.keys() != theirs.keys()
                    and len(mine) == len(theirs)
                    and all(theirs.get(key) == mine[key] for key in mine)
                ),
                None,
            )
            if other is None:
                continue
            null = min(mine.keys() - made[other].keys())
            yield facts.on_spec(
                codes.NULL_TAG_POOLED,
                f"{null} is null, and Nova puts {of_pf[index].address} into"
                f" the pool of {of_pf[other].address} of PF {pf}, which has"
                f" {', '.join(sorted(made[other].keys() - mine.keys()))} in"
                " its place",
                given.spec_of[of_pf[index].address],
                null,
                str(of_pf[index].address),
            )


RULES: tuple[facts.Rule, ...] = (
    pf_alone,
    remote_managed,
    wide_domains,
    null_tags,
)
