# SPDX-License-Identifier: Apache-2.0
"""A claim that is made or prepared again sees that its guest may begin."""

from tests.functional import claims_case
from tests.functional.cli_case import ONE

MINE = ("--instance", ONE)
AGAIN = (
    ("claim", "prepare", *MINE),
    ("claim", "create", *MINE, *claims_case.WORDS),
)


class ReadinessTest(claims_case.ClaimsCase):
    def expect_refused(self, said: str) -> None:
        for words in AGAIN:
            with self.subTest(" ".join(words[:2])):
                error = self.fails(*words)
                self.assertIn(said, error)
        (claim,) = self.json("claim", "list", *MINE)
        self.assertEqual("prepared", claim["status"])

    def test_what_is_gone_is_not_prepared(self) -> None:
        self.fake.vanish(self.claim())
        self.expect_refused("VFIO544")

    def test_nor_are_vfs_that_somebody_took_away(self) -> None:
        self.claim()
        self.fake.writer().set_numvfs("0000:21:00.0", 0)
        self.expect_refused("VFIO544")

    def test_another_card_is_not_the_one_that_was_claimed(self) -> None:
        self.fake.exchange(self.claim(), "1af4:1041", class_code=0x020000)
        self.expect_refused("VFIO406")

    def test_what_a_stranger_has_open_is_not_prepared(self) -> None:
        vf = self.claim()
        stranger = self.fake.hold(vf, "stranger")
        self.expect_refused("VFIO514")
        self.fake.let_go(stranger)
        for words in AGAIN:
            self.ok(*words)

    def test_what_its_own_guest_has_open_is_as_it_should_be(self) -> None:
        vf = self.claim()
        self.guest(ONE, vf)
        for words in AGAIN:
            self.ok(*words)
        self.ok("claim", "started", *MINE)
        for words in AGAIN:
            self.ok(*words)

    def test_a_cordon_takes_nothing_from_who_has_it(self) -> None:
        self.ok("device", "cordon", self.claim(), "--reason", "a fan")
        for words in AGAIN:
            self.ok(*words)


class UnmanagedTest(claims_case.ClaimsCase):
    MANAGED = "no"

    def test_one_that_left_its_driver_has_to_be_bound_first(self) -> None:
        self.fake.add_alias("vfio_pci:v*d*sv*sd*bc*sc*i*", "vfio_pci")
        vf = self.claim()
        self.fake.write(f"sys/bus/pci/devices/{vf}/driver/unbind", vf.encode())
        for words in AGAIN:
            self.assertIn("VFIO540", self.fails(*words))
        self.ok("device", "bind", vf)
        for words in AGAIN:
            self.ok(*words)
