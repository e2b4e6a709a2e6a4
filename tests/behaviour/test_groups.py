# SPDX-License-Identifier: Apache-2.0
"""Which members leave a group viable, and who may open what is in it."""

import errno
import uuid

from nova_vfio_variant.host.observe import groups, scanner
from nova_vfio_variant.pci import address
from tests.behaviour.case import BehaviourCase
from tests.behaviour.host import (
    AHCI,
    BRIDGE,
    CARD,
    EDU,
    EDU_TOO,
    ISA,
    NIC,
    NIC_TOO,
    OPEN_CARD,
    OPEN_PORT,
    OTHER,
    OTHER_MATE,
    PF,
    SMBUS,
    VF,
    VFS,
)

_VFIO = "vfio-pci"
#: A driver that does DMA itself, as those of a host do, and takes whatever
#: it is told to; and one that has ``driver_managed_dma``.
_HOSTS = "pci-pf-stub"
_STUB = "pci-stub"
_PORT = "pcieport"
_SHPC = "shpchp"


class ViabilityFacts(BehaviourCase):
    """One member on each driver, another on vfio-pci, which is opened.

    What the kernel says, our own rule says too.
    """

    def setUp(self) -> None:
        super().setUp()
        for module in (_HOSTS, _STUB):
            self.host.modprobe(module)

    def viable(
        self, member: str, opened: str, *others: str
    ) -> dict[str | None, tuple[bool, bool]]:
        """Whether each driver binds, and whether the group is viable then."""
        for other in others:
            if self.driver(other):
                self.unbind(other)
        self.bind(opened, _VFIO)
        found = {}
        for driver in (None, _HOSTS, _STUB, _VFIO, _PORT, _SHPC):
            if self.driver(member):
                self.unbind(member)
            if driver:
                self.set_attribute(member, "driver_override", driver)
                self.probe(member)
            is_viable = self.opens(opened)
            seen = scanner.scan(self.host.tree)
            function = seen.get(address.PciAddress.parse(opened))
            assert function is not None
            self.assertEqual(
                is_viable,
                not groups.in_the_way(seen, function),
                f"{driver}",
            )
            bound = self.driver(member)
            self.assertIn(bound, (driver, None))
            found[driver] = (bound is not None, is_viable)
        return found

    def opens(self, name: str) -> bool:
        try:
            self.host.let_go(self.host.hold(name))
        except OSError as error:
            self.assertEqual(errno.EPERM, error.errno)
            return False
        return True

    def test_a_pci_bridge(self) -> None:
        self.assertEqual(
            {
                None: (False, True),
                _HOSTS: (True, False),
                _STUB: (True, True),
                _VFIO: (False, True),
                _PORT: (False, True),
                _SHPC: (False, True),
            },
            self.viable(BRIDGE, NIC, NIC_TOO),
        )

    def test_a_root_port_without_acs(self) -> None:
        self.assertEqual(
            {
                None: (False, True),
                _HOSTS: (True, False),
                _STUB: (True, True),
                _VFIO: (False, True),
                _PORT: (True, True),
                _SHPC: (False, True),
            },
            self.viable(OPEN_PORT, OPEN_CARD),
        )

    def endpoint(self, member: str, opened: str, *others: str) -> None:
        """A member with a header of type 0, whatever its class."""
        self.assertEqual(
            {
                None: (False, True),
                _HOSTS: (True, False),
                _STUB: (True, True),
                _VFIO: (True, True),
                _PORT: (False, True),
                _SHPC: (False, True),
            },
            self.viable(member, opened, *others),
        )

    def test_an_isa_bridge(self) -> None:
        self.endpoint(ISA, SMBUS, AHCI)

    def test_an_other_bridge(self) -> None:
        self.endpoint(OTHER, OTHER_MATE)

    def test_a_plain_function(self) -> None:
        self.endpoint(EDU, EDU_TOO)

    def test_only_what_forwards_is_a_bridge_to_us(self) -> None:
        seen = {
            str(function.address): function
            for function in scanner.scan(self.host.tree).functions
        }
        for name in (ISA, OTHER):
            self.assertFalse(seen[name].is_bridge)
            self.assertEqual(0, seen[name].header_type)
        for name in (BRIDGE, OPEN_PORT):
            self.assertTrue(seen[name].is_bridge)
            self.assertIsNone(seen[name].header_type)


class NoCallbackFacts(BehaviourCase):
    def test_a_driver_that_can_not_make_vfs_answers_enoent(self) -> None:
        self.host.modprobe(_STUB)
        self.bind(PF, _STUB)
        self.refused_attribute(errno.ENOENT, PF, "sriov_numvfs", "1")


class TokenFacts(BehaviourCase):
    """VFs of a PF that is on vfio-pci."""

    def setUp(self) -> None:
        super().setUp()
        self.write("sys/module/vfio_pci/parameters/enable_sriov", "1")
        self.bind(PF, _VFIO)
        self.set_attribute(PF, "sriov_numvfs", "2")
        self.token = str(uuid.uuid4())

    def test_they_come_up_on_vfio_pci(self) -> None:
        for vf in VFS[:2]:
            self.assertEqual(_VFIO, self.attribute(vf, "driver_override"))
        self.eventually(lambda: {self.driver(vf) for vf in VFS[:2]} == {_VFIO})

    def test_nobody_opens_one_without_the_token(self) -> None:
        self.not_held(errno.EACCES, VF)
        self.not_held(errno.EACCES, VF, self.token)
        pf = self.host.hold(PF, self.token)
        self.not_held(errno.EACCES, VF)
        self.not_held(errno.EACCES, VF, str(uuid.uuid4()))
        vf = self.host.hold(VF, self.token)
        self.host.let_go(pf)
        self.not_held(errno.EACCES, PF)
        self.host.let_go(vf)
        # It outlasts whoever set it, and the VFs.
        self.set_attribute(PF, "sriov_numvfs", "0")
        self.set_attribute(PF, "sriov_numvfs", "1")
        self.host.let_go(self.host.hold(VF, self.token))

    def test_a_variant_driver_wants_it_too(self) -> None:
        self.host.modprobe("igbvf_vfio_pci")
        self.bind(VF, "igbvf_vfio_pci")
        self.not_held(errno.EACCES, VF)

    def test_it_goes_when_the_pf_is_bound_anew(self) -> None:
        self.host.let_go(self.host.hold(PF, self.token))
        self.host.let_go(self.host.hold(VF, self.token))
        self.unbind(PF)
        self.assertFalse(self.is_there(VF))
        self.bind(PF, _VFIO)
        self.set_attribute(PF, "sriov_numvfs", "1")
        self.not_held(errno.EACCES, VF, self.token)


class ExchangeFacts(BehaviourCase):
    def test_another_card_is_another_device_at_its_address(self) -> None:
        place = address.PciAddress.parse(CARD)
        before = scanner.scan(self.host.tree).get(place)
        self.host.exchange()
        after = scanner.scan(self.host.tree).get(place)
        assert before is not None
        assert after is not None
        self.assertEqual(
            ("8086:10d3", "1234:11e8"),
            tuple(
                f"{function.vendor_id}:{function.product_id}"
                for function in (before, after)
            ),
        )
        self.assertTrue(before.identity.is_another(after.identity))
