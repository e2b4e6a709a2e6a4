# SPDX-License-Identifier: Apache-2.0
"""What a VFIO driver is, and whether vfio-pci is there: yes, no, unknown."""

from nova_vfio_variant.host.observe import vfio
from tests import base
from tests.unit.host import make

_MODULES = f"lib/modules/{make.RELEASE}"
_MLX5 = "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci\n"
_GENERIC = "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
_HELD = "sys/module/vfio_pci_core/holders"


class DriverTest(base.TestCase):
    def test_vfio_pci_is_one_everywhere(self) -> None:
        self.assertIs(True, vfio.is_driver(make.scan(), "vfio-pci"))
        self.assertIs(True, vfio.is_driver(make.scan(), "vfio_pci"))

    def test_the_modules_name_others(self) -> None:
        host = make.scan(files={f"{_MODULES}/modules.alias": _MLX5})
        self.assertIs(True, vfio.is_driver(host, "mlx5_vfio_pci"))
        self.assertIs(True, vfio.is_driver(host, "mlx5-vfio-pci"))
        self.assertIs(False, vfio.is_driver(host, "mlx5_core"))
        # A name is no proof.
        self.assertIs(False, vfio.is_driver(host, "my_vfio_helper"))

    def test_what_stands_on_the_core_is_one(self) -> None:
        host = make.scan(files={f"{_HELD}/igbvf_vfio_pci/x": ""})
        self.assertIs(True, vfio.is_driver(host, "igbvf-vfio-pci"))

    def test_without_the_modules_names_it_is_unknown(self) -> None:
        self.assertIsNone(vfio.is_driver(make.scan(), "mlx5_vfio_pci"))
        self.assertIsNone(vfio.is_driver(make.scan(), "mlx5_core"))

    def test_unless_a_function_shows_it(self) -> None:
        host = make.scan(
            make.function("0000:01:00.0", driver="xe_vfio_pci", vfio=True),
            make.function("0000:02:00.0", driver="igb"),
            make.function("0000:03:00.0", driver="nvidia"),
            make.function("0000:03:00.4", driver="nvidia", vfio=True),
        )
        self.assertIs(True, vfio.is_driver(host, "xe_vfio_pci"))
        self.assertIs(False, vfio.is_driver(host, "igb"))
        # It serves its PF as a driver of the host.
        self.assertIsNone(vfio.is_driver(host, "nvidia"))


class AvailableTest(base.TestCase):
    def test_it_is_there_where_anything_shows_it(self) -> None:
        for host in (
            make.scan(modules=("vfio_pci",)),
            make.scan(files={"sys/bus/pci/drivers/vfio-pci/bind": ""}),
            make.scan(make.function("0000:01:00.0", driver="vfio-pci")),
            make.scan(files={f"{_MODULES}/modules.alias": _GENERIC}),
            make.scan(
                files={
                    f"{_MODULES}/modules.dep": "kernel/x/vfio-pci.ko.xz: x\n"
                }
            ),
            make.scan(
                files={
                    f"{_MODULES}/modules.dep": "",
                    f"{_MODULES}/modules.builtin": "kernel/x/vfio-pci.ko\n",
                }
            ),
        ):
            self.assertIs(True, vfio.available(host))

    def test_it_is_not_there_where_the_modules_can_be_seen(self) -> None:
        for files in (
            {f"{_MODULES}/modules.dep": "kernel/igb.ko:\n"},
            {f"{_MODULES}/modules.alias": _MLX5},
        ):
            self.assertIs(False, vfio.available(make.scan(files=files)))

    def test_else_it_is_unknown(self) -> None:
        self.assertIsNone(vfio.available(make.scan()))
