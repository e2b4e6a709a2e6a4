# SPDX-License-Identifier: Apache-2.0
"""A card that is divided into vGPUs, in a few lines: for properties.

The rules are those that are told of NVIDIA's driver: a framebuffer that all
share, one size unless heterogeneous, so many of a type at most, and lists that
shrink with each vGPU. A VF that has a type lists none.
"""

import dataclasses

from hypothesis import strategies

from nova_vfio_variant.host.observe import vendor_vgpu, vgpu_card
from nova_vfio_variant.pci import address as pci_address

PF = pci_address.PciAddress.parse("0000:41:00.0")
VgpuType = vendor_vgpu.VgpuType


def vf(number: int) -> pci_address.PciAddress:
    """The address of a VF, by its number from 0 on."""
    return pci_address.PciAddress(0, 0x41, number // 8 + 1, number % 8)


@dataclasses.dataclass
class Model:
    """A card.

    :param types: the size of each type, by id
    :param most: how many vGPUs it takes when one is of this type
    :param current: the id of each VF's type
    :param placed: where in the framebuffer each VF's vGPU begins, at a
        multiple of its size, as on a card of several sizes; None for a card
        on which only sums count
    """

    framebuffer: int
    types: dict[str, int]
    most: dict[str, int]
    current: list[str]
    heterogeneous: bool = False
    placed: dict[int, int] | None = None

    def _place(self, size: int) -> int | None:
        """The first place for a size; None if there is none."""
        taken = [
            (start, start + self.types[self.current[number]])
            for number, start in (self.placed or {}).items()
        ]
        for start in range(0, self.framebuffer - size + 1, size):
            if all(
                start >= end or start + size <= begin for begin, end in taken
            ):
                return start
        return None

    def offers(self, number: int) -> tuple[str, ...]:
        """The ids that a VF lists."""
        existing = [found for found in self.current if found != "0"]
        if self.current[number] != "0":
            return ()
        left = self.framebuffer - sum(self.types[found] for found in existing)
        sizes = {self.types[found] for found in existing}
        return tuple(
            found
            for found, size in self.types.items()
            if size <= left
            and (self.placed is None or self._place(size) is not None)
            and (self.heterogeneous or not sizes - {size})
            and len(existing) < self.most[found]
        )

    def make(self, number: int, wanted: str) -> bool:
        """Give a VF a type, if it can have it."""
        if wanted not in self.offers(number):
            return False
        if self.placed is not None:
            place = self._place(self.types[wanted])
            assert place is not None
            self.placed[number] = place
        self.current[number] = wanted
        return True

    def free(self, number: int) -> None:
        """Take a VF's type away."""
        self.current[number] = "0"
        if self.placed is not None:
            self.placed.pop(number, None)

    def greedy(self, wanted: str) -> int:
        """How many of a type a carve of all VFs really makes."""
        tried = dataclasses.replace(
            self,
            current=list(self.current),
            placed=None if self.placed is None else dict(self.placed),
        )
        return sum(
            tried.make(number, wanted) for number in range(len(tried.current))
        )

    def card(self, *, told: bool = True) -> vgpu_card.Card:
        """What is seen of it, and known from when it was empty."""
        return vgpu_card.Card(
            PF,
            {
                vf(number): vendor_vgpu.VendorVgpu(
                    current,
                    tuple(
                        VgpuType(found, f"NVIDIA T-{found}")
                        for found in self.offers(number)
                    ),
                )
                for number, current in enumerate(self.current)
            },
            tuple(
                VgpuType(found, f"NVIDIA T-{found}", size if told else None)
                for found, size in self.types.items()
            ),
            vgpu_card.Told(self.framebuffer, dict(self.types), dict(self.most))
            if told
            else vgpu_card.NOTHING_TOLD,
            self.heterogeneous if told else None,
        )


@strategies.composite
def models(
    draw: strategies.DrawFn, *, carved: bool = True, placed: bool = False
) -> Model:
    """Random cards, some of them with vGPUs.

    :param carved: whether they may have some
    :param placed: whether each vGPU has its place on cards of several sizes
    """
    sizes = draw(
        strategies.lists(
            strategies.sampled_from((1, 2, 3, 4, 6, 8, 12, 24)),
            min_size=1,
            max_size=5,
        )
    )
    framebuffer = draw(strategies.sampled_from((8, 16, 24, 48)))
    types = {str(100 + n): size * 1024 for n, size in enumerate(sizes)}
    model = Model(
        framebuffer * 1024,
        types,
        {found: draw(strategies.integers(1, 32)) for found in types},
        ["0"] * draw(strategies.integers(1, 12)),
        draw(strategies.booleans()),
    )
    if placed and model.heterogeneous:
        model.placed = {}
    if carved:
        for number in range(len(model.current)):
            wanted = draw(strategies.sampled_from(("0", *types)))
            if wanted != "0":
                model.make(number, wanted)
        for number in range(len(model.current)):
            if placed and draw(strategies.booleans()):
                model.free(number)
    return model
