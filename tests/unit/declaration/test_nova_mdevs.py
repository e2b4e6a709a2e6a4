# SPDX-License-Identifier: Apache-2.0
"""Nova's options about mediated devices, as it reads them."""

import pathlib
import tempfile

from nova_vfio_variant import exception
from nova_vfio_variant.conf import loader
from nova_vfio_variant.declaration import gathering, nova_here, nova_mdevs
from nova_vfio_variant.host.observe import mdev
from nova_vfio_variant.pci import address as pci_address
from tests import base

A, B = "0000:84:00.0", "0000:85:00.0"


def parent(name: str, *types: str) -> mdev.Parent:
    """A PCI function, or a virtual device."""
    try:
        address = pci_address.PciAddress.parse(name)
    except ValueError:
        address = None
    place = f"sys/devices/virtual/{name}/{name}"
    return mdev.Parent(
        name,
        place if address is None else f"sys/devices/pci0000:80/{name}",
        address,
        tuple(mdev.MdevType(kind) for kind in types),
    )


class ReadTest(base.TestCase):
    def read(self, text: str) -> nova_mdevs.NovaMdevs:
        path = pathlib.Path(tempfile.mkdtemp(), "nova.conf")
        path.write_text(f"[devices]\n{text}")
        given = gathering.gather(loader.load([str(path)]))
        return nova_mdevs.read(given)

    def test_each_parent_has_the_type_that_names_it(self) -> None:
        read = self.read(
            "enabled_mdev_types = nvidia-35, nvidia-36\n"
            f"[mdev_nvidia-35]\ndevice_addresses = {A}\n"
            f"[vgpu_nvidia-36]\ndevice_addresses = {B}\n"
        )
        self.assertEqual("nvidia-35", read.type_of(parent(A)))
        self.assertEqual("nvidia-36", read.type_of(parent(B)))
        self.assertIsNone(read.type_of(parent("0000:86:00.0")))

    def test_the_first_type_that_names_none_is_for_all_others(self) -> None:
        read = self.read(
            "enabled_mdev_types = one, two, three\n"
            f"[mdev_two]\ndevice_addresses = {A}\n"
        )
        self.assertEqual(
            ("one", ("one", "two"), ("three",)),
            (read.default, read.types, read.ignored),
        )
        self.assertEqual("two", read.type_of(parent(A)))
        self.assertEqual("one", read.type_of(parent(B)))

    def test_what_is_no_pci_function_has_to_be_named(self) -> None:
        read = self.read("enabled_mdev_types = mtty-1\n")
        self.assertIsNone(read.type_of(parent("mtty")))
        read = self.read(
            "enabled_mdev_types = mtty-1\n"
            "[mdev_mtty-1]\ndevice_addresses = mtty_mtty\n"
        )
        self.assertEqual("mtty-1", read.type_of(parent("mtty")))

    def test_nova_compares_addresses_letter_by_letter(self) -> None:
        read = self.read(
            "enabled_mdev_types = a\n"
            "[mdev_a]\ndevice_addresses = 0000:8A:00.0\n"
        )
        self.assertIsNone(read.type_of(parent("0000:8a:00.0")))

    def test_an_address_under_two_types_and_one_that_is_none(self) -> None:
        read = self.read(
            "enabled_mdev_types = a, b\n"
            f"[mdev_a]\ndevice_addresses = {A}\n"
            f"[mdev_b]\ndevice_addresses = {B}, {A}\n"
        )
        [wrong] = [named for named in read.named if named.wrong]
        self.assertEqual(
            ("b", A, 1, nova_mdevs.Wrong.TWICE, "a"),
            (
                wrong.kind,
                wrong.name,
                wrong.number,
                wrong.wrong,
                wrong.before,
            ),
        )

    def test_the_class_counts_where_the_group_names_parents(self) -> None:
        read = self.read(
            "enabled_mdev_types = a, b\n"
            "[mdev_a]\nmdev_class = CUSTOM_A\nmax_instances = 3\n"
            f"[mdev_b]\nmdev_class = CUSTOM_B\ndevice_addresses = {A}\n"
        )
        self.assertEqual("CUSTOM_B", read.resource_class(parent(A)))
        self.assertEqual("VGPU", read.resource_class(parent(B)))
        self.assertEqual({"a": 3}, read.limits)

    def test_a_value_that_nova_would_not_take_is_refused(self) -> None:
        for line in ("mdev_class = PGPU", "max_instances = 0"):
            error = self.assertRaises(
                exception.ConfigError,
                self.read,
                f"enabled_mdev_types = a\n[mdev_a]\n{line}\n",
            )
            (found,) = error.findings
            assert found.location is not None
            self.assertEqual(4, found.location.line)


class NovaHereTest(base.TestCase):
    def beside(self, text: str, *, host: str | None = None) -> str | None:
        path = pathlib.Path(tempfile.mkdtemp(), "nova.conf")
        path.write_text(text)
        given = gathering.gather(loader.load([str(path)]))
        if host is not None:
            given.__dict__["nova_seen"] = host
        return nova_here.beside_nova(given)

    def test_the_option_is_believed(self) -> None:
        for tail in ("", "[pci]\nreport_in_placement = true\n"):
            said = self.beside(f"[vfio]\nnova_compute = no\n{tail}")
            self.assertIsNone(said)
        self.assertIn(
            "nova_compute",
            str(self.beside("[vfio]\nnova_compute=yes\nplacement=embedded\n")),
        )

    def test_what_is_seen_counts_for_more_than_where_to_publish(self) -> None:
        ours = "[vfio]\nplacement = embedded\n"
        self.assertIsNone(self.beside(ours))
        self.assertEqual("it runs", self.beside(ours, host="it runs"))

    def test_options_that_nova_alone_acts_on_are_a_trace_of_it(self) -> None:
        types = "[devices]\nenabled_mdev_types = a\n"
        self.assertIn("enabled_mdev_types", str(self.beside(types)))
        self.assertIsNone(self.beside(""))
        self.assertIsNone(
            self.beside(f"{types}[vfio]\nplacement = embedded\n")
        )


class HandedOutTest(base.TestCase):
    def test_no_device_is_made_of_a_parent_of_novas_not_of_any_type(
        self,
    ) -> None:
        novas = nova_mdevs.HandedOut(
            nova_mdevs.NovaMdevs(("a",), "a"), "it runs"
        )
        self.assertIn(
            f"hands out a of {A}", str(novas.against(parent(A, "a", "b")))
        )
        self.assertIsNone(novas.against(parent(B, "b")))

    def test_what_is_not_known_is_refused(self) -> None:
        novas = nova_mdevs.HandedOut(unknown="it can't be read")
        self.assertIn("can't be read", str(novas.against(parent(A))))
