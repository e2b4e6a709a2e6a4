# SPDX-License-Identifier: Apache-2.0
"""The main job on a recorded real host, with an embedded Placement.

Each command is shown as a user would type it, and its output follows. What
Placement holds is then read back through its REST API. Nothing outside a
temporary folder is written.
"""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import threading
import typing as ty

import requests

from nova_vfio_variant.placement import embedded

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "etc/nova-vfio"
CONFIG = EXAMPLES / "demo/nova.conf"
HOST = EXAMPLES / "hosts/two-node-igb-nvme.tar.gz"
INSTANCE = "8d4a0ac4-2ae5-4d4c-8d43-b20a1eb3b0b0"


def say(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def run(state: str, *words: str) -> None:
    """Show a command and run it; end the demo where it fails."""
    command = [
        "nova-vfio",
        "--config-file",
        os.path.relpath(CONFIG),
        "--host-root",
        os.path.relpath(HOST),
        "--state-path",
        state,
        *words,
    ]
    print(f"\n$ {shlex.join(command)}", flush=True)
    program = pathlib.Path(sys.executable).parent / command[0]
    subprocess.run([program, *command[1:]], check=True)


def read_back(state: str, instance: str | None = None) -> None:
    """Ask Placement itself, on a port of the loopback interface."""
    server = embedded.serve(state)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}"

    def get(path: str) -> ty.Any:
        answer = requests.get(
            f"{place}{path}",
            headers={
                "X-Auth-Token": "admin",
                "OpenStack-API-Version": "placement 1.38",
            },
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json()

    def show(path: str) -> None:
        print(f"GET {path}\n{json.dumps(get(path), sort_keys=True)}")

    print(f"\nPlacement answers at {place}")
    if instance is not None:
        show(f"/allocations/{instance}")
    providers = get("/resource_providers")["resource_providers"]
    for provider in sorted(providers, key=lambda one: str(one["name"])):
        own = f"/resource_providers/{provider['uuid']}"
        print(f"\nprovider {provider['name']}")
        if instance is not None:
            show(f"{own}/usages")
            continue
        show(f"{own}/inventories")
        show(f"{own}/traits")
    server.shutdown()
    server.server_close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="nova-vfio-demo-") as state:
        say("Is the file true, and does it fit this host?")
        run(state, "config", "check")
        say("Which devices does it name?")
        run(state, "device", "sync")
        run(state, "device", "list", "--max-width", "200")
        say("Publish them.")
        run(state, "inventory", "report")
        say("What Placement holds now, read back through its REST API.")
        read_back(state)
        say("Give an instance one VF by alias, as its flavor would.")
        run(
            state,
            "claim",
            "create",
            "--instance",
            INSTANCE,
            "--alias",
            "fast-nic:1",
        )
        say("What libvirt takes.")
        run(state, "guest", "xml", "--instance", INSTANCE)
        say("Which usage Placement reports now.")
        read_back(state, INSTANCE)
        run(state, "inventory", "show")
    say("Next, on your own machine (it only reads):")
    print("\n    .tox/demo/bin/nova-vfio host list")


if __name__ == "__main__":
    main()
