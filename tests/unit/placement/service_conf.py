# SPDX-License-Identifier: Apache-2.0
"""The options of [placement], with a way to authenticate."""

import typing as ty

from keystoneauth1 import loading
from oslo_config import cfg

from nova_vfio_variant.conf import placement as placement_options


def service_conf(**values: ty.Any) -> cfg.ConfigOpts:
    """As if a file said so."""
    conf = cfg.ConfigOpts()
    placement_options.register_opts(conf)
    conf.register_opts(
        loading.get_auth_plugin_conf_options(
            loading.get_plugin_loader("admin_token")
        ),
        group="placement",
    )
    conf([], default_config_files=[], default_config_dirs=[])
    for name, value in values.items():
        conf.set_override(name, value, group="placement")
    return conf
