# SPDX-License-Identifier: Apache-2.0
"""VFs that are given types of vGPU by files of a vendor's driver.

The driver is our own, in the lab too: these are our readings of what was
reported of the real one, and ``tests/lab/README.rst`` says of each from where.
"""

import datetime as dt
import errno
import json
import random
import typing as ty

import fixtures

from nova_vfio_variant.host import vgpu
from nova_vfio_variant.host.observe import vendor_vgpu
from nova_vfio_variant.node import astray
from nova_vfio_variant.pci import address as pci_address
from nova_vfio_variant.testing import placement
from nova_vfio_variant.testing.fake_kernel import vgpu_card
from tests.behaviour.case import BehaviourCase, on_the_fake_alone
from tests.behaviour.host import DEVICES, MIB, PF, VF, VFS, VGPU_TYPES, name_of

DRIVER = "igbvf_vgpu"
TYPE, LIST = "nvidia/current_vgpu_type", "nvidia/creatable_vgpu_types"
HEADER = "ID    : vGPU Name"
ONE, TWO, TWO_TOO, FOUR = VGPU_TYPES
NAME = VGPU_TYPES[ONE][0]
ROWS = {kind: f"{kind:<5} : {VGPU_TYPES[kind][0]}" for kind in VGPU_TYPES}

INSTANCE = "11111111-1111-4111-8111-111111111111"
#: VFs that anybody may be given, on a host without Nova.
OURS = (
    '[pci]\ndevice_spec = {"address": "0000:21:*.*", "vendor_id": "8086",'
    ' "product_id": "10ca", "managed": "no"}\n'
)


def errno_of(
    work: ty.Callable[..., object], *given: ty.Any, **more: ty.Any
) -> str | None:
    """How it fails; None if it doesn't."""
    try:
        work(*given, **more)
    except OSError as error:
        return name_of(error.errno)
    return None


class VgpuCase(BehaviourCase):
    def load(
        self,
        listing: vgpu_card.Listing = "header",
        errors: vgpu_card.Errors = "posted",
        *,
        mig: bool = False,
    ) -> None:
        """Four VFs that can be given types."""
        self.host.load_vgpus(listing, errors, mig=mig)
        self.make()

    def make(self) -> None:
        """Make them, and wait for their driver."""
        self.set_attribute(PF, "sriov_numvfs", "4")
        self.eventually(
            lambda: all(
                self.driver(vf) == DRIVER and self.has_folder(vf)
                for vf in VFS[:4]
            )
        )

    def give(self, vf: str, kind: str) -> None:
        """Write a type, and read it back."""
        self.set_attribute(vf, TYPE, kind)
        self.assertEqual(kind, self.attribute(vf, TYPE))

    def refused_type(self, number: int, vf: str, text: str) -> None:
        """It is refused, and changes nothing."""
        before = self.attribute(vf, TYPE)
        self.refused_attribute(number, vf, TYPE, text)
        self.assertEqual(before, self.attribute(vf, TYPE))

    def listed(self, vf: str, *lines: str) -> None:
        """What its list says."""
        self.assertEqual("\n".join(lines), self.attribute(vf, LIST))

    def has_folder(self, vf: str) -> bool:
        """Whether the vendor's folder is there."""
        return self.host.exists(f"{DEVICES}/{vf}/nvidia")

    def seen(self, vf: str) -> vendor_vgpu.VendorVgpu:
        """What we read of it."""
        return vendor_vgpu.read(
            self.host.tree, pci_address.PciAddress.parse(vf)
        )


class ListingFacts(VgpuCase):
    def test_the_list_shrinks_as_siblings_are_given_theirs(self) -> None:
        self.load()
        self.listed(VF, HEADER, *ROWS.values())
        self.assertEqual("0", self.attribute(VF, TYPE))
        self.give(VF, TWO)
        # One size of framebuffer, and not one type.
        self.listed(VFS[1], HEADER, ROWS[TWO], ROWS[TWO_TOO])
        self.give(VFS[1], TWO_TOO)
        self.give(VF, "0")
        self.give(VFS[1], "0")
        self.listed(VFS[1], HEADER, *ROWS.values())
        self.give(VF, FOUR)
        self.give(VFS[3], FOUR)
        self.listed(VFS[1], HEADER)
        self.assertEqual(vendor_vgpu.VendorVgpu("0", ()), self.seen(VFS[1]))

    def test_without_a_header_a_full_card_lists_nothing_at_all(self) -> None:
        self.load("headerless")
        rows = [f"{kind} : {VGPU_TYPES[kind][0]}" for kind in VGPU_TYPES]
        self.listed(VF, *rows)
        self.assertEqual(tuple(VGPU_TYPES), self.seen(VF).creatable)
        self.give(VF, FOUR)
        self.give(VFS[1], FOUR)
        self.listed(VFS[2], "")
        self.assertTrue(self.seen(VFS[2]).is_full)

    def test_the_posted_driver_has_a_header_until_the_first_type(self) -> None:
        self.load("rfc")
        self.listed(VF, HEADER, *ROWS.values())
        self.give(VF, FOUR)
        self.listed(VF, "")
        self.listed(VFS[1], ROWS[FOUR])
        self.assertEqual((FOUR,), self.seen(VFS[1]).creatable)
        self.refused_type(errno.EINVAL, VFS[1], TWO)
        self.give(VFS[1], FOUR)
        self.listed(VFS[2], "")
        self.assertEqual(vendor_vgpu.VendorVgpu(FOUR, ()), self.seen(VFS[1]))

    def test_mig_without_an_instance_offers_none(self) -> None:
        self.load(mig=True)
        self.listed(VF, HEADER)
        self.refused_type(errno.EIO, VF, ONE)
        self.give(VF, "0")

    def test_header_and_rows_are_as_the_model_says(self) -> None:
        self.compare("header")

    def test_rows_alone_are_as_the_model_says(self) -> None:
        self.compare("headerless")

    def test_the_posted_drivers_are_as_the_model_says(self) -> None:
        self.compare("rfc")

    def test_the_vendors_own_refusals_are_as_the_model_says(self) -> None:
        self.compare("header", "published")

    def compare(
        self,
        listing: vgpu_card.Listing,
        errors: vgpu_card.Errors = "posted",
    ) -> None:
        """Write at random, to it and to the model."""
        self.load(listing, errors)
        card = vgpu_card.VgpuCard(
            DRIVER, VGPU_TYPES, MIB, listing, errors=errors
        )
        chance = random.Random(listing)
        card.vgpus.update(dict.fromkeys(VFS[:4], "0"))
        texts = [*VGPU_TYPES, *VGPU_TYPES, "0", "0", "7", "01148", "0x1", "-1"]
        for _ in range(40):
            vf, text = chance.choice(VFS[:4]), chance.choice(texts)
            answers = [
                errno_of(card.set, vf, text, is_open=False),
                errno_of(self.set_attribute, vf, TYPE, text),
            ]
            self.assertEqual(answers[0], answers[1], f"{vf}: {text}")
            for vf in VFS[:4]:
                self.assertEqual(card.vgpus[vf], self.attribute(vf, TYPE))
                self.assertEqual(
                    card.listed(vf),
                    (self.host.root / DEVICES / vf / LIST).read_text(),
                )


class TypeFacts(VgpuCase):
    def test_what_can_not_be_is_refused(self) -> None:
        self.load()
        for text in ("", "x", "0x479", "-1", NAME, f"{ONE} {TWO}"):
            self.refused_type(errno.EINVAL, VF, text)
        self.refused_type(errno.ERANGE, VF, str(2**32))
        self.refused_type(errno.ENODEV, VF, "7")
        self.give(VF, TWO)
        self.refused_type(errno.EINVAL, VF, TWO_TOO)
        self.refused_type(errno.EINVAL, VFS[1], ONE)
        self.give(VF, TWO)
        self.give(VF, "0")
        self.give(VF, "0")
        self.refused_attribute(errno.EACCES, VF, LIST, ONE)

    def test_the_vendors_own_driver_says_less(self) -> None:
        """What its firmware refuses is EIO, and EPERM what it is given twice."""
        self.load(errors="published")
        self.refused_type(errno.EINVAL, VF, NAME)
        for text in ("7", "-1", str(2**32)):
            self.refused_type(errno.EIO, VF, text)
        self.refused_type(errno.EPERM, VF, "0")
        self.give(VF, TWO)
        for text in (TWO, TWO_TOO):
            self.refused_type(errno.EPERM, VF, text)
        self.refused_type(errno.EIO, VFS[1], ONE)
        pid = self.host.hold(VF)
        self.refused_type(errno.EPERM, VF, "0")
        self.host.let_go(pid)
        self.give(VF, "0")

    def test_a_full_card_refuses_the_next(self) -> None:
        self.load()
        self.give(VF, FOUR)
        self.give(VFS[1], FOUR)
        self.refused_type(errno.ENOSPC, VFS[2], FOUR)

    def test_an_open_vf_keeps_its_type(self) -> None:
        self.load()
        self.give(VF, TWO)
        pid = self.host.hold(VF)
        self.refused_type(errno.EBUSY, VF, "0")
        self.refused_type(errno.EBUSY, VF, TWO)
        self.give(VFS[1], TWO)
        self.host.let_go(pid)
        # QEMU's end doesn't clear it.
        self.assertEqual(TWO, self.attribute(VF, TYPE))
        self.give(VF, "0")

    def test_a_vf_without_a_type_takes_no_guest(self) -> None:
        self.load()
        self.not_held(errno.ENODEV, VF)

    def test_what_the_driver_fills_in_can_not_be_read_before(self) -> None:
        self.load()
        for name in ("gpu_instance_id", "placement_id"):
            error = self.assertRaises(
                OSError, self.attribute, VF, f"nvidia/{name}"
            )
            self.assertEqual(errno.ENXIO, error.errno)
        self.give(VF, ONE)
        for name in ("gpu_instance_id", "placement_id", "warm_update"):
            self.assertEqual("0", self.attribute(VF, f"nvidia/{name}"))
        self.assertEqual("", self.attribute(VF, "nvidia/vgpu_params"))
        self.set_attribute(VF, "nvidia/vgpu_params", "disable_vnc=1")
        self.assertEqual(
            "disable_vnc=1", self.attribute(VF, "nvidia/vgpu_params")
        )
        self.set_attribute(VF, "nvidia/vgpu_params", " ")
        self.assertEqual("", self.attribute(VF, "nvidia/vgpu_params"))


class RebindFacts(VgpuCase):
    def test_a_vf_that_was_rebound_takes_no_guest(self) -> None:
        """Until all VFs of its card are made anew."""
        self.load()
        self.give(VF, FOUR)
        self.give(VFS[1], FOUR)
        self.unbind(VF)
        self.assertFalse(self.has_folder(VF))
        self.listed(VFS[2], HEADER, ROWS[FOUR])
        self.probe(VF)
        self.assertEqual(DRIVER, self.driver(VF))
        self.assertEqual("0", self.attribute(VF, TYPE))
        self.give(VF, FOUR)
        self.not_held(errno.ENODEV, VF)
        self.host.let_go(self.host.hold(VFS[1]))
        self.set_attribute(PF, "sriov_numvfs", "0")
        self.make()
        self.assertEqual("0", self.attribute(VFS[1], TYPE))
        self.give(VF, FOUR)
        self.host.let_go(self.host.hold(VF))

    def test_what_an_open_one_has_is_kept_until_its_guest_is_gone(
        self,
    ) -> None:
        self.load()
        self.give(VF, FOUR)
        self.give(VFS[1], FOUR)
        pid = self.host.hold(VF)
        unbind = self.start(lambda: self.unbind(VF))
        self.eventually(lambda: not self.has_folder(VF))
        self.listed(VFS[2], HEADER)
        self.assertFalse(unbind.ended(0.5))
        self.host.let_go(pid)
        self.assertEqual(0, unbind.result(self.host.patience))
        self.listed(VFS[2], HEADER, ROWS[FOUR])


class HeterogeneousFacts(VgpuCase):
    def setUp(self) -> None:
        super().setUp()
        self.framework = vgpu.named("vendor_vfio")

    def mode(self) -> str:
        """What our framework reads."""
        return self.framework.heterogeneous(self.host.tree, PF)

    def set_mode(self, flag: bool) -> None:
        """Let our framework set it."""
        self.framework.set_heterogeneous(self._writer(), PF, flag)

    def test_sizes_are_mixed_where_that_is_set_before(self) -> None:
        self.load()
        self.assertEqual("0", self.mode())
        self.set_mode(True)
        self.assertEqual("1", self.mode())
        self.give(VF, FOUR)
        self.listed(VFS[1], HEADER, *ROWS.values())
        self.give(VFS[1], ONE)
        self.give(VFS[2], TWO)
        self.listed(VFS[3], HEADER, ROWS[ONE])
        self.refused_type(errno.ENOSPC, VFS[3], TWO)
        error = self.assertRaises(OSError, self.set_mode, False)
        self.assertIn("In use by another client", str(error))

    def test_it_goes_with_the_vfs(self) -> None:
        self.load()
        self.set_mode(True)
        self.set_attribute(PF, "sriov_numvfs", "0")
        self.make()
        self.assertEqual("0", self.mode())
        self.set_mode(True)
        self.set_mode(False)
        self.assertEqual("0", self.mode())


class VgpuCommands(VgpuCase):
    """What our commands make of it; the VFs are there before they begin."""

    errors: vgpu_card.Errors = "posted"

    def setUp(self) -> None:
        super().setUp()
        self.load(errors=self.errors)

    def has(self, *types: str) -> None:
        """Which types the VFs have, in order."""
        self.assertEqual(
            list(types), [self.attribute(vf, TYPE) for vf in VFS[:4]]
        )

    def cards(self, **entry: object) -> str:
        """A file that declares the card.

        :returns: its path
        """
        path = self.folder / "cards.json"
        path.write_text(json.dumps({"address": PF, **entry}))
        return str(path)

    def test_a_type_is_given_changed_and_taken_away(self) -> None:
        self.done("vgpu", "set", VF, VGPU_TYPES[TWO][0])
        self.has(TWO, "0", "0", "0")
        self.assertEqual(
            [], self.done("vgpu", "set", VF, TWO, "-f", "json").rows
        )
        self.done("vgpu", "set", VF, FOUR)
        self.has(FOUR, "0", "0", "0")
        self.done("vgpu", "set", VF, "none")
        self.done("vgpu", "set", VF, "none")
        self.has("0", "0", "0", "0")

    def test_a_card_is_made_what_a_file_declares(self) -> None:
        path = self.cards(vgpu_types={TWO: 1, VGPU_TYPES[TWO_TOO][0]: 2})
        self.assertEqual(1, self.run_command("vgpu", "assert", path).status)
        self.done("vgpu", "apply", path)
        found = sorted(self.attribute(vf, TYPE) for vf in VFS[:4])
        self.assertEqual(sorted(["0", TWO, TWO_TOO, TWO_TOO]), found)
        self.done("vgpu", "assert", path)
        # Another size: all is freed first.
        path = self.cards(vgpu_types={FOUR: 2})
        self.done("vgpu", "apply", path)
        self.has(FOUR, FOUR, "0", "0")
        self.done("host", "restore")
        self.has("0", "0", "0", "0")

    def test_sizes_are_mixed_where_that_is_declared(self) -> None:
        path = self.cards(
            vgpu_types={ONE: 1, TWO: 1, FOUR: 1}, heterogeneous=True
        )
        self.done("vgpu", "apply", path)
        found = sorted(self.attribute(vf, TYPE) for vf in VFS[:4])
        self.assertEqual(sorted(["0", ONE, TWO, FOUR]), found)
        self.done("vgpu", "assert", path)

    @on_the_fake_alone
    def test_what_can_not_be_is_refused_before_anything_is_freed(self) -> None:
        self.done("vgpu", "set", VF, TWO)
        for entry in ({FOUR: 3}, {ONE: 1, TWO: 1}, {"NVIDIA LAB-3Q": 1}):
            ran = self.run_command(
                "vgpu", "apply", self.cards(vgpu_types=entry)
            )
            self.assertEqual(2, ran.status, ran.err)
            self.has(TWO, "0", "0", "0")

    def test_a_guest_keeps_its_type(self) -> None:
        self.done("vgpu", "set", VF, TWO)
        pid = self.host.hold(VF)
        for word in ("none", FOUR):
            ran = self.run_command("vgpu", "set", VF, word)
            self.assertEqual(2, ran.status, ran.err)
            self.assertIn(str(pid), ran.err)
        self.done("vgpu", "set", VFS[1], TWO_TOO)
        self.has(TWO, TWO_TOO, "0", "0")

    @on_the_fake_alone
    def test_it_is_bound_to_no_other_driver(self) -> None:
        self.declare(f'{{"address": "{VF}", "driver": "vfio-pci"}}')
        ran = self.run_command("host", "apply")
        self.assertEqual(2, ran.status, ran.err)
        self.assertEqual(DRIVER, self.driver(VF))

    def test_a_card_is_made_anew_with_its_types(self) -> None:
        self.done("vgpu", "set", VF, TWO)
        # Another tool's, on one that takes no guest any more.
        self.unbind(VFS[1])
        self.probe(VFS[1])
        self.give(VFS[1], TWO_TOO)
        self.not_held(errno.ENODEV, VFS[1])
        planned = self.run_command("vgpu", "recycle", PF, "--dry-run")
        self.assertEqual(1, planned.status, planned.err)
        self.done("vgpu", "recycle", PF)
        self.has(TWO, TWO_TOO, "0", "0")
        self.host.let_go(self.host.hold(VFS[1]))

    def test_it_is_of_several_sizes_again_after_that(self) -> None:
        path = self.cards(vgpu_types={ONE: 1, FOUR: 1}, heterogeneous=True)
        self.done("vgpu", "apply", path)
        before = [self.attribute(vf, TYPE) for vf in VFS[:4]]
        self.done("vgpu", "recycle", PF)
        self.has(*before)
        self.done("vgpu", "assert", path)

    def test_what_a_guest_has_is_not_made_anew(self) -> None:
        self.done("vgpu", "set", VF, TWO)
        pid = self.host.hold(VF)
        ran = self.run_command("vgpu", "recycle", PF)
        self.assertEqual(2, ran.status, ran.err)
        self.assertIn(str(pid), ran.err)
        self.has(TWO, "0", "0", "0")

    def test_what_is_declared_and_gone_comes_back(self) -> None:
        self.done("vgpu", "set", VF, TWO)
        self.done("vgpu", "set", VFS[2], TWO_TOO)
        self.set_attribute(PF, "sriov_numvfs", "0")
        self.make()
        self.has("0", "0", "0", "0")
        self.done("reconcile")
        self.has(TWO, "0", TWO_TOO, "0")
        self.assertEqual([], self.done("reconcile", "-f", "json").rows)

    def declare_ours(self) -> None:
        """Let nova-vfio claim here, and publish to a Placement of its own."""
        self.declare(more=OURS)
        if not self.state.exists():
            self.useFixture(placement.EmbeddedPlacement(str(self.state)))

    def claim(self, *words: str) -> str:
        """Claim a vGPU where no Nova is.

        :returns: the VF
        """
        self.declare_ours()
        (row,) = self.done(
            *("claim", "create", "--instance", INSTANCE, *words),
            *("-f", "json"),
        ).rows
        (vf,) = row["addresses"]
        return str(vf)

    def test_a_claim_sets_its_type_and_frees_it(self) -> None:
        vf = self.claim("--vgpu-type", NAME)
        self.assertEqual(ONE, self.attribute(vf, TYPE))
        pid = self.host.hold(vf)
        ran = self.run_command("claim", "delete", INSTANCE)
        self.assertEqual(2, ran.status, ran.err)
        self.assertIn(str(pid), ran.err)
        self.assertEqual(ONE, self.attribute(vf, TYPE))
        self.host.let_go(pid)
        self.done("claim", "delete", INSTANCE)
        self.has("0", "0", "0", "0")

    def test_a_claim_takes_what_the_card_has_room_for(self) -> None:
        self.give(VF, FOUR)
        self.declare_ours()
        words = ("claim", "create", "--instance", INSTANCE, "--vgpu-type")
        for word in (ONE, f"{FOUR}:3"):
            ran = self.run_command(*words, word)
            self.assertEqual(2, ran.status, f"{word}: {ran}")
            self.has(FOUR, "0", "0", "0")
        # One that has the type is taken as it is.
        self.done(*words, f"{FOUR}:2")
        self.assertEqual(
            2, [self.attribute(vf, TYPE) for vf in VFS[:4]].count(FOUR)
        )
        self.done("claim", "delete", INSTANCE)
        # Another tool's stays.
        self.has(FOUR, "0", "0", "0")

    def test_what_a_claim_lost_comes_back_while_its_instance_lives(
        self,
    ) -> None:
        vf = self.claim("--vgpu-type", TWO)
        self.set_attribute(PF, "sriov_numvfs", "0")
        self.make()
        self.has("0", "0", "0", "0")
        alive = self.folder / "alive"
        alive.write_text(f"{INSTANCE}\n")
        self.done("reconcile", "--alive", str(alive))
        self.assertEqual(TWO, self.attribute(vf, TYPE))

    def test_what_an_instance_left_is_freed_once_it_is_gone(self) -> None:
        vf = self.claim("--vgpu-type", TWO)
        alive = self.folder / "alive"
        alive.write_text("none\n")
        words = ("reconcile", "--alive", str(alive))
        # It is younger than five minutes.
        self.assertEqual(1, self.run_command(*words).status)
        self.assertEqual(TWO, self.attribute(vf, TYPE))
        self.useFixture(
            fixtures.MonkeyPatch(f"{astray.__name__}.GRACE", dt.timedelta(0))
        )
        pid = self.host.hold(vf)
        ran = self.run_command(*words)
        self.assertEqual(1, ran.status, ran.err)
        self.assertIn(str(pid), ran.out)
        self.host.let_go(pid)
        self.done(*words)
        self.has("0", "0", "0", "0")
        self.assertEqual([], self.done("claim", "list", "-f", "json").rows)


# That these errors are the kernel's as well, TypeFacts and ListingFacts show.
@on_the_fake_alone
class VgpuCommandsOnPublished(VgpuCommands):
    """The same where errno tells less, and 0 is refused on a free VF."""

    errors = "published"
