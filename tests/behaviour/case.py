# SPDX-License-Identifier: Apache-2.0
"""The test case of the behaviour suite."""

import io
import json
import os
import pathlib
import select
import signal
import struct
import time
import typing as ty
import unittest

import fixtures

from nova_vfio_variant.cli import main
from nova_vfio_variant.host.act import sysfs_writer
from tests import base
from tests.behaviour import host as under_test
from tests.behaviour.host import DEVICES, DRIVERS

#: Marks tests that show nothing of the kernel that others don't show as well:
#: what is decided before it is asked, or done the same way twice.
on_the_fake_alone = unittest.skipIf(
    "NOVA_VFIO_LAB_GUEST" in os.environ, "the fake host alone"
)


class Ran(ty.NamedTuple):
    """What a command gave."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, ty.Any]]:
        """Its JSON."""
        return ty.cast("list[dict[str, ty.Any]]", json.loads(self.out))


class Started:
    """Something that a process of its own does, which may have to wait."""

    def __init__(self, work: ty.Callable[[], object]) -> None:
        self._heard, said = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            number = 0
            try:
                os.setsid()
                work()
            except OSError as error:
                number = error.errno or 5
            except BaseException:  # noqa: BLE001 - told as EIO
                number = 5
            finally:
                os.write(said, struct.pack("i", number))
                os._exit(0)
        os.close(said)

    def ended(self, seconds: float) -> bool:
        """Whether it ends within this time."""
        return bool(select.select([self._heard], [], [], seconds)[0])

    def result(self, seconds: float) -> int:
        """Its errno; 0 if all went well."""
        assert self.ended(seconds), "it still waits"
        said = os.read(self._heard, 4)
        self.reap()
        return int(struct.unpack("i", said)[0]) if said else -1

    @property
    def state(self) -> str:
        """The letter in ``/proc`` that says what it waits for."""
        text = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        return text.rpartition(")")[2].split()[0]

    def kill(self) -> None:
        """Kill -9."""
        os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Forget about it."""
        os.close(self._heard)
        os.waitpid(self.pid, 0)


class BehaviourCase(base.TestCase):
    """A host under test, a state path, and the commands on them."""

    def setUp(self) -> None:
        super().setUp()
        self.host = under_test.under_test()
        self.addCleanup(self.host.close)
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.state = self.folder / "state"
        self.declare()
        self.useFixture(
            fixtures.MonkeyPatch(
                f"{sysfs_writer.__name__}.of_directory", self._of_directory
            )
        )
        self._writer = self.host.writer

    def _of_directory(self, root: str) -> sysfs_writer.SysfsWriter:
        return self._writer()

    # The kernel

    def write(self, path: str, text: str) -> None:
        """Write text and a line end."""
        self.host.write(path, f"{text}\n".encode())

    def attribute(self, address: str, name: str) -> str:
        """What an attribute of a function says."""
        return self.host.read(f"{DEVICES}/{address}/{name}")

    def set_attribute(self, address: str, name: str, text: str) -> None:
        """Write one."""
        self.write(f"{DEVICES}/{address}/{name}", text)

    def driver(self, address: str) -> str | None:
        """The bound driver."""
        return self.host.link(f"{DEVICES}/{address}/driver")

    def is_there(self, address: str) -> bool:
        """Whether a function is there."""
        return self.host.exists(f"{DEVICES}/{address}")

    def bind(self, address: str, driver: str) -> None:
        """Take a function from its driver and give it to another."""
        self.set_attribute(address, "driver_override", driver)
        if self.driver(address):
            self.unbind(address)
        self.probe(address)
        self.assertEqual(driver, self.driver(address))

    def unbind(self, address: str) -> None:
        """Take a function from its driver."""
        self.set_attribute(address, "driver/unbind", address)

    def probe(self, address: str) -> None:
        """Let the kernel look for a driver."""
        self.write("sys/bus/pci/drivers_probe", address)

    def vfs(self, address: str) -> list[str]:
        """The VFs that a PF has, in order."""
        place = f"{DEVICES}/{address}"
        found = [
            (int(name[6:]), str(self.host.link(f"{place}/{name}")))
            for name in self.host.names(place)
            if name.startswith("virtfn")
        ]
        return [vf for _, vf in sorted(found)]

    def group(self, address: str) -> list[str]:
        """The members of a function's IOMMU group."""
        return self.host.names(f"{DEVICES}/{address}/iommu_group/devices")

    def refused(self, number: int, path: str, text: str) -> None:
        """The kernel refuses a write."""
        error = self.assertRaises(OSError, self.write, path, text)
        self.assertEqual(
            under_test.name_of(number), under_test.name_of(error.errno)
        )

    def refused_attribute(
        self, number: int, address: str, name: str, text: str
    ) -> None:
        """The kernel refuses a write to a function."""
        self.refused(number, f"{DEVICES}/{address}/{name}", text)

    def refused_driver(
        self, number: int, driver: str, name: str, text: str
    ) -> None:
        """The kernel refuses a write to a driver."""
        self.refused(number, f"{DRIVERS}/{driver}/{name}", text)

    def not_held(
        self, number: int, name: str, token: str | None = None
    ) -> None:
        """The kernel refuses to open a function."""
        error = self.assertRaises(OSError, self.host.hold, name, token)
        self.assertEqual(
            under_test.name_of(number), under_test.name_of(error.errno)
        )

    def start(self, work: ty.Callable[[], object]) -> Started:
        """Do something in a process of its own."""
        return Started(work)

    def eventually(self, is_so: ty.Callable[[], object]) -> None:
        """Wait until something is so."""
        end = time.monotonic() + self.host.patience
        while not is_so():
            self.assertLess(time.monotonic(), end, "it doesn't come about")
            time.sleep(0.02)

    # The commands

    def declare(self, *entries: str, more: str = "") -> None:
        """Write nova.conf."""
        lines = [f"host_spec = {entry}\n" for entry in entries]
        (self.folder / "nova.conf").write_text(
            "[vfio]\n" + "".join(lines) + more
        )

    def run_command(self, *words: str) -> Ran:
        """Run a command in this process, with its own standard streams."""
        out, err = io.StringIO(), io.StringIO()
        with (
            fixtures.MonkeyPatch("sys.stdout", out),
            fixtures.MonkeyPatch("sys.stderr", err),
        ):
            status = main.main(self.command_line(*words))
        return Ran(status, out.getvalue(), err.getvalue())

    def command_line(self, *words: str) -> list[str]:
        """The words of a command on this host."""
        return [
            "--config-file",
            f"{self.folder}/nova.conf",
            "--host-root",
            str(self.host.root),
            "--state-path",
            str(self.state),
            *words,
        ]

    def done(self, *words: str) -> Ran:
        """Run a command that ends with status 0."""
        ran = self.run_command(*words)
        self.assertEqual(0, ran.status, f"{words}: {ran.err} {ran.out}")
        return ran

    def snapshot(self) -> pathlib.Path:
        """What ``host snapshot`` writes."""
        path = self.folder / f"{len(list(self.folder.iterdir()))}.tar.gz"
        self.done("host", "snapshot", str(path))
        return path
