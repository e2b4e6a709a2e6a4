# SPDX-License-Identifier: Apache-2.0
"""Boots a real kernel with SR-IOV devices and runs one command in it.

The guest has the files of this machine: the checkout, the Python that runs
this script and its packages, all at the paths that they have here. Nothing
that it writes comes back, but for one folder, ``out``. ``setup.sh`` makes
what is needed. See ``README.rst`` beside this file.

As a command::

    python tests/lab/boot.py [--devices small|full] [--init sh|systemd] -- COMMAND...
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

#: The exit status of a command that was not over at its deadline, as
#: coreutils' timeout gives it.
STATUS_DEADLINE = 124

#: The exit status when the guest ended without leaving one: it never came
#: up, or its kernel died.
STATUS_NO_GUEST = 125


class LabError(Exception):
    """The lab can't boot: not set up, in use, or a path it can't pass on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a command in the guest ended.

    :param status: exit status of the command, or STATUS_DEADLINE, or
        STATUS_NO_GUEST
    :param seconds: wall time of the guest, start to power-off
    :param output: file with what the command wrote, both streams
    :param console: file with what the kernel wrote to its serial line
    """

    status: int
    seconds: float
    output: pathlib.Path
    console: pathlib.Path


def default_lab() -> pathlib.Path:
    """The folder that setup.sh made: $NOVA_VFIO_LAB or .lab."""
    return pathlib.Path(os.environ.get("NOVA_VFIO_LAB", CHECKOUT / ".lab"))


def _words(text: str) -> list[str]:
    """QEMU's arguments as one writes them; none has a blank in it."""
    return text.split()


def _igb(name: str, bus: str, chassis: int) -> list[str]:
    """A NIC that gives up to seven VFs, under a root port of its own."""
    return _words(f"""
        -device pcie-root-port,id=port-{name},bus={bus},chassis={chassis}
        -netdev user,id=net-{name},restrict=on
        -device igb,id={name},bus=port-{name},netdev=net-{name},romfile=
    """)


def _virtio_net(name: str, bus: str, chassis: int) -> list[str]:
    """1af4:1041, the one function that virtio_vfio_pci takes."""
    options = "disable-legacy=on,iommu_platform=on,romfile="
    return _words(f"""
        -device pcie-root-port,id=port-{name},bus={bus},chassis={chassis}
        -netdev user,id=net-{name},restrict=on
        -device virtio-net-pci,bus=port-{name},netdev=net-{name},{options}
    """)


def _nvme(name: str, bus: str, chassis: int) -> list[str]:
    """An NVMe controller with a namespace of 64 MiB and up to 120 VFs."""
    flexible = "sriov_vq_flexible=240,sriov_vi_flexible=120"
    options = f"sriov_max_vfs=120,{flexible},max_ioqpairs=252,msix_qsize=124"
    disk = "driver=null-co,size=64M,read-zeroes=on"
    return _words(f"""
        -device pcie-root-port,id=port-{name},bus={bus},chassis={chassis}
        -device nvme-subsys,id=sub-{name}
        -device nvme,id={name},serial={name},bus=port-{name},subsys=sub-{name},{options}
        -drive if=none,id=disk-{name},{disk}
        -device nvme-ns,bus={name},drive=disk-{name}
    """)


def _numa_node(node: int, bus_nr: int) -> list[str]:
    """A NUMA node with 1 GiB, one CPU and a PCIe bus ``node<N>``."""
    bus = f"id=node{node},bus_nr={bus_nr},numa_node={node},bus=pcie.0"
    return _words(f"""
        -object memory-backend-ram,id=mem{node},size=1G
        -numa node,nodeid={node},cpus={node},memdev=mem{node}
        -device pxb-pcie,{bus}
    """)


# Two functions without a driver that share a group with no bridge in it; a
# bridge that shares its group with the two NICs behind it; a display.
_SHARED_GROUPS_AND_DISPLAY = _words("""
    -device edu,multifunction=on,bus=pcie.0,addr=10.0
    -device edu,bus=pcie.0,addr=10.1
    -device pcie-pci-bridge,id=bridge,bus=pcie.0,addr=11.0
    -netdev user,id=net-bridge1,restrict=on
    -device e1000,bus=bridge,addr=1,netdev=net-bridge1,romfile=
    -netdev user,id=net-bridge2,restrict=on
    -device e1000,bus=bridge,addr=2,netdev=net-bridge2,romfile=
    -device bochs-display,bus=pcie.0,addr=12.0
""")

# An "other bridge" that forwards nothing, in a group with a plain function; a
# root port that shares its group with the card behind it; one with a card
# that can be exchanged. The board itself has an ISA bridge, in a group with
# its disk and SMBus controllers.
_MEMBERS_AND_CARD = _words("""
    -device tpci200,multifunction=on,bus=pcie.0,addr=13.0
    -device edu,bus=pcie.0,addr=13.1
    -device pcie-root-port,id=port-no-acs,bus=pcie.0,addr=14.0,chassis=5,disable-acs=on
    -device e1000e,bus=port-no-acs,romfile=
    -device pcie-root-port,id=port-card,bus=pcie.0,addr=15.0,chassis=6
    -device e1000e,id=card,bus=port-card,romfile=
""")

#: The sets of devices to choose from; README.rst lists what each gives.
DEVICES = {
    "small": [
        *_igb("igb0", "pcie.0", 1),
        *_virtio_net("virtio0", "pcie.0", 2),
    ],
    "full": [
        *_numa_node(0, 0x20),
        *_numa_node(1, 0x40),
        *_igb("igb0", "node0", 1),
        *_nvme("nvme0", "node0", 2),
        *_igb("igb1", "node1", 3),
        *_virtio_net("virtio0", "node1", 4),
        *_SHARED_GROUPS_AND_DISPLAY,
        *_MEMBERS_AND_CARD,
    ],
}

#: What may run as the guest's first process: guest/start.sh, or systemd as on
#: a host, with nova-vfio-host.service enabled.
INITS = ("sh", "systemd")


def _share(tag: str, path: pathlib.Path, options: str) -> list[str]:
    return _words(f"""
        -fsdev local,id={tag},path={path},security_model=none,{options}
        -device virtio-9p-pci,fsdev={tag},mount_tag={tag}
    """)


def qemu_command(
    lab: pathlib.Path,
    devices: str,
    init: str,
    out: pathlib.Path,
    private: pathlib.Path,
) -> list[str]:
    """The command that boots the guest.

    QEMU and its libraries are the lab's own, so it is the lab's own loader
    that starts it. What the kernel leaves out at its start (self-tests,
    security modules, mitigations) costs seconds in an emulation.

    Both CPUs share one thread. With a thread each, in QEMU 10.0.2, each of
    four runs stood still for ever: one CPU's local APIC timer had run out,
    while the kernel took it for armed (seen in QEMU's monitor and through
    its gdb stub). With one thread no run has.

    The guest itself can talk QMP, through a port that QEMU connects with its
    own socket: so a test can exchange a card.

    :param lab: what setup.sh made
    :param devices: a key of DEVICES
    :param init: one of INITS
    :param out: the folder that the guest writes through to
    :param private: a folder for QEMU's own socket, whose path has to be short
    """
    root = lab / "root"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    kernel_line = [
        "console=ttyS0 quiet panic=-1 intel_iommu=on iommu=pt",
        "cryptomgr.notests lsm= mitigations=off",
        f"LAB_CHECKOUT={CHECKOUT} LAB_OUT={out} LAB_PATH={sys.prefix}/bin",
        f"LAB_INIT={init}",
    ]
    return [
        *_words(f"""
            {libraries}/ld-linux-x86-64.so.2 --library-path {libraries}
            {root}/usr/bin/qemu-system-x86_64
            -L {root}/usr/share/qemu -L {root}/usr/share/seabios
            -nodefaults -no-user-config -no-reboot -display none
            -M q35,kernel-irqchip=split -cpu max
            -accel tcg,thread=single -smp 2 -m 2G
            -kernel {root}/boot/vmlinux -initrd {root}/boot/lab-initrd
            -serial file:{out}/console.log
            -chardev stdio,id=out,signal=off,logfile={out}/output.log
            -device virtio-serial-pci -device virtconsole,chardev=out
            -chardev socket,id=qmp,path={private}/qmp,server=on,wait=off
            -mon chardev=qmp,mode=control
            -chardev socket,id=qmp-guest,path={private}/qmp
            -device virtserialport,chardev=qmp-guest,name=qmp
            -device intel-iommu,intremap=on,caching-mode=on,device-iotlb=on
        """),
        "-append",
        " ".join(kernel_line),
        *_share("host", pathlib.Path("/"), "readonly=on,multidevs=remap"),
        *_share("lab", root, "readonly=on"),
        *_share("out", out, "multidevs=remap"),
        *DEVICES[devices],
    ]


def _checked_path(path: pathlib.Path) -> pathlib.Path:
    """The path in full, if the kernel's command line can carry it."""
    path = path.resolve()
    if set(str(path)) & set(" ,\"'\t\n"):
        raise LabError(
            f"{str(path)!r}: the lab needs paths without blanks, commas and"
            " quotes, for they go through QEMU's and the kernel's arguments"
        )
    return path


@contextlib.contextmanager
def _held(out: pathlib.Path) -> Iterator[None]:
    """Keeps a second guest from writing to the same folder."""
    with (out / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                f"another guest writes to {out}: give this one its own --out"
            ) from None
        yield


def run(
    command: list[str],
    *,
    devices: str = "full",
    init: str = "sh",
    deadline: float = 300.0,
    out: pathlib.Path | None = None,
    lab: pathlib.Path | None = None,
) -> Outcome:
    """Boots a guest, runs a command in the checkout there and powers off.

    What the command writes goes to this process's standard output as it
    comes, and to a file.

    :param command: the program and its arguments
    :param devices: a key of DEVICES
    :param init: one of INITS; of ``systemd`` the command is a unit
    :param deadline: seconds of wall time for the whole guest
    :param out: a folder that guest and machine share under this path, in
        the guest also ``$LAB_OUT``; made if it isn't there. ``out`` in the
        lab folder if None
    :param lab: what setup.sh made; default_lab() if None
    :raises LabError: if the lab isn't set up, another guest writes to
        ``out``, or a path has a character that can't be passed on
    """
    lab = _checked_path(lab or default_lab())
    if not (lab / "ready").is_file():
        raise LabError(
            f"{lab} is not set up: run tests/lab/setup.sh {lab} as root"
        )
    _checked_path(CHECKOUT)
    _checked_path(pathlib.Path(sys.prefix))
    out = _checked_path(out or lab / "out")
    out.mkdir(parents=True, exist_ok=True)
    with _held(out), tempfile.TemporaryDirectory() as private:
        qemu = qemu_command(lab, devices, init, out, pathlib.Path(private))
        return _boot(command, qemu, out, deadline)


def _boot(
    command: list[str], qemu: list[str], out: pathlib.Path, deadline: float
) -> Outcome:
    status_file = out / "status"
    status_file.unlink(missing_ok=True)
    (out / "command.sh").write_text(f"exec {shlex.join(command)}\n")

    # The deadline is another process's, so that it holds if this one dies.
    limit = ["timeout", "--foreground", "--signal=KILL", str(deadline)]
    start = time.monotonic()
    subprocess.run([*limit, *qemu], stdin=subprocess.DEVNULL, check=False)
    seconds = time.monotonic() - start

    if status_file.is_file():
        status = int(status_file.read_text())
    elif seconds >= deadline:
        status = STATUS_DEADLINE
    else:
        status = STATUS_NO_GUEST
    return Outcome(status, seconds, out / "output.log", out / "console.log")


def _tail(path: pathlib.Path, lines: int) -> str:
    if not path.is_file():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def report(outcome: Outcome) -> None:
    """Says on standard error how the guest ended; and why, if it broke."""
    if outcome.status in (STATUS_DEADLINE, STATUS_NO_GUEST):
        print(_tail(outcome.console, 40), file=sys.stderr)
        reason = {
            STATUS_DEADLINE: "the deadline passed",
            STATUS_NO_GUEST: "the guest ended without a word",
        }[outcome.status]
        print(f"boot.py: {reason}; see {outcome.console}", file=sys.stderr)
    print(
        f"boot.py: status {outcome.status} after {outcome.seconds:.1f} s",
        file=sys.stderr,
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status of the guest's command."""
    parser = argparse.ArgumentParser(
        prog="boot.py", description="Run a command on a real kernel with VFs."
    )
    parser.add_argument("--devices", choices=DEVICES, default="full")
    parser.add_argument("--init", choices=INITS, default="sh")
    parser.add_argument(
        "--deadline",
        type=float,
        default=300.0,
        help="seconds for the whole guest (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="folder to share, and for the logs (default: out in the lab)",
    )
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    given = parser.parse_args(arguments)
    try:
        outcome = run(
            given.command,
            devices=given.devices,
            init=given.init,
            deadline=given.deadline,
            out=given.out,
        )
    except LabError as error:
        print(f"boot.py: {error}", file=sys.stderr)
        return 2
    report(outcome)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
