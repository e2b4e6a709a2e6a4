# SPDX-License-Identifier: Apache-2.0
"""Nova's tracker on a whole host: pools, claims, and the provider tree."""

from typing import Any

from nova import objects
from nova.compute import pci_placement_translator, provider_tree
from nova.objects import fields
from nova.pci import manager
from oslo_utils import uuidutils

from tests.conformance.oracle import world

#: The compute node, and so the root provider.
NODE = "host"
_COLUMNS = (
    "address",
    "vendor_id",
    "product_id",
    "dev_type",
    "numa_node",
    "parent_addr",
    "status",
    "instance_uuid",
)


def track(
    specs: list[str],
    host: world.Host,
    steps: list[dict[str, Any]],
    *,
    report_in_placement: bool = False,
    cells: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Track ``host`` by ``specs``, then do ``steps`` one after another.

    A step is ``{"do": NAME, ...}`` with the arguments of the method of that
    name in :class:`Compute`.

    :param cells: the host's NUMA cells, each ``{"id": 0, "socket": 0}``
    """
    # Nova looks which addresses are PFs' while it reads the specs.
    world.SYSFS.show(host)
    compute = Compute(specs, report_in_placement, cells)
    compute.sync(host)
    told, states = [], []
    for step in steps:
        args = dict(step)
        verb = args.pop("do")
        if verb != "publish":
            # The tracker is saved at the end of each periodic task, which
            # is after the provider tree is made.
            compute.save()
        told.append(world.answer(getattr(compute, verb), **args))
        states.append(compute.devices())
    compute.save()
    return {
        "steps": told,
        "states": states,
        "pools": compute.pools(),
        "devices": compute.devices(),
    }


class Compute:
    """A compute node with its tracker, without its database."""

    def __init__(
        self,
        specs: list[str],
        report_in_placement: bool,
        cells: list[dict[str, Any]] | None,
    ) -> None:
        self.report_in_placement = report_in_placement
        self.cells = cells
        self.next_id = 1
        self.instances: dict[str, dict[str, Any]] = {}
        self.tree = provider_tree.ProviderTree()
        self.tree.new_root(NODE, uuidutils.generate_uuid())
        self.tracker = self._start(specs, [])

    def _start(self, specs: list[str], saved: list[Any]) -> Any:
        world.configure(report_in_placement=self.report_in_placement)
        world.CONF.set_override("device_spec", specs, "pci")
        objects.PciDeviceList.get_by_compute_node = lambda *_: (
            objects.PciDeviceList(objects=saved)
        )
        tracker = manager.PciDevTracker(
            None, objects.ComputeNode(id=1, numa_topology=None)
        )
        if self.cells is not None:
            tracker.stats.numa_topology = objects.NUMATopology(
                cells=[objects.NUMACell(**cell) for cell in self.cells]
            )
        return tracker

    def restart(self, specs: list[str], host: world.Host) -> None:
        """Start the service again with these ``device_spec`` values.

        :param host: what it sees of the host while it reads them
        """
        world.SYSFS.show(host)
        self.tracker = self._start(
            specs, [_read_back(device) for device in self.tracker.pci_devs]
        )

    def sync(self, host: world.Host) -> None:
        """Give the tracker what the hypervisor sees now."""
        world.SYSFS.show(host)
        self.tracker.update_devices_from_hypervisor_resources(
            world.reported_text(host)
        )
        for device in self.tracker.pci_devs:
            if "id" not in device:
                device.id = self.next_id
                self.next_id += 1
                device.instance_uuid = None
                device.request_id = None

    def save(self) -> None:
        """Do to the devices what ``PciDevTracker.save`` does."""
        gone = fields.PciDeviceStatus.REMOVED
        kept = [d for d in self.tracker.pci_devs if d.status != gone]
        if len(kept) != len(self.tracker.pci_devs):
            self.tracker.pci_devs.objects = kept

    def fits(
        self,
        requests: list[dict[str, Any]],
        numa: list[int] | None = None,
    ) -> bool:
        """Tell whether the scheduler would let these requests through."""
        answer: bool = self.tracker.stats.support_requests(
            self._requests(requests), None, _guest_cells(numa)
        )
        return answer

    def claim(
        self,
        instance: str,
        requests: list[dict[str, Any]],
        numa: list[int] | None = None,
    ) -> list[str]:
        """Claim devices; return their addresses in the order taken."""
        cells = _guest_cells(numa)
        devices = self.tracker.claim_instance(
            None,
            objects.InstancePCIRequests(
                instance_uuid=instance, requests=self._requests(requests)
            ),
            cells and objects.InstanceNUMATopology(cells=cells),
        )
        return [device.address for device in devices]

    def allocate(self, instance: str) -> None:
        """Turn the claims of an instance into allocations."""
        self.tracker.allocate_instance(self._instance(instance))

    def free(self, instance: str) -> None:
        """Give back all that an instance has."""
        self.tracker.free_instance(None, self._instance(instance))

    def publish(
        self,
        allocations: dict[str, dict[str, dict[str, int]]] | None = None,
        existing: list[dict[str, Any]] | None = None,
        resizing: list[str] | None = None,
    ) -> dict[str, Any]:
        """Bring the provider tree up to date and show it.

        :param allocations: consumer, provider name, resource class, amount
        :param existing: providers that others made: ``name``, ``inventory``,
            ``traits``
        :param resizing: instances in a resize to this same host
        """
        for provider in existing or ():
            if not self.tree.exists(provider["name"]):
                self.tree.new_child(
                    provider["name"], NODE, uuid=uuidutils.generate_uuid()
                )
            self.tree.update_inventory(provider["name"], provider["inventory"])
            self.tree.update_traits(provider["name"], provider["traits"])
        held = {
            consumer: {
                "allocations": {
                    self.tree.data(name).uuid: {"resources": dict(resources)}
                    for name, resources in of_consumer.items()
                }
            }
            for consumer, of_consumer in (allocations or {}).items()
        }
        reshape = pci_placement_translator.update_provider_tree_for_pci(
            self.tree, NODE, self.tracker, held, resizing or []
        )
        found = [
            self.tree.data(uuid)
            for uuid in self.tree.get_provider_uuids_in_tree(NODE)
        ]
        names = {one.uuid: one.name for one in found}
        return {
            "reshape": reshape,
            "providers": [
                {
                    "name": one.name,
                    "parent": names.get(one.parent_uuid),
                    "inventory": one.inventory,
                    "traits": sorted(one.traits),
                }
                for one in found
            ],
            "allocations": {
                consumer: {
                    names[uuid]: one["resources"]
                    for uuid, one in of_consumer["allocations"].items()
                    if uuid in names
                }
                for consumer, of_consumer in held.items()
            },
        }

    def pools(self) -> list[dict[str, Any]]:
        """Return the pools in Nova's order, devices as addresses."""
        return [
            {
                **{k: v for k, v in pool.items() if k != "rp_uuid"},
                "devices": [device.address for device in pool["devices"]],
            }
            for pool in self.tracker.stats.pools
        ]

    def devices(self) -> list[dict[str, Any]]:
        """Return the tracked devices, as a save would leave them."""
        gone = fields.PciDeviceStatus.REMOVED
        return [
            {
                **{name: getattr(device, name) for name in _COLUMNS},
                "extra_info": {
                    k: v
                    for k, v in device.extra_info.items()
                    if k != "rp_uuid"
                },
            }
            for device in self.tracker.pci_devs
            if device.status != gone
        ]

    def _instance(self, uuid: str) -> dict[str, Any]:
        return self.instances.setdefault(
            uuid, {"uuid": uuid, "pci_devices": []}
        )

    def _requests(self, told: list[dict[str, Any]]) -> list[Any]:
        """Make requests; ``providers`` names those Placement allocated."""
        made = []
        for one in told:
            spec = [dict(alternative) for alternative in one["spec"]]
            if one.get("providers"):
                spec[0]["rp_uuids"] = ",".join(
                    self.tree.data(name).uuid for name in one["providers"]
                )
            made.append(
                objects.InstancePCIRequest(
                    count=one["count"],
                    spec=spec,
                    alias_name=one.get("alias_name", "alias"),
                    numa_policy=one.get("numa_policy"),
                    request_id=uuidutils.generate_uuid(),
                )
            )
        return made


def _read_back(device: Any) -> Any:
    """Return a device as it comes back from the database."""
    return objects.PciDevice(
        **{
            name: getattr(device, name)
            for name in device.fields
            if name in device
        }
    )


def _guest_cells(numa: list[int] | None) -> list[Any] | None:
    if numa is None:
        return None
    return [objects.InstanceNUMACell(id=cell) for cell in numa]
