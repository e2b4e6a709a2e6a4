# SPDX-License-Identifier: Apache-2.0
"""Whether a device can move: by the kernel's word, else by its driver."""

import os
import pathlib
import tempfile
import typing as ty

from nova_vfio_variant.host.decide import migration
from nova_vfio_variant.host.observe import migration as observed
from nova_vfio_variant.host.tree import opening
from tests import base
from tests.unit.pci import make

YES, POSSIBLE, NO = migration.Answer
BDF = "0000:25:00.4"
FEATURES = "sys/kernel/debug/vfio/0000:25:00.4/migration/features"


class ObservedTest(base.TestCase):
    def told(self, *folders: str, features: str | None = None) -> ty.Any:
        root = pathlib.Path(tempfile.mkdtemp())
        for folder in folders:
            (root / observed.DEBUGFS / folder).mkdir(parents=True)
        if features is not None:
            (root / FEATURES).write_text(features)
        return observed.read(opening.open_tree(str(root)), BDF)

    def test_without_debugfs_nothing_is_told(self) -> None:
        self.assertEqual(observed.NOTHING_TOLD, self.told())
        self.assertEqual(observed.NOTHING_TOLD, self.told("0000:25:00.5"))

    def test_a_device_without_the_folder_can_not(self) -> None:
        self.assertEqual(observed.Told(can=False), self.told(BDF))

    def test_features_are_told_where_the_kernel_lists_them(self) -> None:
        self.assertEqual(
            observed.Told(can=True), self.told(f"{BDF}/migration")
        )
        self.assertEqual(
            observed.Told(True, frozenset({"stop-copy", "p2p"})),
            self.told(f"{BDF}/migration", features="stop-copy\np2p\n"),
        )

    def test_what_is_no_folder_or_never_ends_tells_nothing_more(self) -> None:
        root = pathlib.Path(tempfile.mkdtemp())
        tree = opening.open_tree(str(root))
        (root / observed.DEBUGFS).mkdir(parents=True)
        (root / observed.DEBUGFS / BDF).write_text("no folder")
        self.assertEqual(observed.NOTHING_TOLD, observed.read(tree, BDF))
        (root / observed.DEBUGFS / BDF).unlink()
        (root / FEATURES).parent.mkdir(parents=True)
        os.mkfifo(root / FEATURES)
        self.assertEqual(observed.Told(can=True), observed.read(tree, BDF))


class DecidedTest(base.TestCase):
    ALIASES = (
        ("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci"),
        ("vfio_pci:v000010DEd000025B6sv*sd*bc*sc*i*", "mlx5_vfio_pci"),
    )
    MODALIAS = "pci:v000010DEd000025B6sv00000000sd00000000bc02sc00i00"

    def vf(self, driver: str | None, **more: ty.Any) -> ty.Any:
        vfio = driver is not None and "vfio" in driver
        return make.pci(
            "25:00.4", driver=driver, vfio=vfio, modalias=self.MODALIAS, **more
        )

    def test_a_managed_one_has_the_driver_that_fits_best(self) -> None:
        cases: list[tuple[str | None, bool, str | None]] = [
            ("mlx5_core", True, "mlx5_vfio_pci"),
            ("vfio-pci", True, "mlx5_vfio_pci"),
            ("vfio-pci", False, "vfio-pci"),
            ("mlx5_core", False, None),
            (None, False, None),
        ]
        for driver, managed, wanted in cases:
            found = migration.driver_for_guest(
                self.vf(driver), self.ALIASES, managed=managed
            )
            self.assertEqual(wanted, found, str(driver))
        self.assertEqual(
            "vfio-pci",
            migration.driver_for_guest(self.vf("igbvf"), (), managed=True),
        )

    def test_a_vendors_vgpu_stays_on_its_driver(self) -> None:
        vgpu = self.vf("nvidia", has_vgpu_folder=True)
        for managed in (True, False):
            self.assertEqual(
                "nvidia",
                migration.driver_for_guest(
                    vgpu, self.ALIASES, managed=managed
                ),
            )

    def answer(
        self, driver: str, told: observed.Told = observed.NOTHING_TOLD
    ) -> migration.Answer:
        return migration.of_function(self.vf(driver), driver, told).answer

    def test_a_name_alone_is_never_a_yes(self) -> None:
        for driver, wanted in (
            ("mlx5_vfio_pci", POSSIBLE),
            ("hisi_acc_vfio_pci", POSSIBLE),
            ("pds_vfio_pci", POSSIBLE),
            ("virtio_vfio_pci", POSSIBLE),
            ("qat_vfio_pci", POSSIBLE),
            # Its module has no hyphens.
            ("xe-vfio-pci", POSSIBLE),
            ("nvgrace_gpu_vfio_pci", NO),
            ("ism_vfio_pci", NO),
            ("vfio-pci", NO),
            # One that nobody has told of.
            ("new_vfio_pci", POSSIBLE),
        ):
            self.assertEqual(wanted, self.answer(driver), driver)

    def test_the_kernel_knows_better_than_the_name(self) -> None:
        for driver in ("mlx5_vfio_pci", "new_vfio_pci"):
            self.assertEqual(YES, self.answer(driver, observed.Told(can=True)))
            self.assertEqual(NO, self.answer(driver, observed.Told(can=False)))

    def test_the_kernels_word_is_about_the_driver_that_is_bound(self) -> None:
        found = migration.of_function(
            self.vf("vfio-pci"), "mlx5_vfio_pci", observed.Told(can=False)
        )
        self.assertEqual(POSSIBLE, found.answer)
        self.assertIn("not on that driver now", found.reason)

    def test_one_that_no_guest_can_have_does_not_move(self) -> None:
        for driver, said in (("mlx5_core", "mlx5_core"), (None, "none")):
            found = migration.of_function(
                self.vf(driver), None, observed.NOTHING_TOLD
            )
            self.assertEqual(NO, found.answer)
            self.assertIn(said, found.reason)

    def test_features_say_whether_there_is_p2p(self) -> None:
        for driver, features, wanted in (
            ("hisi_acc_vfio_pci", {"stop-copy", "p2p"}, True),
            ("mlx5_vfio_pci", {"stop-copy"}, False),
            # Linux before 6.18 lists none.
            ("mlx5_vfio_pci", None, None),
            ("hisi_acc_vfio_pci", None, False),
        ):
            told = observed.Told(
                True, None if features is None else frozenset(features)
            )
            found = migration.of_driver(driver, told)
            self.assertIs(wanted, found.p2p, driver)

    def test_several_move_only_if_all_have_p2p(self) -> None:
        told = observed.NOTHING_TOLD
        hisi, mlx5, xe, plain = (
            migration.of_driver(driver, told)
            for driver in (
                "hisi_acc_vfio_pci",
                "mlx5_vfio_pci",
                "xe-vfio-pci",
                "vfio-pci",
            )
        )
        self.assertEqual((hisi,), migration.together([hisi]))
        self.assertEqual((mlx5, xe), migration.together([mlx5, xe]))
        both = migration.together([hisi, mlx5, plain])
        self.assertEqual([NO, POSSIBLE, NO], [found.answer for found in both])
        self.assertIn("P2P", both[0].reason)
        self.assertEqual(plain, both[2])

    def test_beside_others_a_yes_needs_the_kernels_word_on_p2p(self) -> None:
        some, all_of_it = (
            migration.of_driver("mlx5_vfio_pci", observed.Told(True, features))
            for features in (None, frozenset({"p2p"}))
        )
        self.assertEqual((some,), migration.together([some]))
        self.assertEqual(
            [POSSIBLE, YES],
            [found.answer for found in migration.together([some, all_of_it])],
        )

    def test_a_pf_that_its_vfs_driver_knows_lacks_nothing(self) -> None:
        def lack(
            driver: str | None, pf: ty.Any, state: str | None = None
        ) -> migration.Lack | None:
            found = migration.lack_of_pf(driver, pf, state)
            return None if found is None else found[0]

        stub, qat, virtio, bare = (
            make.pci("25:00.0", driver=driver)
            for driver in ("pci-pf-stub", "420xx", "virtio-pci", None)
        )
        for driver, pf, state, wanted in (
            ("qat_vfio_pci", qat, "up", None),
            ("qat_vfio_pci", qat, None, None),
            ("qat_vfio_pci", qat, "down", migration.Lack.UP),
            ("qat_vfio_pci", stub, "up", migration.Lack.DRIVER),
            ("virtio_vfio_pci", virtio, None, None),
            ("xe-vfio-pci", bare, None, migration.Lack.DRIVER),
            # It asks no PF.
            ("vfio-pci", stub, None, None),
            ("new_vfio_pci", stub, None, None),
            ("nvgrace_gpu_vfio_pci", None, None, None),
            (None, stub, None, None),
        ):
            self.assertIs(wanted, lack(driver, pf, state), str(driver))
