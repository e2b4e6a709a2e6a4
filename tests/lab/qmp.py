# SPDX-License-Identifier: Apache-2.0
"""Asks a QEMU to do something (QMP): that which runs this guest, or another."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import socket
import typing as ty

_PORTS = pathlib.Path("/sys/class/virtio-ports")


class QmpError(Exception):
    """QEMU refused."""


def execute(command: str, **arguments: object) -> object:
    """Let QEMU execute a command.

    :raises QmpError: it refused
    """
    return _session().execute(command, arguments)


def devices() -> list[str]:
    """The ids of the devices that were named when they were made."""
    answer = execute("qom-list", path="/machine/peripheral")
    return [one["name"] for one in ty.cast("list[dict[str, str]]", answer)]


def connected(path: pathlib.Path) -> Session:
    """A session with the QEMU that has this socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        return Session(client.detach())


class Session:
    """A session with one QEMU.

    :param port: what it is talked to through
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._rest = b""
        self._receive("QMP")
        self.execute("qmp_capabilities", {})

    def execute(
        self, command: str, arguments: ty.Mapping[str, object]
    ) -> object:
        """Let it execute a command.

        :raises QmpError: it refused
        """
        asked = {"execute": command, "arguments": arguments}
        os.write(self._port, json.dumps(asked).encode() + b"\n")
        answer = self._receive("return", "error")
        if "error" in answer:
            raise QmpError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def _receive(self, *keys: str) -> dict[str, ty.Any]:
        """The next message with one of these; events are passed over."""
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if not end:
                more = os.read(self._port, 65536)
                if not more:
                    raise QmpError("QEMU has ended")
                self._rest += more
                continue
            self._rest = rest
            message: dict[str, ty.Any] = json.loads(line)
            if any(key in message for key in keys):
                return message


@functools.cache
def _session() -> Session:
    for port in _PORTS.iterdir():
        if (port / "name").read_text().strip() == "qmp":
            return Session(os.open(f"/dev/{port.name}", os.O_RDWR))
    raise QmpError("this guest has no port to QEMU")
