# SPDX-License-Identifier: Apache-2.0
"""Rules about what ``[vfio] host_spec`` declares of this host.

They stop nobody: commands that prepare the host ask the same again, and
look at what is in use as well.
"""

from __future__ import annotations

import dataclasses
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.decide import apply, host_spec
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import use as uses

#: How many differences a sentence names before it counts the others.
_NAMED = 2


def unlike_declared(
    given: facts.CheckInput,
) -> ty.Iterator[finding.Finding]:
    """Entries that don't fit the host, and a host that is not yet so."""
    if given.scan is None or not given.host_specs:
        return
    specs, found = host_spec.parse_host_specs(given.host_specs)
    if found:
        return  # told already, with the text's other faults
    decision = apply.decision(
        specs,
        dataclasses.replace(
            _without_open_files(given.host_facts), records=given.records
        ),
    )
    for problem in decision.findings:
        yield dataclasses.replace(
            problem,
            code=codes.HOST_SPEC_UNFIT,
            message=f"{problem.message} ({problem.code.id})",
        )
    differ = [
        f"{change.subject}: {change.steps[0].reason}"
        for change in decision.plan.changes
    ]
    differ += [
        f"{refusal.subject}: {refusal.message} ({refusal.code.id})"
        for refusal in decision.refusals
    ]
    if differ:
        more = len(differ) - _NAMED
        yield finding.Finding(
            codes.NOT_AS_DECLARED,
            "; ".join(differ[:_NAMED])
            + (f"; and {more} more" if more > 0 else ""),
            subject="[vfio] host_spec",
            hint=codes.NOT_AS_DECLARED.mend,
        )


def _without_open_files(now: host_facts.HostFacts) -> host_facts.HostFacts:
    """Who has a device open is nothing that differs from host_spec."""
    momentary = (uses.Kind.OPEN, uses.Kind.UNKNOWN)
    return dataclasses.replace(
        now,
        unseen=(),
        in_use={
            at: tuple(use for use in found if use.kind not in momentary)
            for at, found in now.in_use.items()
        },
    )


RULES: tuple[facts.Rule, ...] = (unlike_declared,)
