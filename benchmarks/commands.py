# SPDX-License-Identifier: Apache-2.0
"""What whole commands cost, beside ``openstack --version``.

CPU time, user and system, of the process and of its children: what a busy
machine makes others wait is left out. Both programs stand beside the
interpreter that runs this.
"""

import collections.abc
import functools
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import uuid

from benchmarks import table

_EXAMPLES = pathlib.Path(__file__).parents[1] / "etc/nova-vfio"
_CONFIG = _EXAMPLES / "demo/nova.conf"
_SMALL = _EXAMPLES / "hosts/two-node-igb-nvme.tar.gz"
_LARGE = _EXAMPLES / "hosts/four-nvme-480-vfs.tar.gz"
_ALIAS = "nic:1"

#: What the configuration declares, and how many functions the hosts have.
_DEVICES, _FUNCTIONS = 11, 499

#: A goal is set for a live host with at most so many functions.
_SMALL_HOST = 64
_REPEAT = 9

#: Runs a command, and returns the seconds of CPU time that it took.
Run = collections.abc.Callable[[], float]


def rows() -> collections.abc.Iterator[table.Row]:
    with tempfile.TemporaryDirectory() as folder:
        commands = list(_commands(folder))
        theirs, *ours = _medians(
            functools.partial(_run, "openstack", "--version"),
            *(run for *_, run in commands),
        )
    for (name, size, goal, _), mine in zip(commands, ours, strict=True):
        yield table.Row(
            f"{name}, CPU time",
            size,
            mine,
            "openstack --version",
            theirs,
            at_most=goal,
        )


def _medians(*runs: Run) -> list[float]:
    """The median of each; they take turns, after one round beforehand."""
    rounds = [[run() for run in runs] for _ in range(_REPEAT + 1)]
    return list(map(statistics.median, zip(*rounds[1:], strict=True)))


def _commands(
    folder: str,
) -> collections.abc.Iterator[tuple[str, int, float | None, Run]]:
    """Each command's name, on how many things, its goal, and how to run it."""
    live = len(os.listdir("/sys/bus/pci/devices"))
    yield (
        "host list of this host",
        live,
        0.4 if live <= _SMALL_HOST else None,
        functools.partial(_run, "nova-vfio", "host", "list"),
    )
    yield (
        "host list of a recording",
        _FUNCTIONS,
        1.0,
        functools.partial(
            _run, "nova-vfio", "--host-root", str(_LARGE), "host", "list"
        ),
    )
    # Without an embedded Placement, which a check would ask.
    alone = _node(folder, "alone")
    alone("device", "sync")
    check = functools.partial(alone, "config", "check")
    yield "config check", _DEVICES, 0.85, check
    node = _node(folder, "embedded")
    node("inventory", "report")
    owner = str(uuid.uuid4())
    claim = ("claim", "create", "--alias", _ALIAS, "--instance")
    node(*claim, owner)
    for goal, *words in (
        (0.75, "device", "list"),
        (0.75, "claim", "list"),
        (0.75, "guest", "xml", "--instance", owner),
        (1.9, "inventory", "report"),
    ):
        name = " ".join(words[:2])
        yield name, _DEVICES, goal, functools.partial(node, *words)

    def claimed() -> float:
        instance = str(uuid.uuid4())
        seconds = node(*claim, instance)
        node("claim", "delete", instance)
        return seconds

    yield "claim create", _DEVICES, 1.9, claimed


def _node(folder: str, name: str) -> collections.abc.Callable[..., float]:
    """Runs commands on the small recorded host, tracked in a folder."""
    return functools.partial(
        _run,
        "nova-vfio",
        "--config-file",
        str(_CONFIG),
        "--host-root",
        str(_SMALL),
        "--state-path",
        os.path.join(folder, name),
    )


def _run(program: str, *words: str) -> float:
    """Run it; a warning is no failure. Return the CPU time that it took."""
    begun = _children()
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name(program), *words],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode > 1:
        raise AssertionError(f"{program} {words}: {done.stderr}")
    return _children() - begun


def _children() -> float:
    """The CPU time of all processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
