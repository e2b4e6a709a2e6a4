# SPDX-License-Identifier: Apache-2.0
"""What of the tracked devices is published, withheld and spent."""

import dataclasses
import pathlib
import tempfile
import typing as ty

from nova_vfio_variant import exception, finding
from nova_vfio_variant.conf import loader
from nova_vfio_variant.node import chosen_placement, desired, inventory
from nova_vfio_variant.placement import client
from nova_vfio_variant.testing import placement
from nova_vfio_variant.tracker import device as tracked
from nova_vfio_variant.tracker import share
from tests import base
from tests.functional.check_host import Function, card
from tests.unit.check import make
from tests.unit.placement import small
from tests.unit.tracker.samples import ONE

SPEC = f"{{{make.VF}}}"
ONCE = f'{{{make.VF}, "one_time_use": "yes"}}'
CLASS = "CUSTOM_PCI_8086_10CA"


class PublicationCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client = small.Placement()
        self.client.words |= {
            "COMPUTE_MANAGED_PCI_DEVICE",
            "HW_PCI_ONE_TIME_USE",
        }
        self.known = placement.Memory()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.given = make.given([SPEC], (), card())
        self.devices: list[tracked.Device] = list(self.given.desired)

    def declare(self, *specs: str) -> None:
        """Other entries, for a host with one device that is no VF."""
        self.given = make.given(specs, (), [Function("0000:25:00.0")])
        self.devices = list(self.given.desired)

    def take(self, at: int, status: str) -> None:
        """An instance has a device."""
        self.devices[at] = dataclasses.replace(
            self.devices[at],
            instance_uuid=ONE,
            status=tracked.Status(status),
        )

    def was_another(self, at: int) -> None:
        """Another function was there when a device was tracked."""
        was = self.devices[at]
        self.devices[at] = dataclasses.replace(
            was, identity=dataclasses.replace(was.known, product_id="10ed")
        )

    def publication(
        self,
        blocked: ty.Collection[int] | None = (),
        unknown: ty.Collection[int] = (),
        more: str = "",
    ) -> inventory.Publication:
        """Of these devices; numbers of those that nobody can be given."""
        path = self.folder / "nova.conf"
        path.write_text(
            "[DEFAULT]\nhost = n1\n[pci]\nreport_in_placement = true\n"
            "[filter_scheduler]\npci_in_placement = true\n"
            f"[vfio]\nplacement = service\n{more}"
        )
        made = inventory.Publication(
            loader.load([str(path)]),
            self.folder,
            desired.Desired(
                self.devices,
                self.given,
                self.known.shares,
                None
                if blocked is None
                else {self.devices[at].address for at in blocked},
                {self.devices[at].address for at in unknown},
                reserve_blocked="reserve_blocked = false" not in more,
            ),
            self.known,
        )
        made.__dict__["client"] = self.client
        return made

    def addresses(self, *numbers: int) -> tuple[ty.Any, ...]:
        return tuple(self.devices[at].address for at in numbers)

    @property
    def there(self) -> dict[str, ty.Any]:
        """The one provider's inventory in Placement."""
        (one,) = (
            one for one in self.client.providers.values() if one.inventories
        )
        return dict(one.inventories[CLASS])


class DesiredTest(PublicationCase):
    def units(self, made: inventory.Publication) -> tuple[int, int, int]:
        ((one,)) = (one.inventories[CLASS] for one in made._desired.providers)
        return one.total, one.blocked, one.unknown

    def test_each_device_is_a_unit(self) -> None:
        self.assertEqual((2, 0, 0), self.units(self.publication()))

    def test_what_is_blocked_or_unknown_is_marked(self) -> None:
        self.assertEqual((2, 1, 1), self.units(self.publication([0], [1])))

    def test_an_operator_may_have_nothing_marked(self) -> None:
        off = self.publication([0], [1], "reserve_blocked = false\n")
        self.assertEqual((2, 0, 0), self.units(off))
        # They are withheld from claims all the same, as far as that is known.
        self.assertEqual(self.addresses(1), off.withheld)

    def test_where_nobody_looked_what_is_reserved_stays(self) -> None:
        self.assertEqual((2, 0, 0), self.units(self.publication(None)))
        (one,) = self.publication()._desired.providers
        self.known.put_shares(one.name, share.of({CLASS: 1}))
        self.assertEqual((2, 0, 2), self.units(self.publication(None)))

    def test_another_function_at_a_devices_address_is_not_offered(
        self,
    ) -> None:
        self.was_another(0)
        (one,) = self.publication()._desired.providers
        self.assertEqual(self.addresses(1), one.addresses)
        # Unless somebody has it.
        self.take(0, "allocated")
        (one,) = self.publication()._desired.providers
        self.assertEqual(self.addresses(0, 1), one.addresses)

    def test_nor_is_it_said_of_what_could_not_be_read(self) -> None:
        self.was_another(0)
        self.given.__dict__["unread"] = {self.devices[0].address}
        (one,) = self.publication()._desired.providers
        self.assertEqual(self.addresses(0, 1), one.addresses)

    def test_without_a_host_nothing_is_another(self) -> None:
        self.was_another(0)
        self.given = dataclasses.replace(self.given, scan=None)
        (one,) = self.publication()._desired.providers
        self.assertEqual(self.addresses(0, 1), one.addresses)

    def test_what_placement_can_not_describe_is_an_error(self) -> None:
        self.devices[0] = dataclasses.replace(
            self.devices[0], resource_class="CUSTOM_" + "A" * 250
        )
        self.devices[1] = dataclasses.replace(
            self.devices[1], resource_class="CUSTOM_" + "A" * 250
        )
        told = self.assertRaises(
            exception.ConfigError,
            lambda: self.publication()._desired.providers,
        )
        self.assertEqual(
            {finding.Severity.ERROR},
            {one.severity for one in told.findings},
        )


class WithheldTest(PublicationCase):
    def test_what_is_blocked_or_unknown_is(self) -> None:
        self.assertEqual((), self.publication().withheld)
        made = self.publication([1], [0])
        self.assertEqual(self.addresses(0, 1), made.withheld)

    def test_what_somebody_has_is_not(self) -> None:
        for status in ("claimed", "allocated"):
            self.take(0, status)
            made = self.publication([0, 1])
            self.assertEqual(self.addresses(1), made.withheld)

    def test_nor_what_is_not_published(self) -> None:
        self.declare(f'{{{make.VF}, "physical_network": "net"}}')
        self.assertEqual((), self.publication([0]).withheld)


class SpentTest(PublicationCase):
    def setUp(self) -> None:
        super().setUp()
        self.declare(ONCE)

    def reserve(self, at: int, units: int) -> None:
        """Somebody reserves units of a provider."""
        one = self.client.find(self.publication()._desired.providers[at].name)
        assert one is not None
        there = self.client.providers[one.uuid]
        self.client.put_inventories(
            one.uuid,
            there.generation,
            {
                name: {**record, "reserved": units}
                for name, record in there.inventories.items()
            },
        )

    def test_a_device_that_is_reserved_and_nobodys_had_its_time(self) -> None:
        self.publication().report()
        self.assertEqual((), self.publication().spent())
        self.reserve(0, 1)
        self.assertEqual(self.addresses(0), self.publication().spent())
        self.assertEqual(self.addresses(0), self.publication().view().spent)

    def test_what_we_reserved_for_being_blocked_was_not_used(self) -> None:
        made = self.publication([0])
        made.report()
        self.assertEqual(1, self.there["reserved"])
        self.assertEqual((), made.spent())

    def test_what_somebody_has_is_reserved_for_him(self) -> None:
        self.take(0, "allocated")
        made = self.publication()
        made.report()
        self.assertEqual(1, self.there["reserved"])
        self.assertEqual((), made.spent())

    def test_what_is_only_claimed_is_not_reserved_yet(self) -> None:
        self.take(0, "claimed")
        self.publication().report()
        self.assertEqual(0, self.there["reserved"])

    def test_devices_for_more_times_are_reserved_by_their_operator(
        self,
    ) -> None:
        self.declare(SPEC)
        self.publication().report()
        self.reserve(0, 1)
        self.assertEqual((), self.publication().spent())
        self.assertEqual((), self.publication().view().spent)

    def test_what_is_not_published_had_no_time(self) -> None:
        self.assertEqual((), self.publication().spent())


class ViewTest(PublicationCase):
    def test_the_usage_stands_beside_what_is_desired(self) -> None:
        self.publication().report()
        (one,) = self.publication()._desired.providers
        uuid = self.known.rows[one.name].uuid
        self.client.allocated["guest"] = client.Allocations(
            {uuid: {CLASS: 1}}, 1
        )
        view = self.publication().view()
        self.assertEqual({one.name: {CLASS: 1}}, view.usages)
        self.assertEqual([one.name], [each.name for each in view.desired])
        self.assertIsNone(view.unreachable)

    def test_a_placement_that_can_not_be_asked_is_told(self) -> None:
        def gone(_name: str) -> None:
            raise exception.PlacementUnreachable("it is gone")

        self.patch(self.client, "find", gone)
        view = self.publication().view()
        self.assertEqual("it is gone", view.unreachable)
        self.assertEqual(({}, 1), (view.usages, len(view.desired)))

    def test_before_there_is_one_of_our_own_nothing_is_asked(self) -> None:
        def asked(*_args: object) -> None:
            raise AssertionError

        self.patch(self.client, "find", asked)
        conf = loader.load([str(self.embedded())])
        embedded = inventory.Publication(
            conf,
            self.folder,
            desired.Desired(self.devices, self.given, self.known.shares),
            self.known,
        )
        embedded.__dict__["client"] = self.client
        self.assertTrue(embedded.embedded)
        self.assertEqual({}, embedded.view().usages)
        self.assertIsNone(chosen_placement.microversion(conf, self.folder))
        self.assertIsNone(embedded.held())
        embedded.release(ONE)
        self.assertEqual(
            {"add"}, {one.change for one in embedded.compare().changes}
        )
        self.assertEqual(
            {"add"},
            {one.change for one in embedded.report(dry_run=True).changes},
        )

    def embedded(self) -> pathlib.Path:
        path = self.folder / "embedded.conf"
        path.write_text("[DEFAULT]\nhost = n1\n[vfio]\nplacement = embedded\n")
        return path


class GivenOutTest(PublicationCase):
    def test_an_instance_has_what_its_devices_amount_to(self) -> None:
        made = self.publication()
        made.publish(self.devices)
        made.allocate(ONE, self.devices)
        self.assertEqual(
            [{CLASS: 2}],
            [*self.client.allocated[ONE].resources.values()],
        )
        made.release(ONE)
        self.assertNotIn(ONE, self.client.allocated)

    def test_devices_of_a_network_need_no_placement(self) -> None:
        self.declare(f'{{{make.VF}, "physical_network": "net"}}')
        made = self.publication()
        made.publish(self.devices)
        made.allocate(ONE, self.devices)
        made.release(ONE)
        self.assertEqual([], self.client.writes)

    def test_what_can_not_be_published_can_not_be_claimed(self) -> None:
        # VFs of one PF that are of two classes.
        self.devices[0] = dataclasses.replace(
            self.devices[0], resource_class="CUSTOM_OTHER"
        )
        made = self.publication()
        self.assertRaises(exception.ConfigError, made.publish, self.devices)
        # What stands against others is in nobody's way.
        made.publish([])
