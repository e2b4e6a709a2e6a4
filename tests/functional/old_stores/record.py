# SPDX-License-Identifier: Apache-2.0
"""Work with a host as an operator does, and keep what stays in the state path.

Run by ``make`` beside the code of an older version.
"""

import contextlib
import inspect
import pathlib
import shutil
import sqlite3
import sys
import tempfile
import typing as ty

from nova_vfio_variant.cli import main
from nova_vfio_variant.pci import address
from nova_vfio_variant.tracker import store as tracker_store
from tests import sample_hosts

ONE = "11111111-1111-4111-8111-111111111111"
SPEC = '{ "product_id": "10ca", "managed": "no", "trusted": "%s" }'
CONF = """\
[DEFAULT]
host = compute-1
[filter_scheduler]
pci_in_placement = true
[pci]
report_in_placement = true
device_spec = %s
alias = { "name": "vf", "vendor_id": "8086", "product_id": "10ca", "device_type": "type-VF" }
[vfio]
host_spec = { "address": "0000:21:00.0", "num_vfs": 4 }
host_spec = { "vendor_id": "8086", "product_id": "10ca", "driver": "variant" }
"""
HUNG = "0000:21:10.2"


def work(folder: pathlib.Path) -> None:
    """Prepare, track, claim, publish; change a tag; let a device hang."""
    host = sample_hosts.with_igb(folder / "host")
    conf = folder / "nova.conf"

    def run(*words: str) -> None:
        status = main.main(
            [
                f"--config-file={conf}",
                f"--host-root={host.root}",
                f"--state-path={folder}/state",
                *words,
            ]
        )
        if status > 1:
            raise SystemExit(f"{words}: status {status}")

    conf.write_text(CONF % (SPEC % "true"))
    with host.plugged_in():
        run("host", "apply")
        run("device", "sync")
        run("claim", "create", "--instance", ONE, "--alias", "vf:2")
        run("inventory", "report")
        conf.write_text(CONF % (SPEC % "false"))
        run("device", "sync")
    with tracker_store.Store.open(folder / "state") as store:
        more: dict[str, ty.Any] = {}
        if "boot" in inspect.signature(store.quarantine).parameters:
            more["boot"] = "fake-boot"
        store.quarantine(
            address.PciAddress.parse(HUNG), "it hung in an unbind", **more
        )


def keep(folder: pathlib.Path, where: pathlib.Path) -> None:
    """Keep the store as text, which can be read, and the journal."""
    where.mkdir(exist_ok=True)
    with contextlib.closing(
        sqlite3.connect(folder / "state/nova-vfio.sqlite")
    ) as link:
        lines = [*link.iterdump()]
    (where / "store.sql").write_text("".join(f"{line}\n" for line in lines))
    shutil.copy(folder / "state/host-journal", where / "host-journal")
    shutil.copy(folder / "nova.conf", where / "nova.conf")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        work(pathlib.Path(made))
        keep(pathlib.Path(made), pathlib.Path(sys.argv[1]))
