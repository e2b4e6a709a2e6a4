# SPDX-License-Identifier: Apache-2.0
"""Hosts of all shapes are listed as a second reader has them, and replay."""

import io
import json
import pathlib
import tempfile
import typing as ty

import fixtures

from nova_vfio_variant.cli import main
from nova_vfio_variant.host.observe import host_scan, scanner, snapshot
from nova_vfio_variant.host.tree import opening, recorded
from tests import base, independent_reader, other_machines, sample_hosts

_TESTS = pathlib.Path(__file__).parents[1]
_RECORDED = (
    *_TESTS.parent.glob("etc/nova-vfio/hosts/*.tar.gz"),
    *_TESTS.glob("behaviour/*.tar.gz"),
    *_TESTS.glob("functional/cases/*/host.tar.gz"),
)


class OtherMachinesCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = fixtures.TempDir(sample_hosts.MEMORY)
        self.folder = pathlib.Path(self.useFixture(folder).path)
        (self.folder / "nova.conf").touch()

    def listed(self, root: pathlib.Path) -> list[dict[str, ty.Any]]:
        """What ``host list`` says."""
        out, err = io.StringIO(), io.StringIO()
        with (
            fixtures.MonkeyPatch("sys.stdout", out),
            fixtures.MonkeyPatch("sys.stderr", err),
        ):
            status = main.main(
                [
                    f"--config-file={self.folder}/nova.conf",
                    f"--host-root={root}",
                    f"--state-path={self.folder}/state",
                    *("host", "list", "-f", "json"),
                ]
            )
        self.assertEqual(0, status, err.getvalue())
        self.assertNotRegex(err.getvalue(), "warning|error")
        return ty.cast("list[dict[str, ty.Any]]", json.loads(out.getvalue()))

    def agrees(self, listed: list[dict[str, ty.Any]], root: object) -> None:
        """Both readers say the same of each function, and list all."""
        others = {
            one["address"]: one
            for one in independent_reader.functions(str(root))
        }
        self.assertEqual(
            others,
            {
                row["address"]: {
                    key: row[key] for key in others[row["address"]]
                }
                for row in listed
            },
        )
        self.assertEqual(len(others), len(listed))

    def replays(self, root: pathlib.Path) -> pathlib.Path:
        """A recording is scanned and listed as the host is."""
        out = pathlib.Path(tempfile.mkdtemp()) / "host.tar.gz"
        host = opening.open_tree(str(root))
        snapshot.record(host, out, identities=True)
        again = opening.open_tree(str(out))
        seen, replayed = scanner.scan(host), scanner.scan(again)
        self.assertEqual(seen, replayed)
        self.assertEqual(seen.vfio_modules, replayed.vfio_modules)
        self.assertEqual(seen.iommu_groups, replayed.iommu_groups)
        second = out.with_name("again.tar.gz")
        snapshot.record(again, second, identities=True)
        self.assertEqual(out.read_bytes(), second.read_bytes())
        return out


class RecordedHostsTest(OtherMachinesCase):
    def test_every_recorded_host_is_listed_as_the_other_reader_has_it(
        self,
    ) -> None:
        self.assertLessEqual(4, len(_RECORDED))
        for number, path in enumerate(_RECORDED):
            root = self.folder / f"{number}"
            recorded.unpack(path, root)
            listed = self.listed(path)
            self.agrees(listed, root)
            self.assertEqual(listed, self.listed(root), str(path))


class OtherMachinesTest(OtherMachinesCase):
    def test_each_is_listed_as_the_other_reader_has_it_and_replays(
        self,
    ) -> None:
        for make in other_machines.MACHINES:
            with self.subTest(make.__name__):
                root = self.folder / make.__name__
                root.mkdir()
                make(root)
                listed = self.listed(root)
                self.agrees(listed, root)
                self.assertEqual(listed, self.listed(self.replays(root)))
                self.assertEqual((), self.scan(root).problems)

    def scan(self, root: pathlib.Path) -> host_scan.HostScan:
        return scanner.scan(opening.open_tree(str(root)))

    def test_they_are_what_they_are_said_to_be(self) -> None:
        found = {}
        for make in other_machines.MACHINES:
            root = self.folder / make.__name__
            root.mkdir()
            make(root)
            found[make.__name__] = self.scan(root)
        domains = {
            name: len({function.address.domain for function in seen.functions})
            for name, seen in found.items()
        }
        self.assertEqual(10, domains["ten_domains"])
        self.assertEqual(0, domains["no_pci"])
        self.assertFalse(found["ppc64_without_groups"].iommu_groups)
        self.assertEqual(
            [0, 1],
            [
                function.vf_index
                for function in found["old_kernel"].functions
                if function.physfn
            ],
        )
        self.assertEqual(
            [False, False, True, True, False],
            [
                function.is_bridge
                for function in reversed(found["new_kernel"].functions)
            ][::-1],
        )
        last = found["long_domains"].functions[-1]
        self.assertEqual("7ffffffe:e1:00.1", str(last.address))
        self.assertEqual(0, last.vf_index)
