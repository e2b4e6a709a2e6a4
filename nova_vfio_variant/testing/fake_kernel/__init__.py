# SPDX-License-Identifier: Apache-2.0
"""What a Linux 6.12 answers to writes to its PCI functions, on plain files.

:class:`~nova_vfio_variant.testing.fake_host.FakeHost` is the way in.
"""
