# SPDX-License-Identifier: Apache-2.0
"""What an operator should know before a new version: ``upgrade check``."""

from __future__ import annotations

import collections.abc
import functools
import re
import typing as ty

from oslo_upgradecheck import upgradecheck

from nova_vfio_variant import exception, source
from nova_vfio_variant.check import text
from nova_vfio_variant.host.decide import refusal
from nova_vfio_variant.host.tree import paths
from nova_vfio_variant.node import placement_side, tracked_devices
from nova_vfio_variant.placement import rest

if ty.TYPE_CHECKING:
    from nova_vfio_variant.host.tree import host_tree
    from nova_vfio_variant.node import context

#: Linux with variant drivers (commit cc6711b0bf36).
KERNEL = (5, 16)
#: Linux with ``vfio-dev/``, by which libvirt knows a variant driver.
KERNEL_VFIO_DEV = (6, 1)
#: libvirt that leaves a device on a variant driver with ``managed='no'``.
LIBVIRT = (9, 7, 0)
#: libvirt that chooses a variant driver with ``managed='yes'``; what Nova
#: asks for where a spec has live_migratable
#: (MIN_VFIO_PCI_VARIANT_LIBVIRT_VERSION of nova.virt.libvirt.driver).
LIBVIRT_CHOOSES = (10, 0, 0)

#: Where distributions keep shared libraries.
_LIBRARIES = ("usr/lib64", "usr/lib")
_MULTIARCH = re.compile(r"[a-z0-9_]+-linux-gnu\w*")
#: libvirt writes 11.3.0 as 0.11003.0 (its meson.build).
_LIBVIRT_SO = re.compile(r"libvirt\.so\.0\.(\d{1,6})\.(\d{1,6})")

_NVIDIA = "10de"

_SUCCESS = upgradecheck.Code.SUCCESS
_WARNING = upgradecheck.Code.WARNING
_FAILURE = upgradecheck.Code.FAILURE
_Result = upgradecheck.Result
_Check = collections.abc.Callable[["Checks"], _Result]


def _fails(check: _Check) -> _Check:
    """A check in which an error of ours is its result, not its end."""

    @functools.wraps(check)
    def checked(self: Checks) -> _Result:
        try:
            return check(self)
        except exception.ConfigError as error:
            return _Result(
                _FAILURE,
                "; ".join(
                    [
                        error.message,
                        *(str(problem) for problem in error.findings),
                    ]
                ),
            )
        except exception.StoreOutdatedError as error:
            return _Result(_WARNING, str(error))
        except exception.VfioVariantError as error:
            return _Result(_FAILURE, str(error))

    return checked


class Checks(upgradecheck.UpgradeCommands):
    """The checks, in the order of asking. None of them writes anything.

    :param on: the node that is looked at
    """

    def __init__(self, on: context.Context) -> None:
        self._context = on

    @_fails
    def store(self) -> _Result:
        """A newer version's database stops us; an older one is upgraded."""
        if not self._context.has_state:
            return _Result(_SUCCESS, "there is none yet")
        claims = tracked_devices.TrackedDevices(self._context).claims()
        return _Result(_SUCCESS, f"has this version, and {len(claims)} claims")

    @_fails
    def option_names(self) -> _Result:
        """Names of options that a later Nova drops."""
        old = [
            f"{found.location}: {found.message}"
            for found in text.deprecated_options(
                self._context.given(offline=True)
            )
        ]
        if old:
            return _Result(_WARNING, "; ".join(old))
        return _Result(_SUCCESS)

    @_fails
    def nvidia_managed(self) -> _Result:
        """NVIDIA VFs that libvirt would take off their variant driver.

        The upgrade section of Nova's spec on VFIO variant drivers asks for
        this review: such VFs are set up on the host beforehand.
        """
        found: collections.Counter[source.Location] = collections.Counter()
        for function, spec in self._context.observed.winners:
            if (
                function.vendor_id == _NVIDIA
                and function.physfn is not None
                and "managed" not in spec.keys
            ):
                found[spec.location] += 1
        if not found:
            return _Result(_SUCCESS)
        places = "; ".join(
            f"{place} names {count} of them"
            for place, count in sorted(found.items())
        )
        return _Result(
            _WARNING,
            f'NVIDIA VFs without "managed": libvirt detaches them from the'
            f' host\'s driver, as with "managed": "yes". On a VFIO variant'
            f' driver they need "managed": "no". {places}',
        )

    @_fails
    def claims(self) -> _Result:
        """Devices that somebody has and that no guest could be given now.

        They stay whose they are; nobody else gets them.
        """
        if not self._context.has_state:
            return _Result(_SUCCESS)
        found = []
        for device in tracked_devices.TrackedDevices(self._context).devices():
            if device.instance_uuid is None:
                continue
            answer = self._context.verdicts.at(
                device.address, device.instance_uuid
            )
            found += [
                f"instance {device.instance_uuid}: {refusal.line(obstacle)}"
                for obstacle in answer.blocking[:1]
            ]
        if found:
            return _Result(_WARNING, "; ".join(found))
        return _Result(_SUCCESS)

    @_fails
    def kernel(self) -> _Result:
        """Variant drivers, and the folder by which they are known."""
        scan = self._context.scan
        release = scan.kernel_release
        if any(
            self._context.tree.exists(
                f"{paths.DEVICES}/{one.address}/vfio-dev"
            )
            for one in scan.functions
            if one.vfio_driver
        ):
            # Distributions backport: what is seen counts more.
            return _Result(_SUCCESS, f"Linux {release} shows vfio-dev")
        version = _version(release)
        if version is None:
            return _Result(_WARNING, "which kernel runs could not be seen")
        if version < KERNEL:
            return _Result(
                _WARNING,
                f"Linux {release} has no VFIO variant drivers, which came"
                f" with {_dotted(KERNEL)}",
            )
        if version < KERNEL_VFIO_DEV:
            return _Result(
                _WARNING,
                f"Linux {release} may lack vfio-dev, which came with"
                f" {_dotted(KERNEL_VFIO_DEV)} and by which libvirt knows a"
                " variant driver",
            )
        return _Result(_SUCCESS, f"Linux {release}")

    @_fails
    def libvirt(self) -> _Result:
        """The version, as the name of its library tells it."""
        found = libvirt_version(self._context.tree)
        if found is None:
            return _Result(_SUCCESS, "this host has none")
        shown = _dotted(found)
        if found < LIBVIRT:
            return _Result(
                _WARNING,
                f"libvirt {shown} refuses devices on a variant driver, which"
                f" {_dotted(LIBVIRT)} takes with managed='no'",
            )
        if found < LIBVIRT_CHOOSES:
            return _Result(
                _WARNING,
                f"libvirt {shown} takes no variant driver with"
                f" managed='yes', and with live_migratable nova-compute"
                f" doesn't start before {_dotted(LIBVIRT_CHOOSES)}",
            )
        return _Result(_SUCCESS, f"libvirt {shown}")

    @_fails
    def placement(self) -> _Result:
        """Whether Placement speaks the microversion that we use."""
        newest = placement_side.PlacementSide(self._context).microversion()
        if newest is None:
            which = self._context.conf.vfio.placement
            return _Result(
                _SUCCESS,
                "none is used"
                if which == "none"
                else "embedded, and not used yet",
            )
        wanted = rest.MICROVERSION
        spoken, needed = _version(newest), _version(wanted)
        if spoken is None or needed is None or spoken < needed:
            return _Result(
                _FAILURE,
                f"Placement speaks microversions up to {newest}, and {wanted}"
                " is needed",
            )
        return _Result(_SUCCESS, f"up to microversion {newest}")

    _upgrade_checks = (
        ("State database", store),
        ("Names of options", option_names),
        ("NVIDIA VFs without managed", nvidia_managed),
        ("Claimed and blocked", claims),
        ("Kernel", kernel),
        ("libvirt", libvirt),
        ("Placement", placement),
    )


def libvirt_version(
    tree: host_tree.HostTree,
) -> tuple[int, int, int] | None:
    """The version of the libvirt library on a host, None if it has none.

    Read from the library's name, so that no program is run and a recorded or
    mounted host is as good as a live one.
    """
    folders = [
        *_LIBRARIES,
        *(
            f"usr/lib/{name}"
            for name in tree.listdir("usr/lib")
            if _MULTIARCH.fullmatch(name)
        ),
    ]
    found = [
        (int(match[1]) // 1000, int(match[1]) % 1000, int(match[2]))
        for folder in folders
        for name in tree.listdir(folder)
        if (match := _LIBVIRT_SO.fullmatch(name))
    ]
    return max(found, default=None)


def _version(said: str | None) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", said or "")
    return None if match is None else (int(match[1]), int(match[2]))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
