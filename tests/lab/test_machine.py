# SPDX-License-Identifier: Apache-2.0
"""QEMU takes the arguments that we give it."""

import contextlib
import dataclasses
import itertools
import pathlib
import subprocess
import time
import typing as ty

from nova_vfio_variant.guest import devices, machine, qemu
from tests.behaviour.host import VFS
from tests.behaviour.preparing_case import FOUR, PreparingCase
from tests.lab import qmp
from tests.unit.guest import passed
from tests.unit.guest.passed import FULL

_GIVEN = VFS[:2]
_PCI = "[pci]\n" + "".join(
    f'device_spec = {{"address": "{vf}", "managed": "no",'
    ' "resource_class": "CUSTOM_VF"}\n'
    for vf in _GIVEN
)
_SECONDS = 120.0


@contextlib.contextmanager
def _made(of: machine.Machine) -> ty.Iterator[qmp.Session]:
    """A machine whose processors stand still, until it is told to quit."""
    process = subprocess.Popen(
        ["qemu-system-x86_64", "-S", *of.arguments()],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + _SECONDS
        while not of.qmp.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.terminate()
                raise AssertionError(process.communicate()[1])
            time.sleep(0.1)
        session = qmp.connected(of.qmp)
        yield session
        session.execute("quit", {})
    finally:
        process.terminate()
        process.communicate(timeout=_SECONDS)


class MachineTest(PreparingCase):
    def small(self) -> machine.Machine:
        """What needs nothing that the lab hasn't."""
        image = self.folder / "a,disk.img"
        image.write_bytes(bytes(1 << 20))
        return machine.Machine(
            passed.MDEV,
            128,
            1,
            machine.Accelerator.TCG,
            self.folder / "q,mp",
            serial=self.folder / "serial,log",
            kernel=machine.Kernel(pathlib.Path("/boot/domain"), "quiet, a=b"),
            disk=machine.Disk(image, machine.Format.RAW),
            net=machine.UserNet("52:54:00:12:34:56"),
        )

    def test_vfs_sit_behind_their_root_ports(self) -> None:
        self.apply(
            FOUR,
            *(f'{{"address": "{vf}", "driver": "vfio-pci"}}' for vf in _GIVEN),
            more=_PCI,
        )
        self.done("device", "sync")
        functions = tuple(passed.function(vf) for vf in _GIVEN)
        of = dataclasses.replace(self.small(), passed=functions)
        printed = self.done("guest", "qemu", "--address", _GIVEN[0]).out
        self.assertIn(printed.strip(), " ".join(of.arguments()))
        behind = {"disk-device": "port-disk", "net-device": "port-net"}
        for function in functions:
            port = f"port-{devices.word(function)}"
            behind[devices.guest_id(function)] = port
        with _made(of) as session:
            self.assertEqual(
                {"UUID": passed.MDEV}, session.execute("query-uuid", {})
            )
            for name, port in behind.items():
                path = f"/machine/peripheral/{name}"
                bus = session.execute(
                    "qom-get", {"path": path, "property": "parent_bus"}
                )
                self.assertEqual(f"/machine/peripheral/{port}/{port}", bus)
        self.restore()

    def test_each_property_is_known(self) -> None:
        [shown] = qemu.plugged([(FULL.passed[1], devices.Console.RAMFB)])
        words = itertools.pairwise([*FULL.arguments(), *shown.arguments])
        given = {
            driver: {one.partition("=")[0] for one in properties}
            for option, text in words
            if option == "-device"
            for driver, *properties in [text.split(",")]
        }
        self.assertLess({"vfio-pci", "vfio-pci-nohotplug"}, {*given})
        with _made(self.small()) as session:
            for driver, names in given.items():
                told = session.execute(
                    "device-list-properties", {"typename": driver}
                )
                # What every device has is told of none.
                self.assertLessEqual(names, _names(told) | {"id", "bus"})
            objects = session.execute(
                "qom-list-types", {"implements": "user-creatable"}
            )
            self.assertLess(
                {"iommufd", "memory-backend-memfd"}, _names(objects)
            )


def _names(told: object) -> set[str]:
    return {one["name"] for one in ty.cast("list[dict[str, str]]", told)}
