# SPDX-License-Identifier: Apache-2.0
"""For each kind of finding a file, a host and a store that have it.

The name of a case is the name of its code, with a word behind it where there
is more than one.
"""

import dataclasses
import typing as ty

from tests import numa_files
from tests.functional import check_host
from tests.functional.check_host import Function, card

UUID = "7f9e6d2e-0000-4000-8000-00000000000"
VF = '"vendor_id": "8086", "product_id": "10ca"'
MOVES = f'{{ {VF}, "managed": "no", "live_migratable": "yes" }}'
_MLX5 = "mlx5_vfio_pci"
PUBLISHED = "report_in_placement = true\n"


@dataclasses.dataclass(frozen=True)
class Case:
    """What is checked.

    :param conf: text of nova.conf; bytes to write as they are; None for no
        file at all
    :param functions: of the host; None to leave the host out
    :param files: of the host, further ones
    :param links: of the host, further ones
    :param environment: variables
    :param claimed: address -> instance that has it in the store
    :param was: address -> vendor and product id that the store has of it
    :param cordoned: address -> why
    :param uncordoned: address -> why the one before it was cordoned
    :param orphans: addresses of VFs whose PF is not known
    :param kernel: the one that may be booted next
    :param named: whether the file is named to the command
    :param unreachable: why Placement can't be asked
    :param unseen: why the host can't be looked at
    :param published: provider -> (resource class, total, traits, consumers)
    """

    conf: str | bytes | None
    functions: ty.Sequence[Function] | None = None
    files: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    links: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    environment: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    claimed: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    was: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    cordoned: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    uncordoned: ty.Mapping[str, str] = dataclasses.field(default_factory=dict)
    published: (
        ty.Mapping[str, tuple[str, int, tuple[str, ...], dict[str, int]]]
        | None
    ) = None
    unreachable: str | None = None
    unseen: str | None = None
    orphans: ty.Collection[str] = ()
    kernel: str | None = None
    named: bool = True


def specs(*values: str, before: str = "") -> str:
    """A [pci] section with these device_spec values."""
    return f"[DEFAULT]\nhost = n1\n\n[pci]\n{before}" + "".join(
        f"device_spec = {value}\n" for value in values
    )


def alias(value: str, *more: str, before: str = "") -> str:
    """A file with one entry that matches the VFs, and these aliases."""
    return specs(f"{{ {VF} }}", before=before) + "".join(
        f"alias = {one}\n" for one in (value, *more)
    )


def kernel(release: str, *variants: str, modules: str = "") -> dict[str, str]:
    """Files of an installed kernel with variant drivers for the VFs.

    :param modules: the others that it has; without any none is listed
    """
    folder = f"lib/modules/{release}"
    lines = "".join(
        f"alias vfio_pci:v00008086d000010CAsv*sd*bc*sc*i* {module}\n"
        for module in variants
    )
    files = {
        f"{folder}/modules.alias": (
            f"{lines}alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
        )
    }
    if modules:
        files[f"{folder}/modules.dep"] = "".join(
            f"kernel/drivers/{name}.ko.xz:\n"
            for name in (*modules.split(), *variants)
        )
    return files


def moving(
    pf_driver: str,
    driver: str,
    pf_files: ty.Mapping[str, str] | None = None,
) -> list[Function]:
    """A card with a VF on a variant driver."""
    pf, *vfs = card(vfs=1, driver=driver)
    files = {**pf.files, **(pf_files or {})}
    return [dataclasses.replace(pf, driver=pf_driver, files=files), *vfs]


def qat(state: str) -> list[Function]:
    """A QAT device with a VF on its variant driver."""
    return moving("4xxx", "qat_vfio_pci", {"qat/state": state})


def nic() -> list[Function]:
    """A network card with VFs, whose PF is up."""
    pf, *vfs = card(driver="igbvf")
    files = {**pf.files, "net/eth3/flags": "0x1003"}
    return [dataclasses.replace(pf, netdev="eth3", files=files), *vfs]


TEXT = {
    "HOST_SPEC_VALUE": Case(
        '[vfio]\nhost_spec = { "address": "0000:25:00.0",\n'
        '    "num_vfs": "all" }\n'
    ),
    "NO_FILE": Case("", named=False),
    "FILE_UNREADABLE": Case(None),
    "NOT_UTF8": Case(b"[DEFAULT]\n# caf\xe9\n"),
    "FILE_SYNTAX": Case("[pci]\ndevice_spec\n"),
    "BAD_VALUE": Case("[pci]\nreport_in_placement = maybe\n"),
    "BAD_VALUE-choice": Case("[vfio]\nplacement = embeded\n"),
    "UNKNOWN_KEY": Case(
        specs('{ "address": "0000:25:00.4", "mangaed": "no" }')
    ),
    "ENVIRONMENT_VALUE": Case(
        "[pci]\n", environment={"OS_PCI__DEVICE_SPEC": "{}"}
    ),
    "INTERPOLATION": Case(specs('{ "address": "$x" }')),
    "NOT_JSON": Case(specs('{ "vendor_id": "10de" "product_id": "25b6" }')),
    "NOT_JSON-empty": Case(specs("")),
    "NOT_JSON-word": Case(specs('"x"')),
    "NOT_JSON-words": Case(specs("just text, no object")),
    "NOT_JSON-indented": Case(
        specs(f'{{ {VF} }}\n  alias = {{ "name": "a", {VF} }}')
    ),
    "INLINE_COMMENT-indented": Case(specs(f"{{ {VF} }}\n  # the new cards")),
    "SINGLE_QUOTES": Case(specs("{ 'vendor_id': '10de' }")),
    "UNQUOTED_KEY": Case(
        specs('{ "address": "0000:25:00.4", managed: "no" }')
    ),
    "UNQUOTED_VALUE": Case(
        specs('{ "address": "0000:25:00.4", "managed": no }')
    ),
    "TRAILING_COMMA": Case(specs('{ "vendor_id": "10de", }')),
    "INLINE_COMMENT": Case(specs('{ "vendor_id": "10de" }  # the new cards')),
    "DUPLICATE_KEY": Case(
        specs('{ "product_id": "25b6", "product_id": "25b7" }')
    ),
    "WRONG_TYPE": Case(specs('{ "vendor_id": 8086 }')),
    "NOT_BOOLEAN": Case(
        specs('{ "address": "0000:25:00.4",\n    "managed": "maybe" }')
    ),
    "BAD_ID": Case(specs('{ "vendor_id": "nvidia" }')),
    "ODD_ID": Case(specs('{ "vendor_id": "0x10de" }')),
    "BAD_ADDRESS": Case(specs('{ "address": "0000:25:20.4" }')),
    "BAD_REGEX": Case(specs('{ "address": { "bus": "2[5" } }')),
    "SLOW_REGEX": Case(specs('{ "address": { "bus": "((((2*)*)*)*)*x" } }')),
    "LARGE_REGEX": Case(specs('{ "address": { "bus": "(2{300}){300}" } }')),
    "LARGE_REGEX-long": Case(
        specs(f'{{ "address": {{ "bus": "{"2" * 513}" }} }}')
    ),
    "UNKNOWN_ADDRESS_KEY": Case(
        specs('{ "address": { "bus": "25", "func": "[4-7]" } }')
    ),
    "ADDRESS_AND_DEVNAME": Case(
        specs('{ "devname": "eth0", "address": "0000:25:00.0" }')
    ),
    "IGNORED_VALUE": Case(
        specs('{ "address": "0000:25:00.4", "managed": null }')
    ),
    "IGNORED_VALUE-address": Case(specs(f'{{ {VF}, "address": "" }}')),
    "ALIAS_WITHOUT_NAME": Case(alias(f"{{ {VF} }}")),
    "ALIAS_VALUE": Case(
        alias(f'{{ "name": "a", {VF}, "device_type": "VF" }}')
    ),
    "ALIAS_DIFFERS": Case(
        alias(
            f'{{ "name": "a", {VF}, "device_type": "type-VF" }}',
            f'{{ "name": "a", {VF}, "device_type": "type-PF" }}',
        )
    ),
    "ALIAS_DIFFERS-untyped": Case(
        alias(f'{{ "name": "a", {VF} }}', f'{{ "name": "a", {VF} }}')
    ),
    "ALIAS_DIFFERS-policy": Case(
        alias(
            f'{{ "name": "a", {VF}, "device_type": "type-VF" }}',
            f'{{ "name": "a", {VF}, "device_type": "type-VF",\n'
            '    "numa_policy": "required" }',
        )
    ),
    "ALIAS_REPEATED": Case(
        alias(
            f'{{ "name": "a", {VF}, "device_type": "type-VF" }}',
            f'{{ "name": "a", {VF}, "device_type": "type-VF" }}',
        )
        + "[filter_scheduler]\npci_in_placement = true\n"
    ),
    "ALIAS_WITHOUT_IDS": Case(alias('{ "name": "a" }')),
    "ALIAS_MATCHES_NOTHING": Case(
        alias(f'{{ "name": "a", {VF}, "capability_type": "pci" }}')
    ),
    # The example of Nova's documentation for live migration.
    "UNKNOWN_OPTION": Case(
        "[pci]\ndev_spec = {'vendor_id': '8086', 'product_id': '10ca',\n"
        "    'live_migratable': 'yes'}\n"
    ),
    "ELSEWHERE": Case(
        "[DEFAULT]\nconfig_source = central\n"
        "[central]\ndriver = remote_file\n"
        "uri = http://127.0.0.1:1/nova.conf\n"
    ),
    "UNKNOWN_OPTION-far": Case("[devices]\ncolour = green\n"),
    "UNKNOWN_OPTION-group": Case(
        '[DEFAULT]\nhost = n1\ndevice_spec = { "vendor_id": "10de" }\n'
    ),
    "UNKNOWN_OPTION-case": Case("[vfio]\nProvider-Layout = per_class\n"),
    "UNKNOWN_OPTION-near": Case(
        '[pic]\nalias = { "name": "a" }\n[devics]\nenabled_mdev_types = a\n'
    ),
    "UNKNOWN_OPTION-mdev": Case(
        "[devices]\nenabled_mdev_types = nvidia-35, NVIDIA-36\n"
        "[mdev_nvidia-35]\ndevice_adresses = 0000:84:00.0\n"
        "mdev_class = VGPU\ncolour = green\n"
        "[mdev_nvidia-36]\nmax_instances = 2\n"
        "[mdev_nvidia-350]\nmdev_class = VGPU\n"
        "[mdev_i915]\nmdev_class = VGPU\n"
    ),
    "DEPRECATED_OPTION-mdev": Case(
        "[devices]\nenabled_mdev_types = nvidia-35\n"
        "[vgpu_nvidia-35]\ndevice_addresses = 0000:84:00.0\n"
    ),
    "DEPRECATED_OPTION": Case(
        f"[DEFAULT]\npci_passthrough_whitelist: {{ {VF} }}\n"
    ),
}

MEANING = {
    "MATCHES_EVERYTHING": Case(specs('{ "address": "", "managed": "no" }')),
    "MATCHES_EVERYTHING-regex": Case(
        specs(
            '{ "vendor_id": "*", "address": { "bus": ".", "slot": "^.*$" } }'
        )
    ),
    "LOOSE_REGEX": Case(
        specs(f'{{ {VF}, "address": {{ "bus": "2", "function": "[4-7]" }} }}')
    ),
    "SHADOWED": Case(
        specs('{ "vendor_id": "8086" }', f'{{ {VF}, "trusted": "true" }}')
    ),
    "SHADOWED-host": Case(
        specs(
            f'{{ {VF}, "address": "*:25:*.*" }}',
            f'{{ {VF}, "address": "0000:25:00.0" }}',
        ),
        card(),
    ),
    "PARTLY_SHADOWED": Case(
        specs(f'{{ {VF}, "address": "0000:25:00.4" }}', f"{{ {VF} }}"),
        card(vfs=3),
    ),
    "DUPLICATE_SPEC": Case(
        specs(
            f'[{{ {VF}, "managed": "yes" }},\n  {{ {VF}, "managed": "no" }}]'
        )
    ),
    "POOL_SPLIT": Case(
        specs(
            f'{{ {VF}, "address": "0000:25:00.4", "managed": "no" }}',
            f'{{ {VF}, "address": "0000:25:00.5" }}',
        ),
        card(),
    ),
    "ONE_TIME_USE_UNPUBLISHED": Case(
        specs('{ "address": "0000:43:00.0", "one_time_use": "yes" }')
    ),
    "NETWORK_AND_MIGRATABLE": Case(
        specs(f'{{ {VF}, "physical_network": "p", "live_migratable": "yes" }}')
    ),
    # The same example of Nova's documentation without its host.
    "PERHAPS_MIXED": Case(
        specs(
            f'{{ {VF}, "address": "0000:25:00.4", "traits": "A" }}',
            f'{{ {VF}, "address": "0000:25:00.5", "resource_class": "B" }}',
        )
    ),
    "NETWORK_AND_MANAGED": Case(
        specs(f'{{ {VF}, "physical_network": "p", "managed": "no" }}')
    ),
    "NAME_CHANGES": Case(specs(f'{{ {VF}, "resource_class": "A16-16A" }}')),
    "NAME_TOO_LONG": Case(
        specs(f'{{ {VF}, "resource_class": "{"A" * 249}" }}')
    ),
    "STANDARD_TRAIT_CASE": Case(
        specs(f'{{ {VF}, "traits": "BIG,hw_gpu_api_vulkan" }}')
    ),
    "NOVA_NAMES_OTHERWISE": Case(
        alias(f'{{ "name": "a", {VF}, "traits": "BLUE, BIG" }}')
    ),
    "NOVA_NAMES_OTHERWISE-custom": Case(
        specs(f'{{ {VF}, "resource_class": "CUSTOM_a-b" }}')
    ),
    "WOULD_BE_REFUSED": Case(
        specs('{ "vendor_id": "8086", "address": "0000:25:00.0" }'), card()
    ),
    "WOULD_BE_REFUSED-layout": Case(
        specs(
            f'{{ {VF}, "address": "0000:25:00.4", "resource_class": "A" }}',
            f'{{ {VF}, "address": "0000:25:00.5", "resource_class": "B" }}',
            before=PUBLISHED,
        )
        + "[vfio]\nprovider_layout = per_class\n",
        card(),
    ),
    "ALIAS_UNSATISFIED": Case(
        alias('{ "name": "a", "vendor_id": "8086", "product_id": "10cb" }'),
        card(),
    ),
    "ALIAS_UNSATISFIED-type": Case(
        alias(f'{{ "name": "a", {VF}, "device_type": "type-PF" }}'), card()
    ),
    "ALIAS_UNSATISFIED-class": Case(
        alias(f'{{ "name": "a", {VF}, "resource_class": "A16_16A" }}'), card()
    ),
    "ALIAS_UNSATISFIED-none": Case(
        specs('{ "product_id": "10cb" }')
        + f'alias = {{ "name": "a", {VF} }}\n',
        card(),
    ),
    "ALIAS_UNSATISFIED-traits": Case(
        alias(f'{{ "name": "a", {VF}, "traits": "FAST" }}'), card()
    ),
    "ALIAS_UNSATISFIED-migratable": Case(
        alias(f'{{ "name": "a", {VF}, "live_migratable": "no" }}'), card()
    ),
    "ALIASES_ALONE": Case(
        f'[pci]\nalias = {{ "name": "a", {VF} }}\n'
        f'alias = {{ "name": "b", {VF} }}\n',
        card(),
    ),
    "ALIAS_ACROSS_NUMA": Case(
        alias(f'{{ "name": "a", {VF}, "numa_policy": "required" }}'),
        card(node=-1),
    ),
    "ALIAS_SOME_NODES": Case(
        alias(f'{{ "name": "a", {VF}, "numa_policy": "required" }}'),
        card(),
        numa_files.numa(0, 1),
    ),
    "ALIAS_SOME_NODES-socket": Case(
        alias(f'{{ "name": "a", {VF}, "numa_policy": "socket" }}'),
        [*card(), *card(0x26, 1, node=1)],
        numa_files.numa(0, 0, 1, 1),
    ),
    "ALIAS_SOME_NODES-untold": Case(
        alias(f'{{ "name": "a", {VF}, "numa_policy": "socket" }}'),
        card(),
        numa_files.numa(-1, -1),
    ),
    "ALIAS_TAKES_PF": Case(
        specs(
            f'{{ {VF}, "resource_class": "CUSTOM_X" }}',
            '{ "address": "0000:26:00.0", "resource_class": "CUSTOM_X",'
            ' "product_id": "10c9" }',
        )
        + 'alias = { "name": "a", "resource_class": "CUSTOM_X" }\n'
        "[filter_scheduler]\npci_in_placement = true\n",
        [*card(), *card(0x26, 0)],
    ),
    "POST_COPY": Case(
        specs(f'{{ {VF}, "live_migratable": "yes" }}')
        + "[libvirt]\nlive_migration_permit_post_copy = yes\n"
    ),
    "WIDE_TREE": Case(
        specs(f"{{ {VF} }}", before=PUBLISHED),
        [function for bus in range(0x21, 0x29) for function in card(bus, 1)],
    ),
    "PF_AND_VF_MATCHED": Case(
        specs('{ "address": "0000:25:00.0" }', before=PUBLISHED), card()
    ),
    "MIXED_RESOURCE_CLASSES": Case(
        # The example "Support for multiple types of VFs" of Nova's
        # documentation, on the host that it is about.
        specs(
            '{ "vendor_id": "10de", "product_id": "25b6",\n'
            '    "address": "0000:25:00.4",\n'
            '    "resource_class": "CUSTOM_A16_16A", "managed": "no" }',
            '{ "vendor_id": "10de", "product_id": "25b6",\n'
            '    "address": "0000:25:00.5",\n'
            '    "resource_class": "CUSTOM_A16_8A", "managed": "no" }',
            before=PUBLISHED,
        ),
        card(vf_ids="10de:25b6", pf_ids="10de:25b6"),
    ),
    "MIXED_TRAITS": Case(
        specs(
            f'{{ {VF}, "address": "0000:25:00.4", "traits": "FAST" }}',
            f'{{ {VF}, "address": "0000:25:00.5" }}',
            before=PUBLISHED,
        ),
        card(),
    ),
    "ONE_TIME_USE_ON_VF": Case(
        specs(f'{{ {VF}, "one_time_use": "no" }}', before=PUBLISHED), card()
    ),
    "DEVNAME_WITH_PLACEMENT": Case(
        specs('{ "devname": "eth0" }', before=PUBLISHED)
    ),
    "VF_WITHOUT_PARENT": Case(
        specs(f"{{ {VF} }}", before=PUBLISHED),
        card(),
        orphans=["0000:25:00.4"],
    ),
    "PROVIDER_NAME_TOO_LONG": Case(
        specs(f"{{ {VF} }}", before=PUBLISHED)
        + f"[vfio]\nprovider_root = {'n' * 190}\n",
        card(),
    ),
}

HOST = {
    "MATCHES_NOTHING": Case(
        specs('{ "vendor_id": "8086", "product_id": "10cb" }'), card()
    ),
    "MATCHES_NOTHING-bus": Case(
        specs(f'{{ {VF}, "address": {{ "bus": "24$" }} }}'), card()
    ),
    "IOMMU_OFF": Case(
        specs(f"{{ {VF} }}"),
        [
            dataclasses.replace(function, group=None)
            for function in card(driver="igbvf")
        ],
    ),
    "NEXT_KERNEL_LACKS_VARIANT": Case(
        specs(f'{{ {VF}, "managed": "no" }}'),
        card(driver="igbvf_vfio_pci"),
        kernel(check_host.RELEASE, "igbvf_vfio_pci")
        | kernel("6.13.0", modules="vfio_pci igb"),
        kernel="6.13.0",
    ),
    "NEXT_KERNEL_LACKS_VARIANT-another": Case(
        specs(f'{{ {VF}, "managed": "no" }}'),
        card(driver="igbvf_vfio_pci"),
        kernel(check_host.RELEASE, "igbvf_vfio_pci")
        | kernel("6.13.0", "other_vfio_pci", modules="vfio_pci igb"),
        kernel="6.13.0",
    ),
    "NEXT_KERNEL_GAINS_VARIANT": Case(
        specs(f'{{ {VF}, "managed": "no" }}'),
        card(),
        kernel("6.13.0", "igbvf_vfio_pci", modules="vfio_pci igb"),
        kernel="6.13.0",
    ),
    "NEXT_KERNEL_LACKS_MODULE": Case(
        specs(f'{{ {VF}, "managed": "no" }}')
        + '\n[vfio]\nhost_spec = { "address": "0000:25:00.4",'
        ' "driver": "vfio-pci" }\n',
        card(),
        kernel(check_host.RELEASE, modules="igb vfio-pci")
        | kernel("6.13.0", modules="vfio"),
        kernel="6.13.0",
    ),
    "NEXT_KERNEL_MODULES_UNSEEN": Case(
        specs(f'{{ {VF}, "managed": "no" }}'),
        card(),
        kernel("6.13.0"),
        kernel="6.13.0",
    ),
    "NO_IOMMU_GROUP": Case(
        specs(f'{{ {VF}, "managed": "no" }}'),
        [*card(), dataclasses.replace(card(vfs=3)[-1], group=None)],
    ),
    "NO_VFIO_MODULE": Case(
        specs(f"{{ {VF} }}"),
        card(driver="igbvf"),
        {
            "proc/modules": "igb 1 0 - Live 0x0\n",
            f"lib/modules/{check_host.RELEASE}/modules.alias": "",
        },
    ),
    "NOT_PREPARED": Case(
        specs(f'{{ {VF}, "managed": "no" }}'),
        [*card(driver="igbvf", vfs=6), *card(0x26, 1, driver=None)],
    ),
    "NOT_PREPARED-host": Case(
        specs('{ "address": "0000:25:00.0", "managed": "no" }'),
        [dataclasses.replace(nic()[0], vfs=0)],
    ),
    "VARIANT_LOST": Case(
        specs(f"{{ {VF} }}"), card(driver="igb_vfio_pci", vfs=1)
    ),
    "CARRIES_HOST": Case(
        specs('{ "product_id": "10c9" }'),
        [
            dataclasses.replace(card(0x25, 0)[0], vfs=0, netdev="eth0"),
            dataclasses.replace(
                card(0x26, 0)[0],
                vfs=0,
                netdev="eth1",
                files={"net/eth1/flags": "0x1003"},
            ),
        ],
        {
            "proc/net/route": (
                "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
                "eth0 00000000 0102000A 0003 0 0 0 00000000\n"
            ),
        },
    ),
    # That its VFs are meant too excuses no more than that it is up.
    "CARRIES_HOST-ports": Case(
        specs('{ "devname": "eth3", "physical_network": "p" }'),
        nic(),
        {
            "proc/net/route": (
                "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
                "eth3 0002000A 00000000 0001 0 0 0 00FFFFFF\n"
            ),
        },
    ),
    "CARRIES_HOST-disk": Case(
        specs('{ "product_id": "0010" }', '{ "product_id": "1111" }'),
        [
            Function(
                "0000:03:00.0",
                "1b36:0010",
                "010802",
                "nvme",
                files={"nvme/nvme0/nvme0n1/dev": "259:0"},
            ),
            Function(
                "0000:04:00.0",
                "1234:1111",
                "030000",
                "bochs",
                files={"boot_vga": "1"},
            ),
        ],
        {"proc/mounts": "/dev/nvme0n1 / ext4 rw 0 0\n"},
        {
            "sys/class/block/nvme0n1": (
                "../../devices/pci0000:00/0000:03:00.0/nvme/nvme0/nvme0n1"
            )
        },
    ),
    "GROUP_IN_USE": Case(
        specs('{ "address": "0000:00:10.0", "managed": "no" }'),
        [
            Function("0000:00:10.0", driver="vfio-pci", group=6),
            Function("0000:00:10.1", driver="e1000e", group=6),
            Function("0000:00:1f.0", class_code="060100", group=6),
        ],
    ),
    "GROUP_SHARED": Case(
        specs('{ "address": "0000:00:10.*", "managed": "no" }'),
        [
            Function("0000:00:10.0", driver="vfio-pci", group=6),
            Function("0000:00:10.1", driver="vfio-pci", group=6),
        ],
    ),
    "GROUP_SHARED-bridge": Case(
        specs('{ "product_id": "100e" }'),
        [
            Function("0000:00:05.0", "1b36:000e", "060400", group=4),
            Function("0000:01:01.0", "8086:100e", driver="e1000", group=4),
            Function("0000:01:02.0", "8086:100e", driver="e1000", group=4),
        ],
    ),
    "BETTER_DRIVER": Case(
        specs(f'{{ {VF}, "managed": "no" }}'),
        card(vfs=1),
        {
            f"lib/modules/{check_host.RELEASE}/modules.alias": (
                "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
                "alias vfio_pci:v00008086d000010CAsv*sd*bc*sc*i*"
                " igb_vfio_pci\n"
            )
        },
    ),
    "DRIVER_CANT_MOVE": Case(specs(MOVES), card(vfs=2)),
    "PF_FOR_MIGRATION": Case(
        specs(MOVES), card(vfs=2, driver="virtio_vfio_pci")
    ),
    "PF_FOR_MIGRATION-managed": Case(
        specs(f'{{ {VF}, "live_migratable": "yes" }}'),
        card(vfs=1, driver="igbvf"),
        kernel(check_host.RELEASE, "qat_vfio_pci"),
    ),
    "PF_IS_DOWN": Case(specs(MOVES), qat(state="down")),
    "MLX5_MIGRATABLE": Case(specs(MOVES), moving("mlx5_core", _MLX5)),
    # The kernel tells, and there is no doubt.
    "DRIVER_CANT_MOVE-told": Case(
        specs(MOVES),
        moving("mlx5_core", _MLX5),
        {"sys/kernel/debug/vfio/0000:25:00.4/guest": ""},
    ),
    "FEWER_VFS": Case(
        specs(
            f'{{ {VF}, "address": "0000:25:00.4" }}',
            f'{{ {VF}, "address": "0000:25:00.6" }}',
        ),
        card(vfs=2),
    ),
    "FEWER_VFS-none": Case(
        specs(f'{{ {VF}, "address": "0000:25:00.0" }}'), card(vfs=0)
    ),
    "VGPU_TYPE_UNSET": Case(
        specs('{ "product_id": "25b6", "managed": "no" }'),
        card(
            vf_ids="10de:25b6",
            vf_files={
                "nvidia/current_vgpu_type": "0",
                "vfio-dev/vfio0/dev": "509:0",
            },
            driver="nvidia",
        ),
    ),
    # It has no vfio-dev/ before it has a type, and that is the reason.
    "VGPU_TYPE_UNSET-alone": Case(
        specs('{ "product_id": "25b6", "managed": "no" }'),
        card(
            vf_ids="10de:25b6",
            vf_files={"nvidia/current_vgpu_type": "0"},
            driver="nvidia",
        ),
    ),
    "TYPES_ON_DEMAND": Case(
        specs(
            '{ "product_id": "25b6", "managed": "no" }',
            before=PUBLISHED,
        )
        + 'alias = { "name": "q8", "vendor_id": "10de",'
        ' "product_id": "25b6", "device_type": "type-VF",'
        ' "resource_class": "A16_8Q" }\n',
        card(
            vf_ids="10de:25b6",
            vf_files={
                "nvidia/current_vgpu_type": "0",
                "nvidia/creatable_vgpu_types": "558 : NVIDIA A16-8Q\n",
                "vfio-dev/vfio0/dev": "509:0",
            },
            driver="nvidia",
        ),
    ),
    "CLASS_UNKNOWN_TO_NOVA": Case(
        specs(
            '{ "product_id": "25b6", "managed": "no" }',
            before=PUBLISHED,
        )
        + "[vfio]\nresource_class_from_type = true\n",
        card(
            vf_ids="10de:25b6",
            vf_files={
                "nvidia/current_vgpu_type": "558",
                "nvidia/creatable_vgpu_types": "558 : NVIDIA A16-8Q\n",
                "vfio-dev/vfio0/dev": "509:0",
            },
            driver="nvidia",
        ),
    ),
    "NO_VFIO_DEV": Case(
        specs('{ "product_id": "25b6", "managed": "no" }'),
        card(vf_ids="10de:25b6", driver="nvidia"),
    ),
    "HOST_SPEC_UNFIT": Case(
        '[vfio]\nhost_spec = { "address": "0000:99:00.0", "num_vfs": 4 }\n'
        'host_spec = { "vendor_id": "8086", "product_id": "10ca",\n'
        '    "driver": "igb_vfio_pcie" }\n',
        card(),
    ),
    "NOT_AS_DECLARED": Case(
        '[vfio]\nhost_spec = { "address": "0000:25:00.0", "num_vfs": 4 }\n',
        card(vfs=0, vf_ids="8086:10ca"),
    ),
    "NOT_AS_DECLARED-refused": Case(
        '[vfio]\nhost_spec = { "address": "0000:25:00.0", "num_vfs": 99 }\n',
        card(vfs=0),
    ),
    "NOT_AS_DECLARED-drivers": Case(
        '[vfio]\nhost_spec = { "vendor_id": "8086", "product_id": "10ca",\n'
        '    "driver": "vfio-pci" }\n',
        card(vfs=5, driver="igbvf"),
    ),
    "FACTS_LOST": Case(
        specs(f"{{ {VF} }}"),
        card(vf_files={"numa_node": "many"}, vfs=1),
    ),
    "HOST_UNSEEN": Case(
        specs(f"{{ {VF} }}"),
        unseen="the host's PCI functions can't be listed:"
        " sys/bus/pci/devices: No such file or directory",
    ),
    "FUNCTION_UNREAD": Case(
        specs(f"{{ {VF} }}"),
        card(vfs=1),
        links={"sys/bus/pci/devices/0000:25:00.5": "../gone"},
    ),
}

IN_PLACEMENT = "[filter_scheduler]\npci_in_placement = true\n"


def mdev(at: str = "0000:84:00.0") -> Function:
    """A card that offers one type of mediated devices."""
    return Function(
        at,
        "10de:1db4",
        "030200",
        "nvidia",
        files={"mdev_supported_types/nvidia-35/available_instances": "4"},
    )


CLOUD = {
    "PF_ALONE": Case(
        specs(
            '{ "address": "0000:25:00.0", "product_id": "10c9",'
            ' "physical_network": "p" }'
        ),
        card(),
    ),
    "PF_ALONE-same": Case(
        specs(
            '[{ "address": { "bus": "25", "slot": "00", "function": "[0]" },'
            ' "vendor_id": "8086" }]'
        ),
        card(vfs=6, pf_ids="8086:10ca"),
    ),
    "PF_AND_VF_MATCHED-ids": Case(
        specs(f"{{ {VF} }}", before=PUBLISHED),
        card(vfs=6, pf_ids="8086:10ca"),
    ),
    "PF_AND_VF_MATCHED-two": Case(
        specs('{ "product_id": "10c9" }', f"{{ {VF} }}", before=PUBLISHED),
        card(),
    ),
    "ALIAS_UNSATISFIED-unnamed": Case(
        specs('{ "product_id": "10c9" }')
        + f'alias = {{ "name": "a", {VF}, "device_type": "type-VF" }}\n',
        card(),
    ),
    "ALIAS_UNSATISFIED-others": Case(
        specs(f'{{ {VF}, "address": "0000:25:*.*" }}')
        + 'alias = { "name": "a", "vendor_id": "15b3",'
        ' "product_id": "101e" }\n',
        [*card(), *card(0x26, 3, pf_ids="15b3:101b", vf_ids="15b3:101e")],
    ),
    "UNKNOWN_OPTION-astray": Case(
        f"[pci]\n{PUBLISHED}pci_in_placement = true\n"
        "enabled_mdev_types = a\nreport_in_plcement = true\n"
    ),
    "UNKNOWN_OPTION-removed": Case(
        "[DEFAULT]\nscheduler_default_filters = RamFilter,ComputeFilter\n"
    ),
    "NOT_JSON-aliases": Case(
        alias(f'{{ "name": "a", {VF} }}, {{ "name": "b", {VF} }}')
    ),
    "FILTER_MISSING": Case(
        alias(f'{{ "name": "a", {VF} }}')
        + "[filter_scheduler]\nenabled_filters = ComputeFilter, MyFilter\n"
    ),
    "FILTER_MISSING-near": Case(
        alias(f'{{ "name": "a", {VF} }}') + "[filter_scheduler]\n"
        "enabled_filters = ComputeFilter,PciPassthroughFilters\n"
    ),
    "ASKED_AND_UNPUBLISHED": Case(
        alias(f'{{ "name": "a", {VF} }}') + IN_PLACEMENT, card()
    ),
    "ALSO_ELSEWHERE": Case(
        alias(f'{{ "name": "a", {VF} }}', before="report_in_placement = no\n")
        + IN_PLACEMENT
    ),
    "PUBLISHED_AND_UNASKED": Case(
        alias(f'{{ "name": "a", {VF} }}', before=PUBLISHED)
    ),
    "NULL_TAG_POOLED": Case(
        specs(
            f'{{ {VF}, "address": "0000:25:00.4", "trusted": null }}',
            f'{{ {VF}, "physical_network": "p" }}',
        ),
        card(),
    ),
    "ALIAS_CLASS_IGNORED": Case(
        specs(
            f'{{ {VF}, "address": "*:25:*.*", "resource_class": "A" }}',
            f'{{ {VF}, "address": "*:26:*.*", "resource_class": "B" }}',
        )
        + f'alias = {{ "name": "a", {VF}, "resource_class": "A" }}\n',
        [*card(), *card(0x26)],
    ),
    "WIDE_DOMAIN": Case(
        specs('{ "product_id": "0a54" }'),
        [
            Function("0000:03:00.0", "8086:0a54", "010802", "nvme"),
            Function("10000:01:00.0", "8086:0a54", "010802", "nvme"),
        ],
    ),
    "MDEV_AND_SPEC": Case(
        specs('{ "address": "0000:84:00.0" }')
        + "[devices]\nenabled_mdev_types = nvidia-35\n"
        "[mdev_nvidia-35]\ndevice_addresses = 0000:83:00.0, 0000:84:00.0\n",
        [mdev("0000:83:00.0"), mdev()],
    ),
    "MDEV_AND_SPEC-default": Case(
        specs('{ "address": "0000:84:00.0" }')
        + "[devices]\nenabled_mdev_types = nvidia-35\n",
        [mdev()],
    ),
    "MDEV_AND_TYPE": Case(
        "[devices]\nenabled_mdev_types = nvidia-35\n"
        "[mdev_nvidia-35]\ndevice_addresses = 0000:83:00.0, 0000:84:00.0\n"
        "[vfio]\nhost_spec = "
        '{ "address": "0000:84:00.0", "vgpu_type": "A16-4Q" }\n',
        [mdev("0000:83:00.0"), mdev()],
    ),
    "MDEV_AND_TYPE-card": Case(
        "[devices]\nenabled_mdev_types = nvidia-35\n"
        "[mdev_nvidia-35]\ndevice_addresses = 0000:25:00.4\n"
        '[vfio]\nhost_spec = { "address": "0000:25:00.0",\n'
        '    "vgpu_types": { "A16-4Q": 1 } }\n',
        card(driver="nvidia"),
    ),
    "MDEV_AND_TYPE-default": Case(
        "[devices]\nenabled_mdev_types = nvidia-35\n"
        '[vfio]\nhost_spec = { "vendor_id": "8086", "product_id": "10ca",\n'
        '    "vgpu_type": "A16-4Q" }\n',
        card(
            driver="nvidia",
            vf_files={
                "mdev_supported_types/nvidia-35/available_instances": "1"
            },
        ),
    ),
    "PF_AND_TYPES": Case(
        specs(
            '{ "address": "0000:25:00.0", "product_id": "10c9" }',
            '{ "address": "0000:26:00.4" }',
        )
        + '[vfio]\nhost_spec = { "address": "0000:25:00.4",\n'
        '    "vgpu_type": "A16-4Q" }\n'
        'host_spec = { "address": "0000:26:00.0",\n'
        '    "vgpu_types": { "A16-4Q": 1 } }\n',
        [*card(driver="nvidia"), *card(0x26, driver="nvidia")],
    ),
    "MDEV_NOT_OFFERED": Case(
        "[devices]\nenabled_mdev_types = nvidia-35, nvidia-36\n"
        "[mdev_nvidia-35]\ndevice_addresses = 0000:85:00.0\n",
        [mdev(), Function("0000:85:00.0")],
        {"sys/class/net/lo/mtu": "1500"},
    ),
    "MDEV_NOT_OFFERED-named": Case(
        "[devices]\nenabled_mdev_types = nvidia-35, nvidia-36\n"
        "[mdev_nvidia-36]\ndevice_addresses = 0000:84:00.0\n",
        [mdev()],
        {"sys/class/net/lo/mtu": "1500"},
    ),
    "MDEV_NOT_OFFERED-vendor": Case(
        "[devices]\nenabled_mdev_types = nvidia-558\n",
        card(
            driver="nvidia",
            vf_ids="10de:25b6",
            vf_files={"nvidia/current_vgpu_type": "558"},
        ),
        {"sys/class/net/lo/mtu": "1500"},
    ),
    "MDEV_NOT_OFFERED-vfs": Case(
        "[devices]\nenabled_mdev_types = nvidia-35\n"
        "[mdev_nvidia-35]\ndevice_addresses = 0000:25:00.0, 0000:26:00.0\n",
        [
            *card(
                vf_files={
                    "mdev_supported_types/nvidia-35/available_instances": "1"
                }
            ),
            *card(0x26),
        ],
        {"sys/class/net/lo/mtu": "1500"},
    ),
    "MDEV_ADDRESS": Case(
        "[devices]\nenabled_mdev_types = nvidia-35\n"
        "[mdev_nvidia-35]\ndevice_addresses = 0000:84:00.0, 85:00.0\n",
        [mdev()],
    ),
    "MDEV_TWICE": Case(
        "[devices]\nenabled_mdev_types = nvidia-35, nvidia-36\n"
        "[mdev_nvidia-35]\ndevice_addresses = 0000:84:00.0\n"
        "[mdev_nvidia-36]\ndevice_addresses = 0000:84:00.0\n",
        [mdev()],
    ),
    "MDEV_IGNORED": Case(
        "[devices]\nenabled_mdev_types = nvidia-35, nvidia-36\n"
        "[mdev_nvidia-35]\nmdev_class = CUSTOM_A\n",
        [mdev()],
    ),
    "MDEV_ABSENT": Case(
        "[devices]\nenabled_mdev_types = nvidia-35\n"
        "[mdev_nvidia-35]\ndevice_addresses = 0000:84:00.0, 0000:8A:00.0,\n"
        "    0000:85:00.0\n",
        [mdev(), mdev("0000:8a:00.0")],
    ),
    "NO_MDEVCTL": Case(
        "[devices]\nenabled_mdev_types = nvidia-35\n",
        [mdev()],
        {"sys/class/net/lo/mtu": "1500", "usr/bin/virsh": ""},
    ),
    "REMOTE_MANAGED_PF": Case(
        specs(
            f'{{ {VF}, "address": "0000:25:00.0", "remote_managed": "yes" }}'
        ),
        card(),
    ),
    "REMOTE_MANAGED_PF-others": Case(
        specs(
            f'{{ {VF}, "devname": "eth3", "remote_managed": "yes" }}',
            f'{{ {VF}, "devname": "eth9", "remote_managed": "yes" }}',
        ),
        [*nic(), *card(0x26)],
    ),
    "DEVNAME_WIDE_DOMAIN": Case(
        specs('{ "devname": "eth4" }'),
        [Function("10000:01:00.0", netdev="eth4")],
    ),
}

MANAGED = "COMPUTE_MANAGED_PCI_DEVICE"
RC = "CUSTOM_PCI_8086_10CA"

PUBLISHED_CASES = {
    "REPORT_SWITCHED_OFF": Case(
        specs(f"{{ {VF} }}", before="report_in_placement = false\n")
        + "[vfio]\nplacement = service\n",
        card(),
        published={
            "n1_0000:25:00.0": (RC, 2, (MANAGED, "OWNER_NOVA"), {}),
            "n1_0000:26:00.0": (RC, 2, (MANAGED,), {}),
        },
    ),
    "REPORT_SWITCHED_OFF-unset": Case(
        specs(f"{{ {VF} }}") + "[vfio]\nplacement = service\n",
        card(),
        published={"n1_0000:25:00.0": (RC, 2, (MANAGED,), {})},
    ),
    "NOVA_DIFFERS": Case(
        specs(f"{{ {VF} }}", before=PUBLISHED),
        card(vfs=3),
        published={
            "n1_0000:25:00.0": (RC, 2, (MANAGED, "OWNER_NOVA"), {}),
        },
    ),
    "NOVA_DIFFERS-traits": Case(
        specs(f'{{ {VF}, "traits": "FAST" }}', before=PUBLISHED),
        card(),
        published={
            "n1_0000:25:00.0": (RC, 2, (MANAGED, "OWNER_NOVA"), {}),
            "n1_0000:26:00.0": (RC, 1, (MANAGED, "OWNER_NOVA"), {}),
        },
    ),
    "ALLOCATED_TO_ANOTHER": Case(
        specs(f"{{ {VF} }}"),
        card(),
        claimed={"0000:25:00.4": f"{UUID}1"},
        published={
            "n1_0000:25:00.0": (RC, 2, (MANAGED,), {f"{UUID}2": 1}),
        },
    ),
    "ANOTHER_DEVICE": Case(
        specs(f"{{ {VF} }}"),
        card(),
        claimed={"0000:25:00.4": f"{UUID}1"},
        was={"0000:25:00.4": "15b3:101e", "0000:25:00.5": "8086:1889"},
    ),
    "CORDONED": Case(
        specs(f"{{ {VF} }}"),
        card(),
        cordoned={"0000:25:00.0": "ECC errors", "0000:25:00.4": "a bad fan"},
    ),
    "CORDON_OF_ANOTHER": Case(
        specs(f"{{ {VF} }}"),
        card(),
        uncordoned={"0000:25:00.0": "ECC errors"},
    ),
    "PLACEMENT_UNREACHABLE": Case(
        specs(f"{{ {VF} }}"),
        card(),
        unreachable="http://127.0.0.1:9 can't be reached: Connection refused",
    ),
    "CLOUD_NOT_ASKED": Case(
        specs(f"{{ {VF} }}")
        + "[placement]\nauth_url = http://k\nauth_type = password\n",
        card(),
        published={},
    ),
    "GUEST_WITHOUT_CLAIM": Case(
        specs(f"{{ {VF} }}"),
        card(),
        files={
            "run/libvirt/qemu/guest.xml": f"""\
<domstatus state='running'>
  <domain type='kvm' id='1'>
    <name>guest</name>
    <uuid>{UUID}3</uuid>
    <devices>
      <hostdev mode='subsystem' type='pci' managed='yes'>
        <source>
          <address domain='0x0000' bus='0x25' slot='0x00' function='0x5'/>
        </source>
      </hostdev>
      <interface type='hostdev' managed='yes'>
        <source>
          <address type='pci' domain='0x0000' bus='0x25' slot='0x00'
                   function='0x4'/>
        </source>
      </interface>
    </devices>
  </domain>
</domstatus>
"""
        },
        claimed={"0000:25:00.4": f"{UUID}3"},
    ),
}

CASES: dict[str, Case] = TEXT | MEANING | CLOUD | HOST | PUBLISHED_CASES

#: Where nothing is to be said.
QUIET: dict[str, Case] = {
    "a_driver_may_migrate_what_is_to_be_migrated": Case(
        specs(MOVES), qat(state="up")
    ),
    "the_kernel_tells_that_a_device_can_be_migrated": Case(
        specs(MOVES),
        moving("mlx5_core", _MLX5),
        {"sys/kernel/debug/vfio/0000:25:00.4/migration/features": "p2p"},
    ),
    "nobody_wants_a_device_to_be_migrated": Case(
        specs(f'{{ {VF}, "managed": "no" }}'), moving("igb", _MLX5)
    ),
    "the_next_kernel_has_all_that_this_one_has": Case(
        specs(f'{{ {VF}, "managed": "no" }}'),
        card(driver="igbvf_vfio_pci"),
        kernel(check_host.RELEASE, "igbvf-vfio-pci", modules="igb")
        | kernel("6.13.0", "igbvf_vfio_pci", modules="vfio-pci igb"),
        kernel="6.13.0",
    ),
    "the_next_kernel_has_a_bound_driver_that_no_line_names": Case(
        specs(f'{{ {VF}, "managed": "no" }}'),
        card(driver="own_vfio"),
        kernel("6.13.0", modules="vfio-pci igb own_vfio"),
        kernel="6.13.0",
    ),
    "devices_are_on_every_node": Case(
        alias(f'{{ "name": "a", {VF}, "numa_policy": "required" }}'),
        [*card(), *card(0x26, 1, node=1)],
        numa_files.numa(0, 1),
    ),
    "a_node_has_no_processor": Case(
        alias(f'{{ "name": "a", {VF}, "numa_policy": "required" }}'),
        card(),
        {**numa_files.numa(0), "sys/devices/system/node/node1/cpulist": "\n"},
    ),
    "devices_are_on_every_socket": Case(
        alias(f'{{ "name": "a", {VF}, "numa_policy": "socket" }}'),
        card(),
        numa_files.numa(0, 0),
    ),
    "we_publish_and_nova_is_absent": Case(
        alias(f'{{ "name": "a", {VF} }}')
        + f"{IN_PLACEMENT}[vfio]\nplacement = embedded\n",
        card(),
    ),
    "devices_are_published_and_asked_for": Case(
        alias(f'{{ "name": "a", {VF} }}', before=PUBLISHED) + IN_PLACEMENT,
        card(),
    ),
    "the_scheduler_looks_for_devices": Case(
        alias(f'{{ "name": "a", {VF} }}') + "[filter_scheduler]\n"
        "enabled_filters = ComputeFilter, PciPassthroughFilter\n"
    ),
    "mediated_devices_are_on_another_card": Case(
        specs('{ "address": "0000:83:00.0" }')
        + "[devices]\nenabled_mdev_types = nvidia-35\n"
        "[mdev_nvidia-35]\ndevice_addresses = 0000:84:00.0\n",
        [mdev("0000:83:00.0"), mdev()],
        {"sys/class/net/lo/mtu": "1500"},
    ),
    "who_offers_mediated_devices_is_not_seen": Case(
        "[devices]\nenabled_mdev_types = nvidia-35\n",
        [Function("0000:85:00.0")],
    ),
    "another_class_is_no_other_alias_s": Case(
        specs(f'{{ {VF}, "resource_class": "A" }}')
        + f'alias = {{ "name": "a", {VF}, "resource_class": "A" }}\n',
        card(),
    ),
    # Neutron's SR-IOV agent has VFs of PFs that are up, or they have no link.
    "ports_get_vfs_of_a_pf_that_is_up": Case(
        specs('{ "devname": "eth3", "physical_network": "p" }'), nic()
    ),
    "ports_get_vfs_of_a_pf_by_address": Case(
        specs('{ "address": "0000:25:00.0", "physical_network": "p" }'), nic()
    ),
    "the_host_is_as_declared": Case(
        '[vfio]\nhost_spec = { "address": "0000:25:00.0", "num_vfs": 2 }\n'
        'host_spec = { "vendor_id": "8086", "product_id": "10ca",\n'
        '    "driver": "vfio-pci" }\n',
        card(),
    ),
    "nova_published_the_same": Case(
        specs(f"{{ {VF} }}", before=PUBLISHED),
        card(vfs=2),
        published={
            "n1": ("VCPU", 4, ("OWNER_NOVA",), {f"{UUID}9": 4}),
            "n1_0000:25:00.0": (
                RC,
                2,
                (MANAGED, "OWNER_NOVA"),
                {f"{UUID}9": 1},
            ),
        },
    ),
    "store_and_placement_agree": Case(
        specs(f"{{ {VF} }}"),
        card(vfs=3),
        claimed={
            "0000:25:00.4": f"{UUID}1",
            "0000:25:00.5": f"{UUID}1",
            "0000:25:00.6": f"{UUID}2",
        },
        published={
            "n1_0000:25:00.0": (
                RC,
                3,
                (MANAGED,),
                {f"{UUID}1": 2, f"{UUID}2": 1},
            ),
        },
    ),
    "nova_gave_the_device_to_the_guest": Case(
        specs(f"{{ {VF} }}", before=PUBLISHED),
        card(),
        files={
            "run/libvirt/qemu/guest.xml": PUBLISHED_CASES[
                "GUEST_WITHOUT_CLAIM"
            ].files["run/libvirt/qemu/guest.xml"],
            "run/libvirt/qemu/broken.xml": "<domstatus",
            "run/libvirt/qemu/note.txt": "<domain/>",
        },
        published={
            "n1_0000:25:00.0": (
                RC,
                2,
                (MANAGED, "OWNER_NOVA"),
                {f"{UUID}3": 2},
            ),
        },
    ),
}
