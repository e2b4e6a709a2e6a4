# SPDX-License-Identifier: Apache-2.0
"""What the operator's text means to Nova: specs, aliases, flavors, names."""

import pathlib
import re
import tempfile
from typing import Any

import jsonschema
from nova import exception, objects
from nova.api.validation.extra_specs import validators
from nova.compute import pci_placement_translator
from nova.conf import netconf
from nova.conf import pci as pci_options
from nova.pci import request, whitelist
from nova.scheduler import utils as scheduler_utils
from nova.virt import hardware
from oslo_config import cfg

from tests.conformance.oracle import world

_ALIAS = jsonschema.validators.validator_for(request._ALIAS_SCHEMA)(
    request._ALIAS_SCHEMA
)


class _Jsonschema:
    """``jsonschema`` for Nova, without checking Nova's schema each time.

    That check takes nine tenths of Nova's reading of an alias.
    """

    exceptions = jsonschema.exceptions

    @staticmethod
    def validate(instance: Any, _schema: Any) -> None:
        error = jsonschema.exceptions.best_match(_ALIAS.iter_errors(instance))
        if error is not None:
            raise error


request.jsonschema = _Jsonschema
# The API tries an expression for each trait there is, one after the other: more
# than Python keeps, which compiles each of them anew then.
re._MAXCACHE = 8192  # type: ignore[attr-defined] # typeshed lacks it


def config(files: list[str]) -> dict[str, Any]:
    """Read configuration files as a service of Nova would.

    The options are registered afresh: the group of ``nova.conf`` carries
    overrides from one reading to the next.

    :returns: the values of both options, or what oslo.config ``refused``
    """
    conf = cfg.ConfigOpts()
    group = cfg.OptGroup("pci")
    conf.register_group(group)
    conf.register_opts(pci_options.pci_opts, group=group)
    netconf.register_opts(conf)
    with tempfile.TemporaryDirectory() as folder:
        args = []
        for number, text in enumerate(files):
            path = pathlib.Path(folder, f"{number}.conf")
            path.write_text(text, encoding="utf-8", newline="")
            args += ["--config-file", str(path)]
        try:
            conf(args, project="nova", default_config_files=[])
            specs, aliases = conf.pci.device_spec, conf.pci.alias
        except (cfg.Error, UnicodeError, RecursionError) as error:
            return {"refused": type(error).__name__}
    return {"device_spec": specs, "alias": aliases}


def match(
    specs: list[str], host: world.Host, *, report_in_placement: bool = False
) -> dict[str, Any]:
    """Parse ``device_spec`` values and match a whole host with them.

    ``won`` holds, for each function, the number of the spec that won, None,
    or the name of the error that Nova raises for this device alone.
    """
    world.configure(report_in_placement=report_in_placement)
    world.SYSFS.show(host)
    parsed = whitelist.Whitelist(specs)
    numbers = {id(spec): n for n, spec in enumerate(parsed.specs)}
    won: list[int | str | None] = []
    for device in world.reported(host):
        try:
            spec = parsed.device_assignable(device)
        except exception.PciConfigInvalidSpec as error:
            # The only one that PciDevTracker goes on after.
            won.append(type(error).__name__)
        else:
            won.append(None if spec is None else numbers[id(spec)])
    return {
        "won": won,
        "specs": [
            {
                "vendor_id": spec.vendor_id,
                "product_id": spec.product_id,
                "tags": spec.tags,
            }
            for spec in parsed.specs
        ],
    }


def alias(
    values: list[str], *, pci_in_placement: bool = False
) -> dict[str, Any]:
    """Parse ``alias`` values: name to NUMA policy and specs."""
    world.configure(pci_in_placement=pci_in_placement)
    world.CONF.set_override("alias", values, "pci")
    request.get_alias_from_config.cache_clear()
    return {
        name: {"numa_policy": policy, "specs": specs}
        for name, (policy, specs) in request.get_alias_from_config().items()
    }


def flavor(
    values: list[str],
    extra_spec: str,
    *,
    numa_policy: str | None = None,
    pci_in_placement: bool = False,
) -> dict[str, Any]:
    """Turn ``pci_passthrough:alias`` into requests and request groups.

    A group names the request it belongs to by its place in the list, for the
    identifiers are random.
    """
    world.configure(pci_in_placement=pci_in_placement)
    world.CONF.set_override("alias", values, "pci")
    request.get_alias_from_config.cache_clear()
    pci_requests = request.get_pci_requests_from_flavor(
        objects.Flavor(extra_specs={"pci_passthrough:alias": extra_spec}),
        numa_policy,
    )
    wanted = objects.RequestSpec(
        pci_requests=pci_requests, requested_resources=None
    )
    wanted.generate_request_groups_from_pci_requests()
    places = {one.request_id: n for n, one in enumerate(pci_requests.requests)}
    return {
        "requests": [
            {
                "count": one.count,
                "alias_name": one.alias_name,
                "numa_policy": one.numa_policy,
                "spec": one.spec,
            }
            for one in pci_requests.requests
        ],
        "groups": [
            {
                "request": places[group.requester_id.rpartition("-")[0]],
                "number": int(group.requester_id.rpartition("-")[2]),
                "resources": group.resources,
                "required_traits": sorted(group.required_traits),
                "use_same_provider": group.use_same_provider,
            }
            for group in wanted.requested_resources or []
        ],
    }


def resource_class(name: str | None, vendor_id: str, product_id: str) -> str:
    """Return the resource class of a device."""
    answer: str = pci_placement_translator.get_resource_class(
        name, vendor_id, product_id
    )
    return answer


def traits(text: str | None) -> list[str]:
    """Return the traits that a ``traits`` tag stands for, sorted."""
    return sorted(pci_placement_translator.get_traits(text))


def extra_specs(specs: dict[str, str]) -> dict[str, Any]:
    """Read a flavor's extra specs as the scheduler and the API do.

    :returns: the groups by suffix; the NUMA nodes of a guest, None where Nova
        refuses the combination; and the keys that the API refuses
    """
    wanted = objects.Flavor(
        vcpus=2,
        memory_mb=64,
        root_gb=0,
        ephemeral_gb=0,
        swap=0,
        extra_specs=specs,
    )
    asked = scheduler_utils.ResourceRequest()
    asked._process_extra_specs(wanted)
    asked.strip_zeros()
    image = objects.ImageMeta(properties=objects.ImageMetaProps())
    nodes: int | None = None
    try:
        topology = hardware.numa_get_constraints(wanted, image)
        nodes = len(topology.cells) if topology else 0
    except exception.NovaException:
        pass
    refused = []
    for key, value in specs.items():
        try:
            validators.validate(key, value)
        except exception.ValidationError:
            refused.append(key)
    return {
        "groups": {
            suffix or "": {
                "resources": dict(group.resources),
                "required": sorted(group.required_traits),
                "forbidden": sorted(group.forbidden_traits),
            }
            for suffix, group in asked._rg_by_id.items()
        },
        "group_policy": asked.group_policy,
        "numa_nodes": nodes,
        "refused": sorted(refused),
    }
