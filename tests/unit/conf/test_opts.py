# SPDX-License-Identifier: Apache-2.0
"""The options are listed once each, with Nova's names."""

from oslo_config import cfg

from nova_vfio_variant.conf import loader, opts
from tests import base


def listed_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [
        (group if isinstance(group, str) else group.name, listed)
        for group, listed in opts.list_opts()
    ]


class Opts(base.TestCase):
    def test_every_option_is_listed_once(self) -> None:
        seen = [
            (group, opt.dest)
            for group, listed in listed_opts()
            for opt in listed
        ]
        self.assertEqual(len(seen), len(set(seen)))
        self.assertIn(("vfio", "host_spec"), seen)
        self.assertIn(("placement", "valid_interfaces"), seen)

    def test_every_option_of_ours_is_explained(self) -> None:
        for group, listed in listed_opts():
            if group in {"placement", "database"}:
                continue
            for opt in listed:
                self.assertTrue(opt.help, opt.name)

    def test_whatever_is_loaded_is_listed(self) -> None:
        listed = {
            (group, opt.dest)
            for group, found in listed_opts()
            for opt in found
        }
        # All but what oslo.config brings itself.
        listed.add(("DEFAULT", "config_source"))
        self.assertEqual(set(), set(loader.load([]).registered) - listed)
