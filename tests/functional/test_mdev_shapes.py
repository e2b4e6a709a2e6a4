# SPDX-License-Identifier: Apache-2.0
"""Parents that are channels, a matrix, graphics, or VFs of one card."""

import collections
import pathlib
import typing as ty

from nova_vfio_variant.testing import fake_host
from tests.functional import cli_case, mdev_shapes
from tests.functional.cli_case import ONE, TWO

OURS = "[vfio]\nplacement = embedded\n"


class Shape(cli_case.CliTestCase):
    """A host of a kind."""

    def plug_in(self, build: ty.Callable[..., fake_host.FakeHost]) -> None:
        """Let it be this host."""
        self.fake = build(self.folder / "host")
        self.enterContext(self.fake.plugged_in())
        self.declare()

    def declare(self, text: str = "", tail: str = OURS) -> None:
        """All that the configuration says."""
        pathlib.Path("nova.conf").write_text(text + tail)

    def available(self) -> dict[str, dict[str, int]]:
        """How many each parent says that it takes, by type."""
        found: dict[str, dict[str, int]] = collections.defaultdict(dict)
        for row in self.json("mdev", "types"):
            found[row["parent"]][row["id"]] = row["available"]
        return dict(found)

    def inventories(self) -> dict[str, tuple[int, int]]:
        """Total and reserved of each parent."""
        return {
            row["provider"].rpartition("_pci_")[2]: (
                row["total"],
                row["reserved"],
            )
            for row in self.json("inventory", "show")
        }

    def said(self, status: int = 0) -> list[str]:
        """Codes that ``config check`` has."""
        return [
            row["code"] for row in self.json("config", "check", status=status)
        ]


class MainframeTest(Shape):
    def setUp(self) -> None:
        super().setUp()
        self.plug_in(mdev_shapes.mainframe)

    def test_channels_and_the_matrix_are_read(self) -> None:
        self.assertEqual(
            [
                ("0.0.0052", "vfio_ccw-io", "vfio-ccw", 1),
                ("0.0.0053", "vfio_ccw-io", "vfio-ccw", 1),
                ("matrix", "vfio_ap-passthrough", "vfio-ap", 65536),
            ],
            [
                (row["parent"], row["id"], row["device_api"], row["available"])
                for row in self.json("mdev", "types")
            ],
        )

    def test_a_channel_makes_one_and_then_the_next_one_does(self) -> None:
        made = [self.json("mdev", "create", "vfio_ccw-io")[0] for _ in "12"]
        self.assertEqual(
            [*mdev_shapes.CHANNELS], [row["parent"] for row in made]
        )
        said = self.fails("mdev", "create", "I/O subchannel (Non-QDIO)")
        self.assertIn("VFIO589", said)
        self.assertEqual(
            {row["uuid"]: row["parent"] for row in made},
            {row["uuid"]: row["parent"] for row in self.json("mdev", "list")},
        )
        self.ok("mdev", "delete", made[0]["uuid"])
        self.assertEqual(
            {"0.0.0052": 1, "0.0.0053": 0},
            {
                name: types["vfio_ccw-io"]
                for name, types in self.available().items()
                if name != "matrix"
            },
        )

    def test_adapters_and_domains_are_assigned_in_order(self) -> None:
        words = ("assign_adapter=5", "assign_domain=4", "assign_domain=0xab")
        last = "assign_control_domain=4"
        self.ok(
            *("mdev", "create", "vfio_ap-passthrough"),
            *(f"--attribute={word}" for word in (*words, last)),
        )
        written = [
            line.split(" ")[0].rpartition("/")[2]
            for line in self.fake.written[-5:]
        ]
        self.assertEqual(
            ["create", *(word.partition("=")[0] for word in (*words, last))],
            written,
        )

    def test_a_queue_that_the_host_keeps_leaves_no_device(self) -> None:
        done = self.ok(
            *("mdev", "create", "vfio_ap-passthrough"),
            *("--attribute=assign_adapter=5", "--attribute=assign_domain=999"),
            status=2,
        )
        self.assertIn("Cannot assign requested address", done.err)
        self.assertEqual([], self.json("mdev", "list"))

    def test_a_claim_takes_them_and_gives_them_back(self) -> None:
        self.ok(
            *("claim", "create", "--instance", ONE),
            *("--vgpu-type", "vfio_ccw-io:2"),
            *("--vgpu-type", "vfio_ap-passthrough"),
        )
        models = [
            line
            for line in self.ok(
                "guest", "xml", "--instance", ONE
            ).out.splitlines()
            if "type='mdev'" in line or 'type="mdev"' in line
        ]
        self.assertEqual(3, len(models))
        self.assertEqual(2, sum("vfio-ccw" in line for line in models))
        self.assertEqual(1, sum("vfio-ap" in line for line in models))
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual([], self.json("mdev", "list"))

    def test_nova_makes_none_of_them(self) -> None:
        nova = "[devices]\nenabled_mdev_types = vfio_ccw-io\n"
        self.declare(nova, "[vfio]\nnova_compute = yes\n")
        self.assertEqual({}, self.inventories())
        self.json("mdev", "create", "vfio_ccw-io")
        self.assertIn("VFIO236", self.said(1))
        self.declare(
            nova + "[mdev_vfio_ccw-io]\ndevice_addresses = css_0_0_0052\n"
        )
        self.assertIn("VFIO240", self.said(2))


class GraphicsTest(Shape):
    def setUp(self) -> None:
        super().setUp()
        self.plug_in(mdev_shapes.with_gvt_g)

    def test_lines_of_a_description_are_told_and_no_framebuffer(self) -> None:
        rows = {row["id"]: row for row in self.json("mdev", "types")}
        row = rows["i915-GVTg_V5_4"]
        self.assertEqual(
            (mdev_shapes.GRAPHICS, "GVTg_V5_4", None, None, 2),
            (
                row["parent"],
                row["name"],
                row["framebuffer_mib"],
                row["max_instances"],
                row["available"],
            ),
        )
        self.assertIn("resolution: 1920x1200\nweight: 4", row["description"])
        self.assertEqual(0, rows["i915-GVTg_V5_1"]["available"])

    def test_types_share_the_card_and_so_does_placement(self) -> None:
        self.declare("[devices]\nenabled_mdev_types = i915-GVTg_V5_4\n")
        self.assertEqual({"0000_00_02_0": (2, 0)}, self.inventories())
        self.ok("inventory", "report")
        self.json("mdev", "create", "GVTg_V5_8", "--instance", TWO)
        self.assertEqual(
            1, self.available()[mdev_shapes.GRAPHICS]["i915-GVTg_V5_4"]
        )
        self.ok(
            *("claim", "create", "--instance", ONE),
            *("--vgpu-type", "GVTg_V5_4"),
        )
        said = self.fails("mdev", "create", "GVTg_V5_4")
        self.assertIn("VFIO589", said)
        self.ok("claim", "delete", "--instance", ONE)
        self.json("mdev", "create", "i915-GVTg_V5_4")

    def test_a_type_that_it_has_and_one_that_it_has_not(self) -> None:
        self.declare(
            "[devices]\nenabled_mdev_types = i915-GVTg_V5_4\n"
            f"[mdev_i915-GVTg_V5_4]\ndevice_addresses = {mdev_shapes.GRAPHICS}\n"
        )
        self.assertNotIn("VFIO236", self.said())
        self.declare("[devices]\nenabled_mdev_types = i915-GVTg_V4_4\n")
        self.assertIn("VFIO236", self.said(1))


class VfsTest(Shape):
    """Each VF takes one, and the card three small ones or a large one."""

    def setUp(self) -> None:
        super().setUp()
        self.plug_in(mdev_shapes.with_vfs)

    def test_each_vf_tells_one_and_siblings_follow(self) -> None:
        one = {"nvidia-557": 1, "nvidia-558": 1}
        none = dict.fromkeys(one, 0)
        self.assertEqual(dict.fromkeys(mdev_shapes.VFS, one), self.available())
        (row,) = self.json("mdev", "create", "nvidia-558")
        self.assertEqual(
            dict.fromkeys(mdev_shapes.VFS, none),
            self.available(),
        )
        said = self.fails("mdev", "create", "nvidia-557")
        self.assertIn(f"idle there: {row['uuid']} (nvidia-558 of", said)
        self.ok("mdev", "delete", row["uuid"])
        self.assertEqual(dict.fromkeys(mdev_shapes.VFS, one), self.available())

    def test_numbers_of_vfs_do_not_add_up(self) -> None:
        """Four VFs say one each, and the card takes three."""
        said = self.fails(
            *("claim", "create", "--instance", ONE),
            *("--vgpu-type", "nvidia-557:4"),
        )
        self.assertIn("no room for another nvidia-557", said)
        self.assertEqual([], self.json("mdev", "list"))
        (claimed,) = self.json(
            *("claim", "create", "--instance", ONE),
            *("--vgpu-type", "NVIDIA A40-1B:3"),
        )
        self.assertEqual(3, len(claimed["mdevs"]))
        self.assertEqual(
            [*mdev_shapes.VFS[:3]],
            sorted(row["parent"] for row in self.json("mdev", "list")),
        )
        rows = self.json("vgpu", "types")
        for row in rows:
            self.assertNotEqual(4, row.get("available"), row)

    def test_placement_keeps_a_vf_that_its_siblings_closed(self) -> None:
        self.declare("[devices]\nenabled_mdev_types = nvidia-557\n")
        names = [
            name.replace(":", "_").replace(".", "_")
            for name in mdev_shapes.VFS
        ]
        self.assertEqual(dict.fromkeys(names, (1, 0)), self.inventories())
        self.ok(
            *("claim", "create", "--instance", ONE),
            *("--vgpu-type", "nvidia-557:3"),
        )
        self.assertEqual(
            {**dict.fromkeys(names, (1, 0)), names[3]: (1, 1)},
            self.inventories(),
        )
        self.ok("claim", "delete", "--instance", ONE)
        self.assertEqual(dict.fromkeys(names, (1, 0)), self.inventories())

    def test_the_pf_offers_none_and_that_is_said(self) -> None:
        self.declare(
            "[devices]\nenabled_mdev_types = nvidia-557\n"
            f"[mdev_nvidia-557]\ndevice_addresses = {mdev_shapes.PF}\n"
        )
        found = self.json("config", "check", status=1)
        self.assertIn(
            "its VFs do",
            " ".join(row["message"] for row in found),
        )
