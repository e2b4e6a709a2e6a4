# SPDX-License-Identifier: Apache-2.0
"""What the documentation promises to programs is there."""

import pathlib
import pkgutil
import re

from nova_vfio_variant.guest import libvirt
from nova_vfio_variant.node import claims, preparation, tracked_devices
from tests import base

_PAGE = (
    pathlib.Path(__file__).parents[2] / "doc/source/user/stability.rst"
).read_text()
#: What stands behind a name in the table.
_METHODS = {
    "claims.Claims": claims.Claims,
    "tracked_devices.TrackedDevices": tracked_devices.TrackedDevices,
    "preparation.Preparation": preparation.Preparation,
    "guest.libvirt": libvirt,
}


class StabilityPageTest(base.TestCase):
    def test_each_promised_name_is_there(self) -> None:
        names = re.findall(r"\* - ``(nova_vfio_variant\.[\w.]+)``", _PAGE)
        self.assertGreater(len(names), 10)
        for name in names:
            pkgutil.resolve_name(name)

    def test_each_promised_method_is_there(self) -> None:
        for name, owner in _METHODS.items():
            row = _PAGE.partition(f"{name}``\n")[2].partition("\n   * -")[0]
            promised = re.findall(r"``(\w+)``", row)
            self.assertGreater(len(promised), 1, name)
            for method in promised:
                self.assertTrue(hasattr(owner, method), f"{name}.{method}")
