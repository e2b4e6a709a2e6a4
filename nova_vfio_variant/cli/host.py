# SPDX-License-Identifier: Apache-2.0
"""``nova-vfio host``: what this machine is."""

from __future__ import annotations

import argparse
import typing as ty

from nova_vfio_variant import shown
from nova_vfio_variant.cli import base, options
from nova_vfio_variant.host.observe import vgpu_mode
from nova_vfio_variant.pci import class_words

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.observe import vgpu_card
    from nova_vfio_variant.node import context
    from nova_vfio_variant.pci import address as pci_address
    from nova_vfio_variant.pci import function as observed

#: The kernel's words for what Nova and 'device list' call dev_type and
#: parent_addr.
_OLD = ("kind", "physfn")

#: What a function is divided into, or is a part of.
_VGPU = (
    "vgpu_mode",
    "vgpu_framework",
    "vgpu_type",
    "vgpu_type_name",
    "vgpu_types",
)

COLUMNS = (
    "address",
    "dev_type",
    "class",
    "vendor_id",
    "product_id",
    "name",
    "driver",
    "vfio_driver",
    "iommu_group",
    "numa_node",
    "parent_addr",
    "assignable",
    *_OLD,
    *_VGPU,
)


class _Vgpus:
    """The cells of _VGPU.

    :param on: whose functions
    """

    def __init__(self, on: context.Context) -> None:
        self._modes = vgpu_mode.of_cards(on.scan)
        self._cards: dict[pci_address.PciAddress, vgpu_card.Card] = {}
        if any(function.has_vgpu_folder for function in on.scan.functions):
            # Imported here, as few hosts have any.
            from nova_vfio_variant.node import divided_cards

            self._cards = divided_cards.cards(on)

    def of(self, function: observed.PciFunction) -> base.Row:
        """Those of one function."""
        mode = self._modes.get(
            vgpu_mode.card_of(function), vgpu_mode.Mode.PLAIN
        )
        card = self._cards.get(function.physfn) if function.physfn else None
        seen = None if card is None else card.vfs.get(function.address)
        if card is None or seen is None:
            way = "mdev" if function.mdev_types else None
            return str(mode), way, None, None, None
        from nova_vfio_variant.host import vgpu

        framework = vgpu.of(function)
        names = {known.id: known.name or None for known in card.known}
        return (
            str(mode),
            None if framework is None else framework[0],
            None if seen.current is None else int(seen.current),
            names.get(seen.current or ""),
            None if seen.types is None else dict(seen.names),
        )


class List(base.Lister):
    """List the host's PCI functions.

    'assignable' says whether a guest may have it now: ready, preparable (by
    libvirt or 'host apply' first), blocked, or unknown; 'explain' says why.
    """

    empty = "there is no such function"
    brief = ("address", "dev_type", "name", "driver", "assignable")
    old = _OLD
    example = "host list --class network -f json"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add --class."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--class",
            dest="class_word",
            choices=sorted(class_words.CLASSES),
            help="only functions of this class",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> base.Rows:
        """List them, in rising order of address."""
        names = self.context.pci_names
        verdicts = self.context.verdicts
        vgpus = _Vgpus(self.context)
        rows: list[base.Row] = []
        for function in self.context.scan.functions:
            word = class_words.word(function.class_code)
            if parsed_args.class_word not in {None, word}:
                continue
            parent = None if function.physfn is None else str(function.physfn)
            rows.append(
                (
                    str(function.address),
                    function.dev_type,
                    word,
                    function.vendor_id,
                    function.product_id,
                    names.device(function.vendor_id, function.product_id),
                    function.driver,
                    function.vfio_driver,
                    function.iommu_group,
                    function.numa_node,
                    parent,
                    str(verdicts.of(function).state),
                    str(function.kind),
                    parent,
                    *vgpus.of(function),
                )
            )
        self.tell_of_verdicts()
        for problem in self.context.scan.problems:
            self.note(f"warning: {problem}")
        return COLUMNS, rows


class Show(base.ShowOne):
    """Show all that is known of one function, and what is in its way.

    'assignable' says whether a guest may have it now: ready, preparable,
    blocked or unknown; 'obstacles' says why not, and 'unseen' what such a
    host can't show. As data there are also, until the next release,
    'passthrough' (true where it is ready or preparable), and 'kind' and
    'physfn', which are dev_type and parent_addr now.
    """

    example = "host show 0000:41:10.0"
    old = (*_OLD, "passthrough")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the address."""
        parser = super().get_parser(prog_name)
        base.add_address(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], base.Row]:
        """Show it."""
        from nova_vfio_variant.host.decide import refusal

        function = self.context.function(parsed_args.address)
        names = self.context.pci_names
        scan = self.context.scan
        group = (
            ()
            if function.iommu_group is None
            else scan.iommu_groups[function.iommu_group]
        )
        verdict = self.context.verdicts.of(function)
        self.tell_of_verdicts()
        facts: dict[str, object] = {
            "address": str(function.address),
            "dev_type": function.dev_type,
            "class": class_words.word(function.class_code),
            "class_name": names.class_name(function.class_code),
            "vendor_id": function.vendor_id,
            "vendor": names.vendor(function.vendor_id),
            "product_id": function.product_id,
            "name": names.device(function.vendor_id, function.product_id),
            "driver": function.driver,
            "vfio_driver": function.vfio_driver,
            "driver_override": function.driver_override,
            "iommu_group": function.iommu_group,
            "group_members": [
                str(address)
                for address in group
                if address != function.address
            ],
            "numa_node": function.numa_node,
            "parent_addr": function.physfn and str(function.physfn),
            "sriov_totalvfs": function.sriov_totalvfs,
            "sriov_numvfs": function.sriov_numvfs,
            "netdevs": list(function.netdevs),
            "mdev_types": list(function.mdev_types),
            "modalias": function.modalias,
            "assignable": str(verdict.state),
            "passthrough": verdict.is_assignable,
            "obstacles": [
                refusal.line(obstacle) for obstacle in verdict.obstacles
            ],
            "remarks": [refusal.line(remark) for remark in verdict.remarks],
            "unseen": list(verdict.unseen),
            "kind": str(function.kind),
            "physfn": function.physfn and str(function.physfn),
            **dict(zip(_VGPU, _Vgpus(self.context).of(function), strict=True)),
        }
        return tuple(facts), tuple(facts.values())


class Snapshot(base.Base):
    """Record this host, to be replayed with --host-root.

    No serial numbers or MAC addresses are recorded unless --identities is
    given, and of the kernel's command line only what sets up devices.
    """

    example = "host snapshot my-host.tar.gz"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the file and what may go into it."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "file",
            type=options.path,
            metavar="FILE.tar.gz",
            help="where the recording goes; an existing file is replaced",
        )
        parser.add_argument(
            "--identities",
            action="store_true",
            help=(
                "record serial numbers, MAC addresses and the whole command"
                " line of the kernel too"
            ),
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Record it and say where."""
        from nova_vfio_variant.host.observe import snapshot

        snapshot.record(
            self.context.tree, parsed_args.file, parsed_args.identities
        )
        self.app.stdout.write(f"{shown.line(str(parsed_args.file))}\n")
