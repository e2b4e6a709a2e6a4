# SPDX-License-Identifier: Apache-2.0
"""The hook that VDSM runs, run as VDSM runs it.

That is ``_runHooksDir`` of ``lib/vdsm/common/hooks.py``: each file of a folder
that may be executed, in the order of their names, with a machine's custom
properties, ``vmId`` and ``_hook_domxml`` in the environment; the XML is read
again when all have ended, or one of them with 2.
"""

import errno
import os
import pathlib
import subprocess
import typing as ty
import uuid as uuids

from lxml import etree

from nova_vfio_variant.host.decide import mdev_codes
from nova_vfio_variant.testing import fake_host
from tests import fake_program
from tests.functional import cli_case, schema_case

CHECKOUT = pathlib.Path(__file__).parents[2]
HOOK = CHECKOUT / "share/vdsm/50_nova_vfio"
EVENTS = ("before_vm_start", "before_vm_migrate_destination")
DESTROY = "after_vm_destroy"
NAMESPACE = uuids.UUID("8524b17c-f0ca-44a5-9ce4-66fe261e5986")
#: Of a machine named "guest".
UUID = str(uuids.uuid3(NAMESPACE, "guest"))
OF_ENGINE = "c1f343ae-99a5-4d82-9d5c-203cd4b7dac0"
DOMAIN = f"""\
<?xml version='1.0' encoding='utf-8'?>
<domain xmlns:ovirt-vm="http://ovirt.org/vm/1.0" type="kvm">
  <name>guest</name>
  <uuid>{cli_case.ONE}</uuid>
  <memory unit="MiB">1024</memory>
  <metadata>
    <ovirt-vm:vm>
      <ovirt-vm:clusterVersion>4.7</ovirt-vm:clusterVersion>
      {{metadata}}
    </ovirt-vm:vm>
  </metadata>
  <os><type arch="x86_64" machine="q35">hvm</type></os>
  <devices>{{devices}}</devices>
</domain>
"""
OF_METADATA = f"""\
<ovirt-vm:device devtype="hostdev" uuid="{OF_ENGINE}">
  <ovirt-vm:mdevType>{{}}</ovirt-vm:mdevType>
  <ovirt-vm:mdevDriverParameters>frame_rate_limiter=0</ovirt-vm:mdevDriverParameters>
</ovirt-vm:device>
"""
HOSTDEV = f"""\
<hostdev mode="subsystem" type="mdev" model="vfio-pci">
  <source><address uuid="{OF_ENGINE}"/></source>
</hostdev>
"""


class Ran(ty.NamedTuple):
    """What VDSM sees."""

    statuses: list[int]
    err: str
    xml: str


class HookCase(schema_case.SchemaCase):
    """Two cards that take two devices each, and VDSM's folders of hooks."""

    def setUp(self) -> None:
        super().setUp()
        self.fake = fake_host.FakeHost(self.folder / "host")
        for name in ("first", "second"):
            self.fake.add_mdev_parent(name, {"type-1": 1, "type-2": 2}, 2)
        self.enterContext(self.fake.plugged_in())
        self.configure(tail="[vfio]\nplacement = embedded\n")
        programs = self.folder / "bin"
        programs.mkdir()
        fake_program.write(
            programs / "with-checkout",
            config_file=str(self.folder / "nova.conf"),
            host_root=str(self.fake.root),
            state_path=str(self.state),
        )
        program = programs / "nova-vfio"
        program.write_text(
            '#!/bin/sh\n[ "$1 $2" = "--state-path /var/lib/nova-vfio" ]'
            f" || exit 9\nshift 2\nPYTHONPATH={CHECKOUT} exec"
            f' {programs}/with-checkout "$@"\n'
        )
        program.chmod(0o755)
        self.path = f"{programs}:{os.environ['PATH']}"
        for event in (*EVENTS, DESTROY):
            folder = self.folder / "hooks" / event
            folder.mkdir(parents=True)
            (folder / HOOK.name).symlink_to(HOOK)

    def hooks(
        self,
        event: str,
        xml: str,
        machine: str | None = cli_case.ONE,
        **custom: str,
    ) -> Ran:
        """Run an event's hooks."""
        file = self.folder / "domain.xml"
        file.write_text(xml)
        environment = {
            "PATH": self.path,
            "PYTHONPATH": ":/usr/lib/python3/site-packages/vdsm/hook",
            "_hook_domxml": str(file),
            **custom,
        }
        if machine is not None:
            environment["vmId"] = machine
        statuses, err = [], ""
        for script in sorted((self.folder / "hooks" / event).iterdir()):
            ran = subprocess.run(
                [script],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            self.assertEqual("", ran.stdout)
            self.assertNotIn("Traceback", ran.stderr)
            statuses.append(ran.returncode)
            err += ran.stderr
            if ran.returncode == 2:
                break
        return Ran(statuses, err, file.read_text())

    def started(self, *args: str, **custom: str) -> etree._Element:
        """A domain after its hooks, which libvirt takes."""
        ran = self.hooks("before_vm_start", *args, **custom)
        self.assertEqual(([0], ""), (ran.statuses, ran.err))
        return self.valid(ran.xml)

    def valid(self, xml: str) -> etree._Element:
        """A domain that libvirt takes."""
        domain = etree.fromstring(xml.encode())
        self.assert_taken(domain)
        return domain

    def there(self) -> dict[str, tuple[str, str, str | None]]:
        """The devices that are there: parent, type and instance."""
        return {
            row["uuid"]: (row["parent"], row["type"], row["instance_uuid"])
            for row in self.json("mdev", "list")
            if row["state"] == "there"
        }

    def by_hand(self, parent: str, type_id: str, uuid: str) -> None:
        """Make one as VDSM itself does."""
        self.fake.write(
            f"sys/class/mdev_bus/{parent}/mdev_supported_types/{type_id}"
            "/create",
            uuid.encode(),
        )


def uuids_in(domain: etree._Element) -> list[str]:
    """Of a domain's mediated devices."""
    return [
        address.get("uuid", "")
        for address in domain.iterfind(
            "devices/hostdev[@type='mdev']/source/address"
        )
    ]


PLAIN = DOMAIN.format(metadata="", devices="")


class PropertyTest(HookCase):
    def test_a_machine_gets_the_device_it_had_with_the_old_hook(self) -> None:
        domain = self.started(PLAIN, mdev_type="type-2")
        self.assertEqual([UUID], uuids_in(domain))
        self.assertEqual(
            {UUID: ("first", "type-2", cli_case.ONE)}, self.there()
        )
        [hostdev] = domain.iterfind("devices/hostdev")
        self.assertEqual("vfio-pci", hostdev.get("model"))
        # What was there stands there still.
        self.assertEqual(
            ["4.7"],
            domain.xpath(
                "//v:clusterVersion/text()",
                namespaces={"v": "http://ovirt.org/vm/1.0"},
            ),
        )

    def test_it_goes_with_the_machine_and_others_stay(self) -> None:
        self.started(PLAIN, mdev_type="type-1")
        other = PLAIN.replace("guest", "other")
        self.started(other, cli_case.TWO, mdev_type="type-1")
        ran = self.hooks(DESTROY, PLAIN, mdev_type="type-1")
        self.assertEqual(([0], ""), (ran.statuses, ran.err))
        self.assertEqual(
            [cli_case.TWO], [whose for _, _, whose in self.there().values()]
        )

    def test_a_migrations_target_has_the_same_device(self) -> None:
        source = etree.tostring(self.started(PLAIN, mdev_type="type-2"))
        self.hooks(DESTROY, PLAIN, mdev_type="type-2")
        ran = self.hooks(EVENTS[1], source.decode(), mdev_type="type-2")
        self.assertEqual(([0], ""), (ran.statuses, ran.err))
        self.assertEqual([UUID], uuids_in(self.valid(ran.xml)))
        self.assertEqual([UUID], list(self.there()))

    def test_to_start_again_finds_what_is_there(self) -> None:
        for _ in range(2):
            self.started(PLAIN, mdev_type="type-2")
        self.assertEqual([UUID], list(self.there()))

    def test_what_another_tool_left_is_given_and_stays(self) -> None:
        self.by_hand("second", "type-2", UUID)
        domain = self.started(PLAIN, mdev_type="type-2")
        self.assertEqual([UUID], uuids_in(domain))
        ran = self.hooks(DESTROY, PLAIN, mdev_type="type-2")
        self.assertEqual(([0], ""), (ran.statuses, ran.err))
        self.assertEqual({UUID: ("second", "type-2", None)}, self.there())

    def test_placement_is_the_properties_too(self) -> None:
        self.started(PLAIN, mdev_type="type-1|separate")
        other = PLAIN.replace("guest", "other")
        self.started(other, cli_case.TWO, mdev_type="type-1|separate")
        self.assertEqual(
            {"first", "second"},
            {parent for parent, _, _ in self.there().values()},
        )

    def test_a_full_parent_is_no_end(self) -> None:
        self.by_hand("first", "type-2", str(uuids.uuid4()))
        self.started(PLAIN, mdev_type="type-2")
        self.assertEqual("second", self.there()[UUID][0])

    def test_a_machine_without_the_property_is_left_alone(self) -> None:
        ran = self.hooks("before_vm_start", PLAIN)
        self.assertEqual(([0], "", PLAIN), ran)
        self.assertFalse(self.state.joinpath("nova-vfio.sqlite").exists())

    def test_the_uuid_is_the_domains_where_vdsm_tells_none(self) -> None:
        ran = self.hooks("before_vm_start", PLAIN, None, mdev_type="type-1")
        self.assertEqual([0], ran.statuses, ran.err)
        self.assertEqual(cli_case.ONE, self.there()[UUID][2])
        ran = self.hooks(DESTROY, PLAIN, None, mdev_type="type-1")
        self.assertEqual([0], ran.statuses, ran.err)
        self.assertEqual({}, self.there())


class MetadataTest(HookCase):
    def domain(self, told: str) -> str:
        return DOMAIN.format(
            metadata=OF_METADATA.format(told), devices=HOSTDEV
        )

    def test_what_vdsm_made_is_left_to_vdsm(self) -> None:
        self.by_hand("first", "type-1", OF_ENGINE)
        xml = self.domain("type-1|compact")
        ran = self.hooks("before_vm_start", xml)
        self.assertEqual(([0], "", xml), ran)
        self.assertEqual({OF_ENGINE: ("first", "type-1", None)}, self.there())
        ran = self.hooks(DESTROY, xml)
        self.assertEqual(([0], ""), (ran.statuses, ran.err))
        self.assertEqual([OF_ENGINE], list(self.there()))

    def test_what_its_driver_does_not_take_ends_it_and_leaves_nothing(
        self,
    ) -> None:
        xml = self.domain("type-1|separate")
        ran = self.hooks("before_vm_start", xml, mdev_type="type-2")
        self.assertEqual([2], ran.statuses)
        self.assertIn("nvidia/vgpu_params", ran.err)
        self.assertEqual({}, self.there())
        self.assertEqual(xml, ran.xml)

    def test_what_is_not_there_is_made(self) -> None:
        xml = self.domain("type-1").replace("frame_rate_limiter=0", "")
        ran = self.hooks("before_vm_start", xml)
        self.assertEqual(([0], "", xml), ran)
        self.assertEqual(
            {OF_ENGINE: ("first", "type-1", cli_case.ONE)}, self.there()
        )

    def params(self, uuid: str = OF_ENGINE) -> str:
        """What the driver was told."""
        place = self.fake.root / "sys/bus/mdev/devices" / uuid
        return (place / "nvidia/vgpu_params").read_text().strip()

    def add_nvidia(self) -> None:
        """A third card, whose driver has the file and knows two keys."""
        key = "(frame_rate_limiter|disable_vnc)=[01]"
        self.fake.add_mdev_parent(
            "third",
            {"nvidia-35": 1},
            2,
            attributes=("nvidia/vgpu_params",),
            takes={"nvidia/vgpu_params": (f"{key}(,{key})*", errno.EINVAL)},
        )

    def test_its_driver_is_told_the_parameters(self) -> None:
        self.add_nvidia()
        for told in (
            "frame_rate_limiter=0",
            "frame_rate_limiter=0,disable_vnc=1",
        ):
            xml = self.domain("nvidia-35").replace(
                "frame_rate_limiter=0", told
            )
            ran = self.hooks("before_vm_start", xml)
            self.assertEqual(([0], "", xml), ran)
            self.assertEqual(told, self.params())
            self.hooks(DESTROY, xml)
            self.assertEqual({}, self.there())

    def test_a_parameter_that_it_does_not_take_ends_it_and_leaves_none(
        self,
    ) -> None:
        self.add_nvidia()
        wrong = self.domain("nvidia-35").replace(
            "frame_rate_limiter=0", "frame_rate=0"
        )
        # One was made before, for the same machine.
        ran = self.hooks("before_vm_start", wrong, mdev_type="nvidia-35")
        self.assertEqual(([2], wrong), (ran.statuses, ran.xml))
        self.assertIn("Invalid argument", ran.err)
        self.assertEqual({}, self.there())
        self.assertEqual([], self.json("mdev", "list"))

    def test_an_unknown_placement_is_said(self) -> None:
        ran = self.hooks("before_vm_start", self.domain("type-1|spraed"))
        self.assertEqual([2], ran.statuses)
        self.assertIn("'spraed' is no placement", ran.err)


class FailureTest(HookCase):
    def second(self, event: str) -> pathlib.Path:
        """A further hook of an event's, which leaves a file."""
        left = self.folder / "ran"
        script = self.folder / "hooks" / event / "60_other"
        script.write_text(f"#!/bin/sh\ntouch {left}\n")
        script.chmod(0o755)
        return left

    def test_a_machine_that_cannot_start_stops_all(self) -> None:
        left = self.second("before_vm_start")
        for told, said in (
            ("type-9", mdev_codes.NO_MDEV_TYPE.id),
            ("type-1|nowhere", "is no placement"),
        ):
            ran = self.hooks("before_vm_start", PLAIN, mdev_type=told)
            self.assertEqual([2], ran.statuses)
            self.assertTrue(ran.err.startswith("error: "), ran.err)
            self.assertIn(said, ran.err)
            self.assertEqual(PLAIN, ran.xml)
        self.assertFalse(left.exists())
        self.assertEqual({}, self.there())

    def test_all_full_is_said(self) -> None:
        for parent in ("first", "second"):
            self.by_hand(parent, "type-2", str(uuids.uuid4()))
        ran = self.hooks("before_vm_start", PLAIN, mdev_type="type-2")
        self.assertEqual([2], ran.statuses)
        self.assertIn(mdev_codes.MDEV_FULL.id, ran.err)

    def test_what_another_machine_has_is_refused(self) -> None:
        self.started(PLAIN, mdev_type="type-1")
        ran = self.hooks(
            "before_vm_start", PLAIN, cli_case.TWO, mdev_type="type-1"
        )
        self.assertEqual([2], ran.statuses)
        self.assertIn(mdev_codes.MDEV_UUID_TAKEN.id, ran.err)
        self.assertEqual(cli_case.ONE, self.there()[UUID][2])

    def test_what_is_open_after_the_end_is_left_and_others_go_on(
        self,
    ) -> None:
        self.started(PLAIN, mdev_type="type-1")
        left = self.second(DESTROY)
        pid = self.fake.hold(UUID)
        ran = self.hooks(DESTROY, PLAIN, mdev_type="type-1")
        self.assertEqual([1, 0], ran.statuses)
        self.assertIn(mdev_codes.MDEV_OPEN.id, ran.err)
        self.assertTrue(left.exists())
        self.fake.let_go(pid)
        ran = self.hooks(DESTROY, PLAIN, mdev_type="type-1")
        self.assertEqual([0, 0], ran.statuses, ran.err)
        self.assertEqual({}, self.there())

    def test_nothing_that_goes_wrong_after_the_end_stops_others(self) -> None:
        self.second(DESTROY)
        ran = self.hooks(DESTROY, "", None)
        self.assertEqual([1, 0], ran.statuses)
        self.assertIn("is no XML", ran.err)

    def test_a_file_that_is_no_domain_is_said(self) -> None:
        for xml, said in (
            ("", "is no XML"),
            ("<domain>", "is no XML"),
            ("<network/>", "has <network>, not <domain>"),
            ("<domain/>", "the domain has no <name>"),
            ("<domain><name>guest</name></domain>", "has no <devices>"),
        ):
            ran = self.hooks("before_vm_start", xml, mdev_type="type-1")
            self.assertEqual([2], ran.statuses, xml)
            self.assertIn(said, ran.err)
            self.assertEqual({}, self.there())

    def test_without_vdsm_it_says_what_is_missing(self) -> None:
        said = self.fails("guest", "vdsm-hook", "before_vm_start")
        self.assertIn("_hook_domxml is not set", said)
