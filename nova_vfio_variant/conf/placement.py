# SPDX-License-Identifier: Apache-2.0
"""``[placement]``: how the Placement service is reached, as Nova has it.

The options are keystoneauth's, with the defaults that Nova gives them
(nova.conf.placement, nova.conf.utils of Nova 34.0.0), so that Nova's own
section works unchanged. keystoneauth is imported here alone, by those who
need the service.
"""

from __future__ import annotations

from keystoneauth1 import exceptions, loading
from oslo_config import cfg, types

GROUP = cfg.OptGroup(
    "placement",
    title="Placement service",
    help="How the Placement service is reached. Nova's own section works.",
)

#: Which microversion is spoken is for the code to know, not the operator.
_VERSION_OPTS = ("version", "min_version", "max_version")


def adapter_opts() -> list[cfg.Opt]:
    """The adapter options with Nova's defaults."""
    opts: list[cfg.Opt] = [
        opt
        for opt in loading.get_adapter_conf_options(include_deprecated=False)
        if opt.dest not in _VERSION_OPTS
    ]
    cfg.set_defaults(
        opts,
        valid_interfaces=["internal", "public"],
        service_type="placement",
    )
    return opts


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register session and adapter options, and which auth is meant."""
    # One of its own: a group carries its options and overrides with it.
    conf.register_group(cfg.OptGroup(GROUP.name, GROUP.title, GROUP.help))
    loading.register_session_conf_options(conf, GROUP.name)
    conf.register_opts(
        loading.get_auth_common_conf_options(), group=GROUP.name
    )
    conf.register_opts(adapter_opts(), group=GROUP.name)
    for name in _VERSION_OPTS:
        # keystoneauth reads them; as in Nova they can't be set.
        conf.register_opt(cfg.Opt(name, type=_Ignored()), group=GROUP.name)


def register_auth_type(conf: cfg.ConfigOpts) -> str:
    """Register the option that names the plug-in.

    :returns: the group that it stands in, as the plug-in's own options do
    """
    group: str = conf[GROUP.name].auth_section or GROUP.name
    conf.register_opts(
        [
            opt
            for opt in loading.get_auth_common_conf_options()
            if opt.dest == "auth_type"
        ],
        group=group,
    )
    return group


def register_auth_opts(conf: cfg.ConfigOpts, group: str) -> None:
    """Register the options of the plug-in, which keystoneauth does late.

    :param group: what :func:`register_auth_type` gave
    :raises LookupError: no such plug-in is installed
    """
    name = conf[group].auth_type
    if not name:
        return
    try:
        opts = loading.get_auth_plugin_conf_options(name)
    except (exceptions.NoMatchingPlugin, ImportError) as error:
        raise LookupError(
            f"there is no plug-in {name!r} for authentication here; there are"
            f" {', '.join(sorted(loading.get_available_plugin_names()))}"
        ) from error
    conf.register_opts(opts, group=group)


def list_opts() -> list[cfg.Opt]:
    """All that the sample shows, password authentication among them."""
    return [
        *loading.get_session_conf_options(),
        *loading.get_auth_common_conf_options(),
        *loading.get_auth_plugin_conf_options("password"),
        *adapter_opts(),
    ]


class _Ignored(types.ConfigType):
    """The type of an option that can't be set."""

    def __call__(self, value: object) -> None:
        """Whatever is written there is not taken."""

    def _formatter(self, value: object) -> str:
        return ""
