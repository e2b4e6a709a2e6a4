# SPDX-License-Identifier: Apache-2.0
"""A host beside Nova: its providers and allocations, and libvirt's files."""

import pathlib
import typing as ty
import uuid

from nova_vfio_variant.placement import client
from nova_vfio_variant.testing import placement
from tests.functional import cli_case
from tests.functional.placement_case import Faults

ROOT = "compute-1"
ADOPT = ("claim", "adopt", "--instance", cli_case.ONE)
DOMAIN = """
<domain type='kvm'>
  <name>instance-00000001</name>
  <uuid>{}</uuid>
  <devices>{}</devices>
</domain>
"""
RUNNING = "<domstatus state='running' pid='4711'>{}</domstatus>"
FUNCTION = (
    "<hostdev mode='subsystem' type='pci' managed='yes'><source><address"
    " domain='0x0000' bus='0x{}' slot='0x{}' function='0x{}'/></source></hostdev>"
)
MDEV = (
    "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>"
    "<address uuid='{}'/></source></hostdev>"
)


class AdoptCase(cli_case.CliTestCase):
    """A Placement service in which Nova publishes, and guests of Nova's."""

    def setUp(self) -> None:
        super().setUp()
        self.faults = Faults()
        self.server = self.useFixture(
            placement.PlacementServer(self.faults.before)
        )
        self.embedded = self.server.embedded
        self.root = str(uuid.uuid4())
        self.placement.create(self.root, ROOT, None)

    def declare(self, *pci: str, more: str = "", timeout: int = 60) -> None:
        """Write nova.conf with the service."""
        self.configure(
            *pci,
            tail=(
                "[vfio]\nplacement = service\nnova_compute = yes\n"
                "[placement]\nauth_type = admin_token\ntoken = admin\n"
                f"endpoint = {self.server.url}\ntimeout = {timeout}\n{more}"
            ),
        )

    def nova_publishes(self, place: str, of_class: str, total: int) -> None:
        """A provider below the compute node's."""
        made = str(uuid.uuid4())
        if of_class.startswith("CUSTOM_"):
            self.placement.create_class(of_class)
        generation = self.placement.create(made, f"{ROOT}_{place}", self.root)
        generation = self.placement.put_inventories(
            made, generation, {of_class: {"total": total}}
        )
        self.placement.put_traits(made, generation, ["OWNER_NOVA"])

    def nova_allocates(
        self,
        amounts: ty.Mapping[str, ty.Mapping[str, int]],
        instance: str = cli_case.ONE,
    ) -> None:
        """An instance has just this, by the providers' places."""
        wanted = {}
        for place, resources in amounts.items():
            listed = self.placement.find(f"{ROOT}_{place}")
            assert listed is not None
            wanted[listed.uuid] = dict(resources)
        has = self.placement.allocations(instance)
        self.placement.put_allocations(
            instance, client.Allocations(wanted, has.generation)
        )

    def guest(
        self,
        *devices: str,
        instance: str = cli_case.ONE,
        folder: str = "run/libvirt/qemu",
    ) -> pathlib.Path:
        """Libvirt's file of a guest with these devices."""
        path = pathlib.Path("host", folder, f"{instance}.xml")
        path.parent.mkdir(parents=True, exist_ok=True)
        elements = []
        for device in devices:
            if len(device) == 36:
                elements.append(MDEV.format(device))
                continue
            _, bus, rest = device.split(":")
            elements.append(FUNCTION.format(bus, *rest.split(".")))
        text = DOMAIN.format(instance, "".join(elements))
        if folder.startswith("run/"):
            text = RUNNING.format(text)
        path.write_text(text)
        return path
