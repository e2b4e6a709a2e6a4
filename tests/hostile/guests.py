# SPDX-License-Identifier: Apache-2.0
"""Domains that libvirt, or whoever writes its XML, gives."""

import random
import typing as ty

from lxml import etree

from nova_vfio_variant.guest import libvirt
from nova_vfio_variant.pci import address
from nova_vfio_variant.tracker import device as tracked
from tests.hostile import kind, mutations

_MDEV = "4b20d080-1b54-4048-85b3-a6a62d165c01"
_DOMAIN: ty.Final = f"""\
<domain type='kvm'>
  <name>instance-00000001</name>
  <devices>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <driver name='vfio'/>
      <source>
        <address domain='0x0000' bus='0x25' slot='0x00' function='0x4'/>
      </source>
      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>
    </hostdev>
    <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci'>
      <source><address uuid='{_MDEV}'/></source>
    </hostdev>
  </devices>
</domain>
"""


class Domains(kind.Kind):
    """A domain whose devices move to another host."""

    name = "domain XML"
    share = 8

    def make(self, rng: random.Random) -> kind.Input:
        """One with mistakes in its text, or in an attribute."""
        way = rng.random()
        if way < 0.5:
            return kind.Input(mutations.text(rng, _DOMAIN))
        domain = etree.fromstring(_DOMAIN)
        for _ in range(rng.choice((1, 2, 5))):
            element = rng.choice(list(domain.iter()))
            if element.attrib and rng.random() < 0.8:
                value = mutations.text(rng, rng.choice(("0x25", "0", _MDEV)))
                name = rng.choice(list(element.attrib))
                try:
                    element.set(name, value)
                except ValueError:
                    del element.attrib[name]
            elif (above := element.getparent()) is not None:
                above.remove(element)
        return kind.Input(etree.tostring(domain, encoding="unicode"))

    def read(self, given: ty.Any, place: kind.Place) -> bool:
        """Rewrite it, if it is XML at all."""
        try:
            domain = etree.fromstring(given.encode(errors="replace"))
        except etree.XMLSyntaxError:
            return False
        parse = address.PciAddress.parse
        there = tracked.Device(
            parse("0000:81:00.7"), "8086", "10ca", "type-VF", 0, None, "X"
        )
        moved = libvirt.rewrite_for_migration(
            domain, {parse("0000:25:00.4"): there}, {_MDEV: _MDEV[::-1]}
        )
        libvirt.to_text(moved)
        return True


KINDS: ty.Final[tuple[kind.Kind, ...]] = (Domains(),)
