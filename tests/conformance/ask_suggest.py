# SPDX-License-Identifier: Apache-2.0
"""Whether Nova takes what ``config suggest`` writes, on any host."""

import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from nova_vfio_variant.check import engine, suggest
from nova_vfio_variant.check.deviations import Deviation
from nova_vfio_variant.conf import loader, located
from nova_vfio_variant.declaration import facts, verdicts
from nova_vfio_variant.host.observe import facts as host_facts
from nova_vfio_variant.host.observe import host_scan, scanner
from nova_vfio_variant.host.tree import opening, paths
from nova_vfio_variant.pci import alias_parse, parse
from tests.conformance.hosts import Host, hosts, observed
from tests.conformance.nova import TOP, Nova
from tests.conformance.question import Question, same

RECORDED = sorted((TOP / "etc/nova-vfio/hosts").glob("*.tar.gz"))


@functools.cache
def _recorded(path: pathlib.Path) -> host_scan.HostScan:
    return scanner.scan(opening.open_tree(str(path)))


def _drawn(host: Host) -> host_scan.HostScan:
    """The host, each function in an IOMMU group of its own."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, paths.DEVICES).mkdir(parents=True)
        empty = scanner.scan(opening.open_tree(folder))
    functions = tuple(
        dataclasses.replace(seen, iommu_group=number)
        for number, seen in enumerate(observed(host))
    )
    return dataclasses.replace(
        empty, functions=functions, modules=("vfio_pci",), problems=()
    )


def _told(scan: host_scan.HostScan) -> Host:
    """The host as Nova is told of it."""
    return [
        {
            "address": str(seen.address),
            "vendor_id": seen.vendor_id,
            "product_id": seen.product_id,
            "numa_node": seen.numa_node,
            "dev_type": seen.dev_type,
            **({"parent_addr": str(seen.physfn)} if seen.physfn else {}),
            **(
                {"sriov_totalvfs": seen.sriov_totalvfs}
                if seen.sriov_totalvfs
                else {}
            ),
        }
        for seen in scan.functions
    ]


def _checked(text: str, scan: host_scan.HostScan) -> facts.CheckInput:
    """Our own reading of the suggestion."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "suggested.conf")
        path.write_text(text, encoding="utf-8")
        conf = loader.load([str(path)])
        specs, found = parse.parse_device_specs(
            located.values(conf, "pci", "device_spec")
        )
        aliases, more = alias_parse.parse_aliases(
            located.values(conf, "pci", "alias"),
            in_placement=conf.filter_scheduler.pci_in_placement,
        )
        return facts.CheckInput.of(conf, specs, aliases, (*found, *more), scan)


def _compare(nova: Nova, case: Any) -> Iterable[Deviation]:
    scan = _recorded(case) if isinstance(case, pathlib.Path) else _drawn(case)
    text = suggest.text(verdicts.Verdicts(host_facts.gather(scan)))
    ours = _checked(text, scan)
    same([], [str(found) for found in engine.check(ours)], text)
    read = nova.ask("config", files=[text]).value
    specs, aliases = read["device_spec"], read["alias"]
    host = _told(scan)
    answers = nova.ask_all(
        [
            ("match", {"specs": specs, "host": host}),
            ("alias", {"values": aliases}),
            (
                "track",
                {
                    "specs": specs,
                    "host": host,
                    "steps": [{"do": "publish"}],
                    "report_in_placement": True,
                },
            ),
        ]
    )
    same([], [one.message for one in answers if one.error], text)
    published = answers[2].value["steps"][0]
    same(None, published.get("error"), text)
    won = [
        one["address"]
        for one, spec in zip(host, answers[0].value["won"], strict=True)
        if spec is not None
    ]
    same(won, [str(seen.address) for seen, _ in ours.winners], text)
    return ()


QUESTIONS = (
    Question(
        "what is suggested for a host",
        1,
        st.one_of(hosts(), hosts(), hosts(), st.sampled_from(RECORDED)),
        _compare,
    ),
)
