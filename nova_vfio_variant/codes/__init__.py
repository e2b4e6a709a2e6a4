# SPDX-License-Identifier: Apache-2.0
"""Every kind of finding there is: one constant each, with a stable id.

``VFIO1xx`` is about text (:mod:`~nova_vfio_variant.codes.text` and, for what
a value says, :mod:`~nova_vfio_variant.codes.entries`), ``2xx``
about its meaning (:mod:`~nova_vfio_variant.codes.meaning`), ``3xx`` about
the host (:mod:`~nova_vfio_variant.codes.host`), ``4xx`` about what is
published or given to guests (:mod:`~nova_vfio_variant.codes.published`),
``5xx`` about preparing the host
(:mod:`~nova_vfio_variant.codes.preparation`) and what decides whether a
function may go to a guest (:mod:`~nova_vfio_variant.codes.assignability`). An id is never used again for
anything else, and never changes its meaning: operators silence and count by
it.

Use as ``codes.NOT_UTF8``.
"""

from nova_vfio_variant import finding
from nova_vfio_variant.codes.assignability import *  # noqa: F403 - see below
from nova_vfio_variant.codes.entries import *  # noqa: F403 - one name for all
from nova_vfio_variant.codes.host import *  # noqa: F403 - one name for all
from nova_vfio_variant.codes.meaning import *  # noqa: F403 - one name for all
from nova_vfio_variant.codes.preparation import *  # noqa: F403 - see above
from nova_vfio_variant.codes.published import *  # noqa: F403 - see above
from nova_vfio_variant.codes.text import *  # noqa: F403 - see above


def everything() -> dict[str, finding.Code]:
    """Each constant's name and its code, in the order of the ids."""
    named = {
        name: value
        for name, value in globals().items()
        if isinstance(value, finding.Code)
    }
    return dict(sorted(named.items(), key=lambda item: item[1].id))
