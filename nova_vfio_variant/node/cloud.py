# SPDX-License-Identifier: Apache-2.0
"""Flavors of a live cloud, by its name in ``clouds.yaml``."""

from __future__ import annotations

import contextlib
import typing as ty

from keystoneauth1 import exceptions as ks_exceptions

from nova_vfio_variant import exception
from nova_vfio_variant.pci import extra_specs
from nova_vfio_variant.placement import bounded, failure, service

if ty.TYPE_CHECKING:
    from openstack import connection
    from openstack.compute.v2 import flavor


def flavors(cloud: str) -> list[extra_specs.Given]:
    """All flavors of a cloud, by name.

    Who is an admin there sees those that aren't public, too.

    :raises CloudError: it isn't known, refuses us or can't be reached
    """
    with _reaching(cloud):
        found = _connect(cloud).compute.flavors(
            details=True, get_extra_specs=True, is_public=None
        )
        return sorted(map(_given, found), key=lambda one: one.name or "")


def flavor_named(cloud: str, name: str) -> extra_specs.Given:
    """One flavor, by its name or its id.

    :raises CloudError: there is none, or several, or see :func:`flavors`
    """
    with _reaching(cloud):
        found = _connect(cloud).compute.find_flavor(
            name, get_extra_specs=True, ignore_missing=True
        )
        if found is not None:
            return _given(found)
    raise exception.CloudError(
        f"cloud {cloud} has no flavor {name!r}",
        f"'nova-vfio flavor list --os-cloud {cloud}' shows all",
    )


def _given(found: flavor.Flavor) -> extra_specs.Given:
    settings = found.extra_specs or {}
    return extra_specs.of_lines(
        [f"{key}={value}" for key, value in sorted(settings.items())],
        f"flavor {found.name}",
        found.name,
    )


def _connect(cloud: str) -> connection.Connection:
    """A connection that waits only so long, and reads only so much."""
    import openstack

    found = openstack.connect(cloud=cloud, app_name="nova-vfio")
    if found.session.timeout is None:
        found.session.timeout = service.TIMEOUT
    bounded.mount(found.session)
    return found


@contextlib.contextmanager
def _reaching(cloud: str) -> ty.Iterator[None]:
    """What openstacksdk and keystoneauth raise, as an error of ours."""
    from openstack import exceptions as sdk_exceptions

    try:
        yield
    except (
        sdk_exceptions.SDKException,
        ks_exceptions.ClientException,
        OSError,
        *failure.NONSENSE,
    ) as error:
        hint = None
        if isinstance(error, sdk_exceptions.ConfigException):
            hint = (
                "clouds.yaml stands here, in ~/.config/openstack or in"
                " /etc/openstack"
            )
        raise exception.CloudError(
            f"cloud {cloud}: {failure.cause(error)}", hint
        ) from error
