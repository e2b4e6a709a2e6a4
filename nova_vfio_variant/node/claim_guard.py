# SPDX-License-Identifier: Apache-2.0
"""A claim that is given back where what it is for fails."""

from __future__ import annotations

import types
import typing as ty

from nova_vfio_variant import exception
from nova_vfio_variant.tracker import device as tracked

if ty.TYPE_CHECKING:
    from nova_vfio_variant.node import claims as node_claims

#: Makes the claim, or finds it.
Taking = ty.Callable[["node_claims.Claims"], tuple[tracked.Claim, ...]]


class ClaimGuard:
    """Gives a claim back when its block is left by an exception.

    Without one the claim stays: its guest has it. What can't be given back,
    as a guest that has come up holds it, is told in a note on the exception,
    and stays for ``reconcile``.

    :param claims: gives :class:`~nova_vfio_variant.node.claims.Claims` that
        see the node as it is now
    :param instance_uuid: whose claim it is
    :param take: makes the claim, or finds it, when the block is entered
    """

    def __init__(
        self,
        claims: ty.Callable[[], node_claims.Claims],
        instance_uuid: str,
        take: Taking,
    ) -> None:
        self._new_claims = claims
        self._take = take
        self._armed = True
        self.instance_uuid = instance_uuid
        #: What the instance has; empty before the block is entered.
        self.claims: tuple[tracked.Claim, ...] = ()

    @property
    def assignment(self) -> str:
        """Tells the claim from the instance's next.

        :raises IndexError: the block wasn't entered
        """
        return self.claims[0].assignment

    def disarm(self) -> None:
        """Keep the claim, whatever happens from now on."""
        self._armed = False

    def started(self) -> None:
        """Say that the guest runs, and keep the claim from now on.

        :raises ClaimError: the claim is another one's by now
        """
        self.claims = self._new_claims().started(
            self.instance_uuid, self.assignment
        )
        self.disarm()

    def __enter__(self) -> ty.Self:
        self.claims = self._take(self._new_claims())
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: types.TracebackType | None,
    ) -> None:
        if error is None or not self._armed:
            return
        try:
            self._new_claims().release(
                self.instance_uuid, assignment=self.assignment
            )
        except exception.VfioVariantError as left:
            error.add_note(f"its claim is not given back: {left.message}")
