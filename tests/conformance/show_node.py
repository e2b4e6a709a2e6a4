# SPDX-License-Identifier: Apache-2.0
"""Where a whole node is meant to differ: one small case each."""

import json
import pathlib
import tempfile
import uuid
from typing import Any

from nova_vfio_variant import exception
from nova_vfio_variant.check import deviations
from nova_vfio_variant.host.observe import scanner
from nova_vfio_variant.host.tree import opening, paths
from nova_vfio_variant.node import claims, context, reporting
from nova_vfio_variant.placement import client, diff, report, tree
from nova_vfio_variant.placement.provider import Inventory, Provider, Published
from nova_vfio_variant.testing import placement as fixture
from tests.conformance.ask_tracker import INSTANCES
from tests.conformance.both import NODE, Both
from tests.conformance.nova import Answer, Nova
from tests.conformance.question import shows
from tests.conformance.show_tracker import FAMILY
from tests.functional import check_host

_MANAGED = "COMPUTE_MANAGED_PCI_DEVICE"
_CLASS = "CUSTOM_PCI_10DE_25B7"
_NAME = f"{NODE}_0000:25:00.0"
_TWO = {
    "total": 2,
    "max_unit": 2,
    "min_unit": 1,
    "step_size": 1,
    "allocation_ratio": 1.0,
    "reserved": 0,
}
_RECORD = {
    "total": 1,
    "max_unit": 1,
    "min_unit": 1,
    "step_size": 1,
    "allocation_ratio": 1.0,
    "reserved": 1,
}


def _published(
    nova: Nova, specs: list[str], **beside: Any
) -> tuple[Answer, Both]:
    """What Nova publishes of a small host, beside what is there already."""
    both = Both(
        nova,
        {"host": FAMILY, "specs": specs, "aliases": [], "sockets": (0,)},
    )
    both.add({"do": "publish", **beside})
    return Answer.read(both.tell().value["steps"][-1]), both


@shows(deviations.HOST_AFRESH, nova=[0, 0], ours=[0, 1])
def _host_afresh(nova: Nova) -> tuple[Any, Any]:
    address = "0000:25:00.0"
    theirs = nova.ask("looks", seen=[[], [address]])
    ours = []
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, paths.DEVICES).mkdir(parents=True)
        looked = scanner.scan(opening.open_tree(folder))
        ours.append(len(looked.functions))
        home = pathlib.Path(folder, paths.DEVICES, address)
        home.mkdir()
        (home / "modalias").write_text(
            "pci:v000010DEd000025B6sv00000000sd00000000bc03sc02i00\n"
        )
        looked = scanner.scan(opening.open_tree(folder))
        ours.append(len(looked.functions))
    return theirs.value, ours


@shows(
    deviations.PER_CLASS,
    nova="PlacementPciMixedResourceClassException",
    ours=["CUSTOM_A", "CUSTOM_B"],
)
def _per_class(nova: Nova) -> tuple[Any, Any]:
    theirs, both = _published(
        nova,
        [
            '{"address": "0000:25:00.4", "resource_class": "A"}',
            '{"address": "0000:25:00.5", "resource_class": "B"}',
        ],
    )
    providers, findings = tree.build(both.ours.devices, NODE, "per_class")
    assert not findings, findings
    return (
        theirs.said,
        sorted(
            name for provider in providers for name in provider.inventories
        ),
    )


@shows(deviations.EMBEDDED_ALWAYS, nova=[NODE], ours=[NODE, _NAME])
def _embedded_always(nova: Nova) -> tuple[Any, Any]:
    spec = '{"vendor_id": "8086", "product_id": "10ca"}'
    told = nova.ask(
        "track",
        specs=[spec],
        host=[
            {**one, "vendor_id": "8086", "product_id": "10ca"}
            for one in FAMILY[1:]
        ],
        steps=[{"do": "publish"}],
        report_in_placement=False,
    )
    theirs = Answer.read(told.value["steps"][0]).value["providers"]
    with tempfile.TemporaryDirectory() as folder:
        check_host.build(pathlib.Path(folder, "host"), check_host.card())
        conf = pathlib.Path(folder, "nova.conf")
        conf.write_text(
            f"[DEFAULT]\nhost = {NODE}\n[pci]\ndevice_spec = {spec}\n"
        )
        state = f"{folder}/state"
        with fixture.EmbeddedPlacement(state) as embedded:
            on = context.Context([str(conf)], [], f"{folder}/host", state)
            reporting.Reporting(on).report()
            root = embedded.client.find(NODE)
            assert root is not None
            ours = embedded.client.tree(root.uuid)
    return sorted(one["name"] for one in theirs), sorted(
        listed.name for listed in ours
    )


@shows(
    deviations.SECOND_CLAIM,
    nova=["0000:25:00.4", "allocated", "claimed"],
    ours="refused",
)
def _second_claim(nova: Nova) -> tuple[Any, Any]:
    alias = '{"name": "a", "vendor_id": "8086", "product_id": "10ca"}'
    both = Both(
        nova,
        {
            "host": [
                {**one, "vendor_id": "8086", "product_id": "10ca"}
                for one in FAMILY[1:]
            ],
            "specs": ["{}"],
            "aliases": [alias],
            "sockets": (0,),
        },
    )
    spec = {"vendor_id": "8086", "product_id": "10ca"}
    claim = {
        "do": "claim",
        "instance": INSTANCES[0],
        "requests": [{"count": 1, "spec": [spec]}],
    }
    both.add(claim)
    both.add(claim)
    both.add({"do": "allocate", "instance": INSTANCES[0]})
    told = both.tell().value
    theirs = Answer.read(told["steps"][1]).value
    with tempfile.TemporaryDirectory() as folder:
        check_host.build(pathlib.Path(folder, "host"), check_host.card())
        conf = pathlib.Path(folder, "nova.conf")
        conf.write_text(
            f"[pci]\ndevice_spec = {json.dumps(spec)}\nalias = {alias}\n"
        )
        on = context.Context(
            [str(conf)], [], f"{folder}/host", f"{folder}/state"
        )
        compute = claims.Claims(on)
        compute.claim(INSTANCES[0], "a:1")
        try:
            compute.claim(INSTANCES[0], "a:2")
        except exception.ClaimError:
            ours = "refused"
        else:
            ours = "granted"
    return [*theirs, *(one["status"] for one in told["devices"])], ours


@shows(deviations.INVENTORY_KEPT, nova=_TWO, ours=_TWO | {"reserved": 1})
def _inventory_kept(nova: Nova) -> tuple[Any, Any]:
    theirs, both = _published(
        nova,
        ['{"product_id": "25b7"}'],
        existing=[
            {
                "name": _NAME,
                "inventory": {_CLASS: _RECORD},
                "traits": [_MANAGED],
            }
        ],
    )
    (desired,), _ = tree.build(both.ours.devices, NODE)
    before = Published(_NAME, _NAME, 1, {_CLASS: _RECORD}, (_MANAGED,))
    return (
        # What it leaves out Placement fills in.
        {**_RECORD, "reserved": 0}
        | theirs.value["providers"][1]["inventory"][_CLASS],
        diff.settled(desired, before).inventories[_CLASS],
    )


@shows(deviations.OTHERS_LEFT, nova=[NODE], ours=[NODE, _NAME])
def _others_left(nova: Nova) -> tuple[Any, Any]:
    theirs, _ = _published(
        nova,
        ["[]"],
        existing=[
            {
                "name": _NAME,
                "inventory": {_CLASS: _RECORD},
                "traits": [_MANAGED],
            }
        ],
    )
    ours = _Placement([])
    with ours.fixture:
        ours.report()
        root = ours.direct.find(NODE)
        assert root is not None
        other = str(uuid.uuid4())
        generation = ours.direct.create(other, _NAME, root.uuid)
        ours.direct.put_traits(other, generation, (_MANAGED,))
        ours.report()
        left = [listed.name for listed in ours.direct.tree(root.uuid)]
    return (
        [one["name"] for one in theirs.value["providers"]],
        sorted(left),
    )


@shows(deviations.HEALING, nova=2, ours=1)
def _healing(nova: Nova) -> tuple[Any, Any]:
    case = {
        "host": FAMILY,
        "specs": ['{"product_id": "25b7"}'],
        "aliases": [
            '{"name": "a", "vendor_id": "10de", "product_id": "25b7"}'
        ],
        "sockets": (0,),
    }
    both = Both(nova, case)
    both.step(
        {
            "do": "claim",
            "instance": INSTANCES[0],
            "extra_spec": "a:2",
            "policy": None,
            "numa": None,
        }
    )
    assert both.publish()
    held = {INSTANCES[0]: {_NAME: {_CLASS: 1}}}
    both.add({"do": "publish", "allocations": held})
    told = Answer.read(both.tell().value["steps"][-1]).value
    ours = _Placement(
        [Provider(_NAME, NODE, {_CLASS: Inventory(2, 2)}, (_MANAGED,))]
    )
    with ours.fixture:
        ours.report()
        listed = ours.direct.find(_NAME)
        assert listed is not None
        ours.direct.put_allocations(
            INSTANCES[0], client.Allocations({listed.uuid: {_CLASS: 1}})
        )
        ours.report()
        used = ours.direct.usages(listed.uuid)[_CLASS]
    return told["allocations"][INSTANCES[0]][_NAME][_CLASS], used


class _Placement:
    """A real Placement to which we publish as to a cloud's."""

    def __init__(self, desired: list[Provider]) -> None:
        self.fixture = fixture.EmbeddedPlacement()
        self._ask = report.ReportRequest(NODE, desired)
        self._known = fixture.Memory()

    @property
    def direct(self) -> client.PlacementClient:
        """A client of it."""
        return self.fixture.client

    def report(self) -> None:
        """Publish."""
        report.report(self.direct, self._ask, self._known)
