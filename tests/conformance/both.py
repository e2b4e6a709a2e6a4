# SPDX-License-Identifier: Apache-2.0
"""Both sides of one compute node, which take the same steps."""

import itertools
from typing import Any

from nova_vfio_variant import exception
from nova_vfio_variant.pci.address import PciAddress
from nova_vfio_variant.pci.alias import PciRequest
from nova_vfio_variant.placement import tree
from nova_vfio_variant.tracker.device import Status
from tests.conformance.ask_aliases import read as read_aliases
from tests.conformance.hosts import Host
from tests.conformance.nova import Answer, Nova
from tests.conformance.our_node import OurNode

#: The compute node, and so the root provider.
NODE = "host"


class Both:
    """Both sides' steps for one case, put side by side."""

    def __init__(self, nova: Nova, case: dict[str, Any]) -> None:
        self.nova = nova
        self.case = case
        self.host: Host = case["host"]
        self.specs: list[str] = case["specs"]
        aliases, errors = read_aliases(case["aliases"], in_placement=False)
        assert not errors, errors
        self.ours = OurNode(
            case["specs"], aliases, dict(enumerate(case["sockets"]))
        )
        self.ours.sync(case["host"])
        #: The PFs that Nova saw when it started.
        self.pfs = _pfs(case["host"])
        self.steps: list[dict[str, Any]] = []
        #: What we answered to each of Nova's steps.
        self.answers: list[Any] = []
        #: Names of the providers that were published last, and the
        #: addresses of the devices of each.
        self.providers: dict[str, tuple[PciAddress, ...]] = {}
        #: Our devices after each step, and what was asked for then.
        self.states: list[Any] = []
        self.wanted: list[set[str]] = []

    def add(self, step: dict[str, Any], answer: Any = None) -> None:
        """Remember a step for Nova, and what we say to it."""
        self.steps.append(step)
        self.answers.append(answer)
        self.states.append(self.ours.state())
        self.wanted.append(self.ours.wanted)

    def restart(self) -> None:
        """Let Nova begin anew: its pools then hold devices by address."""
        self.add({"do": "restart", "specs": self.specs, "host": self.host})
        self.pfs = _pfs(self.host)
        self.add({"do": "sync", "host": self.host})

    def step(self, step: dict[str, Any]) -> None:
        """Take one step on our side, and note it for Nova's."""
        do = step["do"]
        if do in {"claim", "fits"}:
            self._ask(step)
        elif do == "sync":
            gone = _interfaces(self.host) - _interfaces(step["host"])
            named = {spec.devname for spec in self.ours.specs}
            self.host = step["host"]
            self.ours.sync(self.host)
            # It takes a new PF for none, and doesn't find what it has of an
            # interface that is gone; see PF_LATER and INTERFACE_GONE.
            if named & gone or not _pfs(self.host) <= self.pfs:
                self.restart()
            else:
                self.add(step)
        elif do == "respec":
            self.specs = step["specs"]
            self.ours.respec(self.specs)
            self.ours.sync(self.host)
            self.restart()
        else:
            getattr(self.ours, do)(step["instance"])
            self.add(step)

    def publish(self) -> bool:
        """Publish; tell whether there is something to choose from."""
        self.add({"do": "publish"})
        providers, findings = tree.build(self.ours.devices, NODE)
        self.ours.publish(providers)
        self.providers = {
            provider.name: provider.addresses for provider in providers
        }
        return bool(providers) and not findings

    def _ask(self, step: dict[str, Any]) -> None:
        told = self.nova.ask(
            "flavor",
            values=self.case["aliases"],
            extra_spec=step["extra_spec"],
            numa_policy=step["policy"],
        )
        requests = self.ours.requests(step["extra_spec"], step["policy"])
        if any(
            device.instance_uuid == step["instance"]
            for device in self.ours.devices
        ):
            # See SECOND_CLAIM.
            step = {**step, "do": "fits"}
        chosen = self._chosen(step.get("choice"), requests)
        asked = {
            "do": step["do"],
            "requests": [
                {**request, "providers": names}
                for request, names in zip(
                    told.value["requests"], chosen, strict=True
                )
            ],
            "numa": step["numa"],
        }
        numa = step["numa"]
        if step["do"] == "fits":
            self.add(asked, self.ours.fits(requests, numa, chosen))
            return
        answer: Any = None
        try:
            answer = self.ours.claim(step["instance"], requests, numa, chosen)
        except exception.ClaimError:
            answer = None
        self.add({**asked, "instance": step["instance"]}, answer)

    def _chosen(
        self, choice: list[int] | None, requests: tuple[PciRequest, ...]
    ) -> list[list[str]]:
        """Choose providers as Placement might, one for each device.

        :param choice: numbers that decide; None if Placement isn't asked
        """
        if choice is None:
            return [[] for _ in requests]
        numbers = itertools.cycle(choice)
        free = self._free()
        return [
            [
                _provider(next(numbers), request, free)
                for _ in range(request.count)
            ]
            for request in requests
        ]

    def _free(self) -> dict[str, list[tuple[str, str]]]:
        """The ids of what each provider has to give."""
        ids = {
            device.address: (device.vendor_id, device.product_id)
            for device in self.ours.devices
            if device.status == Status.AVAILABLE
        }
        return {
            name: [ids[at] for at in addresses if at in ids]
            for name, addresses in self.providers.items()
        }

    def tell(self) -> Answer:
        """Let Nova take all the steps."""
        return self.nova.ask(
            "track",
            specs=self.case["specs"],
            host=self.case["host"],
            steps=self.steps,
            report_in_placement=True,
            cells=[
                {"id": cell, "socket": socket}
                for cell, socket in enumerate(self.case["sockets"])
            ],
        )


def _provider(
    number: int, request: PciRequest, free: dict[str, list[tuple[str, str]]]
) -> str:
    """Choose one that has what is asked for left, where there is one.

    :param number: decides; at 0 any is chosen
    """
    spec = request.specs[0]
    ids = (spec.vendor_id or "", spec.product_id or "")
    fitting = [name for name, some in free.items() if ids in some]
    names = list(free) if number == 0 or not fitting else fitting
    name = names[number % len(names)]
    if ids in free[name]:
        free[name].remove(ids)
    return name


def _pfs(host: Host) -> set[str]:
    return {one["address"] for one in host if one["dev_type"] == "type-PF"}


def _interfaces(host: Host) -> set[str]:
    return {one["ifname"] for one in host if one.get("ifname")}


def state_of(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return Nova's devices as ours are told."""
    return [
        {
            **device,
            "extra_info": {
                "managed": device["extra_info"].get("managed", "true"),
                **{
                    key: value
                    for key, value in device["extra_info"].items()
                    if key == "live_migratable"
                },
            },
        }
        for device in told
    ]
