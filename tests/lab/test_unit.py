# SPDX-License-Identifier: Apache-2.0
"""systemd starts nova-vfio-host.service, and its bounds leave it its work.

The guest has started as ``guest/systemd.sh`` has it: the unit as shipped is
enabled, and nova.conf declares two VFs of an igb, on vfio-pci.
"""

import os
import pathlib
import shutil
import stat
import subprocess
import unittest

_UNIT = "nova-vfio-host.service"
_SHIPPED = pathlib.Path(__file__).parents[2] / "etc/systemd"
_DROP_INS = pathlib.Path("/etc/systemd/system") / f"{_UNIT}.d"
_DRIVER = pathlib.Path("/sys/bus/pci/drivers/vfio-pci")
_DEVICES = pathlib.Path("/sys/bus/pci/devices")

#: What the unit's own processes are let do, told by one of them.
_TOLD = """
[Service]
ExecStartPost=/bin/bash -c '\\
    { umask; grep -E "^(Seccomp|NoNewPrivs|CapBnd):" /proc/self/status; \\
      : < /dev/tcp/127.0.0.1/1; : < /dev/udp/127.0.0.1/1; \\
    } > /run/nova-vfio/told 2>&1 || :'
"""


def _systemctl(*words: str) -> str:
    return subprocess.run(
        ["systemctl", *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=250,
    ).stdout


def _journal() -> str:
    """What the unit said."""
    return subprocess.run(
        ["journalctl", "--no-pager", "--output=cat", f"--unit={_UNIT}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def _vfs() -> list[str]:
    return sorted(place.parent.name for place in _DEVICES.glob("*/physfn"))


def _on_vfio_pci() -> list[str]:
    return sorted(place.name for place in _DRIVER.glob("*:*"))


class UnitTest(unittest.TestCase):
    """The first test looks at what the boot left, the second changes it."""

    def assert_prepared(self) -> None:
        """It ended well, and both VFs are there and on their driver."""
        shown = _systemctl(
            "show", _UNIT, "--property=ActiveState,SubState,Result"
        )
        self.assertEqual(
            {"ActiveState=active", "SubState=exited", "Result=success"},
            set(shown.split()),
            _journal(),
        )
        self.assertEqual(2, len(_vfs()))
        self.assertEqual(_vfs(), _on_vfio_pci())

    def assert_exposure(self, most: int) -> None:
        """systemd-analyze has this, in tenths, for what is loaded."""
        told = subprocess.run(
            ["systemd-analyze", "security", f"--threshold={most}", _UNIT],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(0, told.returncode, told.stdout + told.stderr)

    def test_1_as_shipped_it_prepares_the_host_at_boot(self) -> None:
        self.assert_prepared()
        self.assertIn("set-numvfs 2: done", _journal())
        for name, mode in (("run", 0o755), ("var/lib", 0o700)):
            found = os.stat(f"/{name}/nova-vfio").st_mode
            self.assertEqual(mode, stat.S_IMODE(found))
        self.assert_exposure(36)

    def test_2_it_prepares_a_host_anew_without_a_network(self) -> None:
        _DROP_INS.mkdir()
        (_DROP_INS / "local-only.conf").write_bytes(
            (_SHIPPED / f"{_UNIT}.d/local-only.conf").read_bytes()
        )
        (_DROP_INS / "told.conf").write_text(_TOLD)
        _systemctl("daemon-reload")
        self.assert_exposure(30)
        _systemctl("stop", _UNIT)
        # Left as it is, for that is what was asked for; now as after a boot.
        [pf] = {os.path.realpath(place) for place in _DEVICES.glob("*/physfn")}
        pathlib.Path(pf, "sriov_numvfs").write_text("0")
        shutil.rmtree("/var/lib/nova-vfio")
        _systemctl("start", _UNIT)
        self.assert_prepared()
        told = pathlib.Path("/run/nova-vfio/told").read_text()
        self.assertIn("0077\n", told)
        self.assertIn("NoNewPrivs:\t1\n", told)
        self.assertIn("Seccomp:\t2\n", told)
        # CAP_DAC_READ_SEARCH, CAP_SYS_MODULE, CAP_SYS_PTRACE.
        self.assertIn(f"CapBnd:\t{1 << 2 | 1 << 16 | 1 << 19:016x}\n", told)
        for place in ("tcp", "udp"):
            self.assertRegex(told, f"/dev/{place}/.*: Address family not supp")
