# SPDX-License-Identifier: Apache-2.0
"""Lines of nova.conf for the VFs of a :func:`.check_host.card`."""

#: The first of them.
VF = "0000:25:00.4"
IDS = '"vendor_id": "8086", "product_id": "10ca"'
SPEC = f"device_spec = {{ {IDS} }}"
ALIAS = f'alias = {{ "name": "nic", {IDS}, "device_type": "type-VF" }}'
#: With a resource class, by which the alias takes them.
CLASS_SPEC = f'device_spec = {{ {IDS}, "resource_class": "NIC" }}'
CLASS_ALIAS = 'alias = { "name": "nic", "resource_class": "NIC" }'
