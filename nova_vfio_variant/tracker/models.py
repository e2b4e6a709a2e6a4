# SPDX-License-Identifier: Apache-2.0
"""The store's tables."""

from __future__ import annotations

import sqlalchemy as sa

#: The last step in ``migrations/versions``.
HEAD = "0007"

METADATA = sa.MetaData()

#: In SQLite only a column of type INTEGER is the row's own number.
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: One row a tracked device. ``id`` is the address as a number
#: (``device.number``), ``mark`` stands for what was last wanted
#: (``properties.mark``); traits, tags, extra_info, pending and identity are
#: JSON.
devices = sa.Table(
    "devices",
    METADATA,
    sa.Column("id", NUMBER, primary_key=True, autoincrement=False),
    sa.Column("mark", sa.String(64), nullable=False),
    sa.Column("address", sa.String(16), nullable=False, unique=True),
    sa.Column("vendor_id", sa.String(4), nullable=False),
    sa.Column("product_id", sa.String(4), nullable=False),
    sa.Column("dev_type", sa.String(8), nullable=False),
    sa.Column("numa_node", sa.Integer),
    sa.Column("parent_addr", sa.String(16), index=True),
    sa.Column("resource_class", sa.String(255), nullable=False),
    sa.Column("traits", sa.Text, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),
    sa.Column("status", sa.String(11), nullable=False),
    sa.Column("instance_uuid", sa.String(36), index=True),
    sa.Column("request_id", sa.String(36)),
    sa.Column("alias_name", sa.String(256)),
    sa.Column("extra_info", sa.Text, nullable=False),
    sa.Column("pending", sa.Text),
    sa.Column("identity", sa.Text),
)

#: One row: how often anything was written.
generation = sa.Table(
    "generation",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("value", sa.BigInteger, nullable=False),
)

#: Facts about the store as a whole.
meta = sa.Table(
    "meta",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

#: What we remember of the resource providers that we made.
providers = sa.Table(
    "providers",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("generation", sa.BigInteger),
    sa.Column("fingerprint", sa.String(255)),
)

#: Functions that nobody gets, tracked or not, in the boot of the host in which
#: that came about.
quarantine = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("id", NUMBER, primary_key=True, autoincrement=False),
    sa.Column("address", sa.String(16), nullable=False, unique=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("boot", sa.String(36), nullable=False, server_default=""),
)

#: Obstacles that somebody overruled, each for the function (``identity`` is
#: JSON) that it was said of.
allowances = sa.Table(
    "allowances",
    METADATA,
    sa.Column("address", sa.String(16), primary_key=True),
    sa.Column("code", sa.String(16), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("since", sa.String(32), nullable=False),
)

#: How many of the units that a provider has reserved are ours. Where a write
#: of them was begun and not ended: what they then are, the provider's
#: generation before it, and all that is reserved before and after it.
reserved = sa.Table(
    "reserved",
    METADATA,
    sa.Column("provider", sa.String(200), primary_key=True),
    sa.Column("resource_class", sa.String(255), primary_key=True),
    sa.Column("units", sa.Integer, nullable=False),
    sa.Column("intended", sa.Integer),
    sa.Column("generation", sa.BigInteger),
    sa.Column("before", sa.Integer),
    sa.Column("after", sa.Integer),
)

#: The types of vGPU that a card can have, as it told when it was emptier: the
#: lists in sysfs shrink. ``card`` is the PF's address, ``identity`` is JSON.
vgpu_types = sa.Table(
    "vgpu_types",
    METADATA,
    sa.Column("card", sa.String(16), primary_key=True),
    sa.Column("type_id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("framebuffer_mib", sa.Integer),
    sa.Column("identity", sa.Text, nullable=False),
)

#: The vGPUs that we made, each for the function (``identity`` is JSON) that it
#: was made on. ``origin`` is ``declared`` or ``claim``; ``assignment`` tells
#: one owner of an address from the next.
vgpus = sa.Table(
    "vgpus",
    METADATA,
    sa.Column("address", sa.String(16), primary_key=True),
    sa.Column("type_id", sa.String(16), nullable=False),
    sa.Column("origin", sa.String(8), nullable=False),
    sa.Column("instance_uuid", sa.String(36), index=True),
    sa.Column("assignment", sa.String(36), nullable=False),
    sa.Column("since", sa.String(32), nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
)

#: How starts of guests went, as who runs them said: once an assignment, each
#: on the function (``identity`` is JSON) that it had. NULL is one of an older
#: version's, on a function that nobody tracked since.
vgpu_reports = sa.Table(
    "vgpu_reports",
    METADATA,
    sa.Column("address", sa.String(16), primary_key=True),
    sa.Column("assignment", sa.String(64), primary_key=True),
    sa.Column("instance_uuid", sa.String(36)),
    sa.Column("ok", sa.Boolean, nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("identity", sa.Text),
)

#: The mediated devices that we made. ``kind`` is ``PARENT/TYPE``,
#: ``attributes`` a JSON list of ``NAME=VALUE``, ``identity`` is JSON where the
#: parent is a PCI function; ``assignment`` tells one owner of a UUID from the
#: next.
mdevs = sa.Table(
    "mdevs",
    METADATA,
    sa.Column("uuid", sa.String(36), primary_key=True),
    sa.Column("kind", sa.String(511), nullable=False),
    sa.Column("instance_uuid", sa.String(36), index=True),
    sa.Column("assignment", sa.String(36), nullable=False),
    sa.Column("since", sa.String(32), nullable=False),
    sa.Column("attributes", sa.Text, nullable=False),
    sa.Column("identity", sa.Text),
)

#: Where the claim of each instance is in its life, the first row that is
#: written of one and the last that goes. ``assignment`` tells it from the
#: instance's next; ``asked`` is JSON, and NULL where an older version made it;
#: ``since`` is empty there.
claims = sa.Table(
    "claims",
    METADATA,
    sa.Column("instance_uuid", sa.String(36), primary_key=True),
    sa.Column("assignment", sa.String(36), nullable=False),
    sa.Column("state", sa.String(9), nullable=False),
    sa.Column("asked", sa.Text),
    sa.Column("since", sa.String(32), nullable=False),
)

#: What operators call devices, each for the function (``identity`` is JSON)
#: that it was said of.
names = sa.Table(
    "names",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("address", sa.String(16), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("since", sa.String(32), nullable=False),
)

#: Functions of which no new claim is made; of a PF, nor of its VFs.
cordons = sa.Table(
    "cordons",
    METADATA,
    sa.Column("address", sa.String(16), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("since", sa.String(32), nullable=False),
)
