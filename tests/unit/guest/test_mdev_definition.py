# SPDX-License-Identifier: Apache-2.0
"""A mediated device whose parent libvirt doesn't see."""

import json

from nova_vfio_variant import exception
from nova_vfio_variant.guest import mdev_definition
from tests import base

BELOW = mdev_definition.Definition(
    "83c32df7-d52e-4ec1-9668-1f3c7e4df107", "child0", None, "type-1"
)


class UnseenParentTest(base.TestCase):
    def test_libvirt_is_given_none_and_what_takes_it_is_said(self) -> None:
        error = self.assertRaises(
            exception.ClaimError, mdev_definition.node_device, BELOW
        )
        self.assertIn("no name for parent child0", str(error))
        self.assertIn("--for mdevctl", error.hint or "")

    def test_mdevctl_takes_it(self) -> None:
        text = json.loads(mdev_definition.mdevctl(BELOW))
        self.assertEqual("type-1", text["mdev_type"])
