# SPDX-License-Identifier: Apache-2.0
"""Who is in an IOMMU group, and whether it is viable."""

from nova_vfio_variant.host.observe import groups
from tests import base
from tests.unit.host import make

_ALIASES = f"lib/modules/{make.RELEASE}/modules.alias"
_IGBVF = "alias vfio_pci:v00008086d000010CAsv*sd*bc*sc*i* igbvf_vfio_pci\n"


class GroupsTest(base.TestCase):
    def test_the_others_are_its_members(self) -> None:
        first, second, alone, without = (
            make.function(f"0000:0{slot}:00.0", iommu_group=group)
            for slot, group in enumerate((7, 7, 8, None))
        )
        host = make.scan(first, second, alone, without)
        self.assertEqual((second,), groups.members(host, first))
        self.assertEqual((), groups.members(host, alone))
        self.assertEqual((), groups.members(host, without))

    def test_the_drivers_decide_and_not_the_class(self) -> None:
        drivers = {
            None: True,
            "vfio-pci": True,
            "igbvf_vfio_pci": True,
            "pcieport": True,
            "pci-stub": True,
            "xen-pciback": False,
            "pci-pf-stub": False,
            "shpchp": False,
            "lpc_ich": False,
            "e1000": False,
        }
        for class_code in (0x060400, 0x060100, 0x068000, 0x00FF00):
            members = [
                make.function(
                    f"0000:01:{slot:02x}.0",
                    class_code=class_code,
                    driver=driver,
                    vfio=driver == "vfio-pci",
                    iommu_group=1,
                )
                for slot, driver in enumerate(drivers)
            ]
            host = make.scan(*members, files={_ALIASES: _IGBVF})
            self.assertEqual(
                drivers,
                {
                    function.driver: groups.leaves_viable(host, function)
                    for function in members
                },
            )

    def test_a_driver_that_could_not_be_read_is_in_the_way(self) -> None:
        free = make.function("0000:01:00.0", iommu_group=1)
        lost = make.function(
            "0000:01:00.1", iommu_group=1, lost=frozenset({"driver"})
        )
        host = make.scan(free, lost)
        self.assertIsNone(groups.leaves_viable(host, lost))
        self.assertEqual((lost,), groups.in_the_way(host, free))
        self.assertEqual((), groups.in_the_way(host, lost))

    def test_a_pf_beside_its_vfs_on_one_driver_is_a_hosts(self) -> None:
        pf = make.function("0000:01:00.0", driver="nvidia", iommu_group=1)
        vf = make.function(
            "0000:01:00.4", driver="nvidia", iommu_group=1, vfio=True
        )
        host = make.scan(pf, vf)
        self.assertIs(False, groups.leaves_viable(host, pf))
        self.assertIs(True, groups.leaves_viable(host, vf))
