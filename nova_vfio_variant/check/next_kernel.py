# SPDX-License-Identifier: Apache-2.0
"""Rules about a kernel that is installed and doesn't run yet."""

from __future__ import annotations

import collections
import typing as ty

from nova_vfio_variant import finding
from nova_vfio_variant.check import codes
from nova_vfio_variant.declaration import facts
from nova_vfio_variant.host.decide import host_spec
from nova_vfio_variant.host.observe import drivers, host_scan, kernels
from nova_vfio_variant.pci import function as host_function

_VFIO_PCI = "vfio_pci"


def variant_drivers(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """The VFIO driver of a named function is another one there.

    Which one a kernel has for a function its ``modules.alias`` says, by the
    rule of libvirt (see :func:`drivers.best_variant`).
    """
    kernel, scan = given.next_kernel, given.scan
    if kernel is None or scan is None:
        return
    groups: dict[
        tuple[str | None, str | None], list[host_function.PciFunction]
    ] = collections.defaultdict(list)
    for function in _named(given):
        has_line = _variant(function, scan.vfio_aliases)
        bound = function.variant_driver
        now = has_line if bound is None else _module(bound)
        then = _variant(function, kernel.aliases)
        if now != then and (has_line, then) != (None, None):
            groups[now, then].append(function)
    for (now, then), functions in groups.items():
        told = facts.named(functions)
        if now is None:
            yield finding.Finding(
                codes.NEXT_KERNEL_GAINS_VARIANT,
                f"kernel {kernel.release} has the variant driver {then} for"
                f" {told}, and the kernel {_running(scan)} none",
                subject=then,
            )
            continue
        instead = "only vfio-pci" if then is None else f"{then} in place of it"
        yield finding.Finding(
            codes.NEXT_KERNEL_LACKS_VARIANT,
            f"the variant driver {now} of {told} is not in kernel"
            f" {kernel.release}, which has {instead}",
            subject=now,
            hint=_mend(codes.NEXT_KERNEL_LACKS_VARIANT, kernel),
        )


def modules(given: facts.CheckInput) -> ty.Iterator[finding.Finding]:
    """What is needed here, and is neither a module there nor built in."""
    kernel, scan = given.next_kernel, given.scan
    if kernel is None or scan is None:
        return
    if kernel.modules is None:
        yield finding.Finding(
            codes.NEXT_KERNEL_MODULES_UNSEEN,
            f"which modules kernel {kernel.release} has can't be seen: there"
            f" is no lib/modules/{kernel.release}/modules.dep",
            subject=kernel.release,
            hint=_mend(codes.NEXT_KERNEL_MODULES_UNSEEN, kernel),
        )
        return
    for module, why in sorted(_needed(given, scan).items()):
        if module not in kernel.modules:
            yield finding.Finding(
                codes.NEXT_KERNEL_LACKS_MODULE,
                f"kernel {kernel.release} has no module {module}, {why}",
                subject=module,
                hint=_mend(codes.NEXT_KERNEL_LACKS_MODULE, kernel),
            )


def _needed(
    given: facts.CheckInput, scan: host_scan.HostScan
) -> dict[str, str]:
    """Modules, with ``_`` for ``-``, and what each is needed for."""
    named = _named(given)
    pfs = {function.physfn for function in named}
    of_driver: dict[str, list[host_function.PciFunction]] = (
        collections.defaultdict(list)
    )
    for function in scan.functions:
        if function in named or function.address in pfs:
            module = _module_of(scan, function.driver)
            if module is not None:
                of_driver[module].append(function)
    told = {_module(module) for _, module in scan.vfio_aliases}
    needed = {
        module: f"the driver of {facts.named(functions)}"
        for module, functions in of_driver.items()
        if module not in told
    }
    for spec in host_spec.parse_host_specs(given.host_specs)[0]:
        if spec.driver not in {None, "variant", "host"}:
            needed[_module(str(spec.driver))] = (
                f"which host_spec at {spec.location} asks for"
            )
    if named:
        needed.setdefault(_VFIO_PCI, "without which no guest gets a device")
    return needed


def _named(given: facts.CheckInput) -> list[host_function.PciFunction]:
    """The functions that an entry of ours or of Nova's names."""
    specs, _ = host_spec.parse_host_specs(given.host_specs)
    return [
        function
        for function in given.functions
        if function.address in given.spec_of
        or any(spec.selects(function) for spec in specs)
    ]


def _variant(
    function: host_function.PciFunction,
    aliases: ty.Iterable[tuple[str, str]],
) -> str | None:
    found = drivers.best_variant(function.modalias or "", aliases)
    module = None if found is None else _module(found)
    return None if module == _VFIO_PCI else module


def _module_of(scan: host_scan.HostScan, driver: str | None) -> str | None:
    """The module of a driver; None where it is built in, or isn't known."""
    if driver is None:
        return None
    link = scan.tree.readlink(f"sys/bus/pci/drivers/{driver}/module")
    if link is not None:
        return _module(link.rpartition("/")[2])
    name = _module(driver)
    here = drivers.loadable(scan.tree, scan.kernel_release)
    return name if here is not None and name in here else None


def _module(name: str) -> str:
    return name.replace("-", "_")


def _mend(code: finding.Code, kernel: kernels.Kernel) -> str:
    return code.mend.replace("RELEASE", kernel.release)


def _running(scan: host_scan.HostScan) -> str:
    return scan.kernel_release or "that runs"


RULES: tuple[facts.Rule, ...] = (variant_drivers, modules)
