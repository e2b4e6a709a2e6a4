# SPDX-License-Identifier: Apache-2.0
"""The Placement service of a cloud, reached as ``[placement]`` says."""

from __future__ import annotations

import os
import typing as ty

from keystoneauth1 import adapter, loading, session
from keystoneauth1 import exceptions as ks_exceptions
from openstack import connection

from nova_vfio_variant import exception, input_file
from nova_vfio_variant.placement import bounded, client, failure

if ty.TYPE_CHECKING:
    from oslo_config import cfg

#: Seconds that Placement has for a whole answer when [placement] timeout is not
#: set; keystoneauth would wait for ever.
TIMEOUT = 60
_GROUP = "placement"
_FILES = ("cafile", "certfile", "keyfile")


def connect(conf: cfg.ConfigOpts) -> client.PlacementClient:
    """A client of the service; nothing is asked of it yet.

    :param conf: with the options of ``[placement]`` registered
        (:mod:`nova_vfio_variant.conf.placement`)
    :raises PlacementRefused: the options don't say how to authenticate, or
        can't be used
    """
    try:
        auth = loading.load_auth_from_conf_options(conf, _GROUP)
    except ks_exceptions.ClientException as error:
        raise exception.PlacementRefused(
            f"[{_GROUP}] is incomplete: {error}",
            "Nova's own section works here unchanged",
        ) from error
    if auth is None:
        raise exception.PlacementRefused(
            f"[{_GROUP}] has no auth_type",
            "Nova's own section works here unchanged; without Keystone, "
            "[vfio] placement = embedded",
        )
    _expect_files(conf)
    us = loading.load_session_from_conf_options(conf, _GROUP, auth=auth)
    us.app_name = "nova-vfio"
    if us.timeout is None:
        us.timeout = TIMEOUT
    bounded.mount(us)
    where = failure.without_password(
        conf.placement.endpoint_override or "the Placement service"
    )
    with failure.reaching(where):
        cloud = connection.Connection(
            session=us, oslo_conf=conf, service_types=[_GROUP]
        )
    return client.PlacementClient(_Cloud(cloud), where)


def _expect_files(conf: cfg.ConfigOpts) -> None:
    """Refuse what the TLS library would wait for, or read for ever.

    What isn't there, and a folder of certificates, is left to it.

    :raises PlacementRefused: an option names no file
    """
    for name in _FILES:
        path = conf[_GROUP][name]
        if path is None or not os.path.exists(path) or os.path.isdir(path):
            continue
        try:
            input_file.expect_regular(os.stat(path), path)
        except OSError as error:
            raise exception.PlacementRefused(
                f"[{_GROUP}] {name}: {path}: {error.strerror}",
                "save it as a file",
            ) from error


class _Cloud:
    """A cloud of openstacksdk's, which says why it can't be reached.

    :param cloud: knows the services of ``[placement]``
    """

    def __init__(self, cloud: connection.Connection) -> None:
        self._cloud = cloud

    @property
    def session(self) -> session.Session:
        return self._cloud.session

    @property
    def placement(self) -> adapter.Adapter:
        """Placement's proxy, whose versions openstacksdk looks up first.

        Whatever goes wrong there is a DiscoveryFailure that doesn't tell
        what it was; a plain request does.
        """
        try:
            return self._cloud.placement
        except ks_exceptions.DiscoveryFailure:
            config = self._cloud.config
            adapter.Adapter(
                self._cloud.session,
                service_type=config.get_service_type(_GROUP),
                interface=config.get_interface(_GROUP),
                region_name=config.get_region_name(_GROUP),
                endpoint_override=config.get_endpoint(_GROUP),
            ).get("/resource_classes", raise_exc=True)
            raise


def refuse_unless_reported(conf: cfg.ConfigOpts) -> None:
    """Refuse to publish to a service that Nova doesn't publish to.

    Nova with ``report_in_placement`` off publishes no PCI device, and once
    it finds a provider with COMPUTE_MANAGED_PCI_DEVICE below its own it
    refuses to start (``ensure_tracking_was_not_enabled_before`` in
    nova/compute/pci_placement_translator.py).

    :param conf: with Nova's ``[pci]`` registered
    :raises InventoryRefused: [pci] report_in_placement is off
    """
    if not conf.pci.report_in_placement:
        raise exception.InventoryRefused(
            "[pci] report_in_placement is off: Nova would publish no PCI "
            "device, and refuse to start below a provider with "
            "COMPUTE_MANAGED_PCI_DEVICE",
            "set [pci] report_in_placement = true, which Nova can't undo, "
            "or [vfio] placement = embedded",
        )
