# SPDX-License-Identifier: Apache-2.0
"""What is asked of the configuration before a service is asked."""

from oslo_config import cfg

from nova_vfio_variant import exception
from nova_vfio_variant.conf import nova as nova_options
from nova_vfio_variant.placement import service
from tests import base
from tests.unit.placement.service_conf import service_conf


class ServiceTest(base.TestCase):
    def test_an_answer_has_a_deadline_even_if_nobody_set_one(self) -> None:
        told = {"auth_type": "admin_token", "endpoint": "http://x.invalid"}
        for timeout, becomes in ((None, service.TIMEOUT), (5, 5)):
            found = service.connect(
                service_conf(**told, token="t", timeout=timeout)
            )
            self.assertEqual(becomes, found._cloud.session.timeout)

    def test_without_a_way_to_authenticate_it_says_so(self) -> None:
        error = self.assertRaises(
            exception.PlacementRefused, service.connect, service_conf()
        )
        self.assertIn("auth_type", str(error))

    def test_an_unknown_way_to_authenticate_is_named(self) -> None:
        error = self.assertRaises(
            exception.PlacementRefused,
            service.connect,
            service_conf(auth_type="pasword"),
        )
        self.assertIn("pasword", str(error))

    def test_a_password_without_its_url_says_what_is_missing(self) -> None:
        error = self.assertRaises(
            exception.PlacementRefused,
            service.connect,
            service_conf(auth_type="password"),
        )
        self.assertIn("auth_url", str(error))

    def test_publishing_is_refused_where_nova_does_not_publish(self) -> None:
        conf = cfg.ConfigOpts()
        conf.register_opts(nova_options.PCI_OPTS, group="pci")
        conf([], default_config_files=[], default_config_dirs=[])
        error = self.assertRaises(
            exception.InventoryRefused, service.refuse_unless_reported, conf
        )
        self.assertIn("report_in_placement", str(error))
        self.assertIn("refuse to start", str(error))

        conf.set_override("report_in_placement", True, group="pci")
        service.refuse_unless_reported(conf)
