# SPDX-License-Identifier: Apache-2.0
"""Sockets of NUMA nodes, as the kernel and as a recording tell them."""

import pathlib
import tempfile

from nova_vfio_variant.host.observe import numa, snapshot
from nova_vfio_variant.host.tree import opening
from tests import base

_NODES = "sys/devices/system/node"
_CPUS = "sys/devices/system/cpu"


class SocketTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(tempfile.mkdtemp())
        for path, text in {
            f"{_NODES}/node0/cpulist": "0-3,8\n",
            f"{_NODES}/node1/cpulist": "4-7\n",
            f"{_NODES}/node2/cpulist": "\n",
            f"{_NODES}/possible": "0-2\n",
            f"{_CPUS}/cpu0/topology/physical_package_id": "1\n",
            f"{_CPUS}/cpu4/topology/physical_package_id": "-1\n",
        }.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)

    def test_a_node_is_on_the_socket_of_its_first_processor(self) -> None:
        host = opening.open_tree(str(self.root))
        self.assertEqual({0: 1, 1: None, 2: None}, numa.sockets(host))

    def test_a_host_that_tells_nothing_has_no_nodes(self) -> None:
        host = opening.open_tree(tempfile.mkdtemp())
        self.assertEqual({}, numa.sockets(host))

    def test_a_recording_knows_the_sockets(self) -> None:
        (self.root / "sys/bus/pci/devices").mkdir(parents=True)
        out = self.root / "host.tar.gz"
        snapshot.record(opening.open_tree(str(self.root)), out)
        self.assertEqual(
            {0: 1, 1: None, 2: None},
            numa.sockets(opening.open_tree(str(out))),
        )
