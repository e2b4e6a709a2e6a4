# SPDX-License-Identifier: Apache-2.0
"""``config check --kernel``: what a kernel that doesn't run yet would change."""

from tests.functional import check_cases, check_host, cli_case

SPEC = f'device_spec = {{ {check_cases.VF}, "managed": "no" }}'
NEXT = ("config", "check", "--kernel", "6.13.0")


class KernelTest(cli_case.CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.configure(SPEC)
        check_host.build(
            self.folder / "host",
            check_host.card(driver="igbvf_vfio_pci"),
            check_cases.kernel(
                check_host.RELEASE, "igbvf_vfio_pci", modules="vfio_pci igb"
            )
            | check_cases.kernel("6.13.0", modules="vfio_pci igb"),
        )
        # What a kernel that was removed left behind.
        (self.folder / "host/lib/modules/5.10.0").mkdir()

    def codes(self, *words: str, status: int) -> list[str]:
        found = self.json(*words, status=status)
        return [row["code"] for row in found if row["code"] > "VFIO329"]

    def test_what_would_change_is_found_only_if_it_is_asked(self) -> None:
        self.assertEqual(["VFIO330"], self.codes(*NEXT, status=1))
        before = self.json("config", "check")
        self.assertEqual(
            before,
            self.json("config", "check", "--kernel", check_host.RELEASE),
        )

    def test_one_that_is_not_installed_is_an_error_with_those_that_are(
        self,
    ) -> None:
        for release in ("6.14.0", "5.10.0", "../modules/6.13.0", ""):
            said = self.fails("config", "check", "--kernel", release)
            self.assertIn(f"no kernel {release!r} is installed", said)
            self.assertIn("there is 6.12.0, 6.13.0\n", said)

    def test_a_recording_has_the_variant_drivers_of_each(self) -> None:
        self.ok("host", "snapshot", "host.tar.gz")
        root = "--host-root=host.tar.gz"
        self.assertEqual(
            ["VFIO333", "VFIO330"], self.codes(root, *NEXT, status=1)
        )
        said = self.fails(root, "config", "check", "--kernel", "6.14.0")
        self.assertIn(
            "the recording has no modules of a kernel '6.14.0'; it has those"
            " of 6.12.0, 6.13.0",
            said,
        )

    def test_it_is_not_looked_for_without_the_host(self) -> None:
        said = self.fails(*NEXT, "--offline")
        self.assertIn("not allowed with argument", said)
