# SPDX-License-Identifier: Apache-2.0
"""Elements that libvirt's own schemas take."""

import functools
import os

from lxml import etree

from tests.functional import cli_case

SCHEMAS = "NOVA_VFIO_LIBVIRT_SCHEMAS"
DOMAIN = """
<domain type="kvm">
  <name>guest</name>
  <memory unit="MiB">1024</memory>
  <os><type arch="x86_64" machine="q35">hvm</type></os>
  <devices>{}</devices>
</domain>
"""


@functools.cache
def schema(of: str = "domain") -> etree.RelaxNG:
    """Libvirt's own schema of a thing; there is no test without it."""
    folder = os.environ.get(SCHEMAS)
    assert folder, f"{SCHEMAS} is not set: see tools/fetch_libvirt_schemas.py"
    return etree.RelaxNG(file=os.path.join(folder, f"{of}.rng"))


class SchemaCase(cli_case.CliTestCase):
    """Commands that print what libvirt takes."""

    def assert_valid(self, hostdevs: str) -> list[etree._Element]:
        """Libvirt takes a whole domain with these devices."""
        domain = etree.fromstring(DOMAIN.format(hostdevs))
        self.assert_taken(domain)
        return list(domain.iterfind("devices/hostdev"))

    def assert_taken(
        self, element: etree._Element, of: str = "domain"
    ) -> None:
        """Libvirt takes an element as it is."""
        rng = schema(of)
        self.assertTrue(rng.validate(element), str(rng.error_log))
