# SPDX-License-Identifier: Apache-2.0
"""Asks the QEMU that runs this guest to do something (QMP)."""

import functools
import json
import os
import pathlib
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


class _Session:
    """The one session that this guest has."""

    def __init__(self, path: str) -> None:
        self._port = os.open(path, os.O_RDWR)
        self._rest = b""
        self._receive("QMP")
        self.execute("qmp_capabilities", {})

    def execute(
        self, command: str, arguments: ty.Mapping[str, object]
    ) -> object:
        """As :func:`execute`."""
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
                self._rest += os.read(self._port, 65536)
                continue
            self._rest = rest
            message: dict[str, ty.Any] = json.loads(line)
            if any(key in message for key in keys):
                return message


@functools.cache
def _session() -> _Session:
    for port in _PORTS.iterdir():
        if (port / "name").read_text().strip() == "qmp":
            return _Session(f"/dev/{port.name}")
    raise QmpError("this guest has no port to QEMU")
