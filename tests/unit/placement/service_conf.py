# SPDX-License-Identifier: Apache-2.0
"""The options of [placement], with a way to authenticate."""

import typing as ty

from keystoneauth1 import loading
from oslo_config import cfg

from nova_vfio_variant.conf import placement as placement_options


def service_conf(
    plug_in: str = "admin_token", **values: ty.Any
) -> cfg.ConfigOpts:
    """As if a file said so.

    :param plug_in: whose options there are
    """
    conf = cfg.ConfigOpts()
    placement_options.register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    # Now: what a plug-in needs isn't given yet.
    conf.register_opts(
        loading.get_auth_plugin_conf_options(
            loading.get_plugin_loader(plug_in)
        ),
        group="placement",
    )
    for name, value in values.items():
        conf.set_override(name, value, group="placement")
    return conf
