# SPDX-License-Identifier: Apache-2.0
"""What other managers of devices do, and how it is done here.

It is one table, of which ``tests/functional/test_peers.py`` sees that each
command, call and test that it names is there.
"""

# Longer than 400 lines: it is one table, in which an operation is looked up.

import typing as ty


class Row(ty.NamedTuple):
    """One thing that another manager does.

    :param what: as it is called there
    :param command: what does it here, with the option that matters
    :param call: the same for a program, below ``nova_vfio_variant``
    :param test: which says so, below ``tests``
    :param why: what is different here, or why there is none
    """

    what: str
    command: str = ""
    call: str = ""
    test: str = ""
    why: str = ""


HYPEMAN = (
    Row(
        "Discover devices, and those available",
        "device available",
        "node.naming.Naming.available",
        "functional.test_device_names.NamesTest"
        ".test_what_could_be_named_is_listed_with_the_reason",
        "Of what device_spec names alone, and with the reason where a device"
        " can't be had",
    ),
    Row(
        "Register a device with a name",
        "device register",
        "node.naming.Naming.register",
        "functional.test_device_names.NamesTest"
        ".test_what_is_given_no_name_has_its_address_for_one",
        "The same names, and the same one where none is given",
    ),
    Row(
        "Get a device by id or name",
        "device show",
        "node.naming.Naming.address_of",
        "functional.test_device_names.NamesTest"
        ".test_a_device_is_taken_by_id_name_or_address",
        "By address, too",
    ),
    Row(
        "List devices",
        "device list",
        "node.tracked_devices.TrackedDevices.devices",
        "functional.test_cli_device.DeviceListTest"
        ".test_only_what_is_listed_has_a_note",
    ),
    Row(
        "Delete a device",
        "device unregister",
        "node.naming.Naming.unregister",
        "functional.test_device_names.NamesTest"
        ".test_a_claimed_device_keeps_its_name",
        "The name goes; device_spec says whether the device is managed",
    ),
    Row(
        "Invalid name, name exists, already registered, in use, not found",
        "",
        "exception.NamingError",
        "functional.test_device_names.NamesTest"
        ".test_a_name_is_given_once_and_a_device_has_one",
        "Each is an exception, and a code with -f json",
    ),
    Row(
        "Bind to vfio-pci",
        "device bind",
        "node.single.SingleDevices.bind",
        "behaviour.test_single.BindTest.test_a_vf_is_bound_and_given_back",
        "To a variant driver where there is one; what was before is recorded",
    ),
    Row(
        "Unbind",
        "device unbind",
        "node.single.SingleDevices.unbind",
        "behaviour.test_single.BindTest.test_a_vf_is_bound_and_given_back",
        "Driver and driver_override are what they were before us",
    ),
    Row(
        "Group conflict: every member, or any bridge",
        "device bind --companion",
        "node.single.Wish",
        "behaviour.test_single.BindTest"
        ".test_a_companion_loses_its_driver_only_where_it_is_named",
        "A companion is named, so that a GPU with its audio function can be"
        " bound; only what forwards is a bridge",
    ),
    Row(
        "Group path of a device",
        "host show",
        "",
        "behaviour.test_in_use.OpenTest.test_by_its_group_it_may_be_any_member",
        "QEMU and libvirt find /dev/vfio/GROUP by the address",
    ),
    Row(
        "Stop nvidia-persistenced before a driver is changed",
        "device bind --stop-persistenced",
        "node.single.SingleDevices",
        "functional.test_persistenced.PersistencedTest"
        ".test_it_is_stopped_before_and_started_after",
        "Only if that is asked: it serves the host's other cards. It is"
        " started again at once, after a crash too",
    ),
    Row(
        "Mark attached, with auto-bind",
        "claim create",
        "node.claims.Claims.claim",
        "functional.test_claim_life.LifeTest.test_each_move_can_be_made_twice",
        "A claim is recorded first; host_spec or libvirt binds",
    ),
    Row(
        "Start of an instance",
        "claim started",
        "node.claims.Claims.started",
        "functional.test_node.GuardTest"
        ".test_the_example_runs_a_guest_and_gives_back",
    ),
    Row(
        "Cleanup stack of a failed start",
        "",
        "node.node.Node.guarded_claim",
        "functional.test_node.GuardTest"
        ".test_a_claim_goes_where_its_block_fails",
        "All of it is given back, the host's side too",
    ),
    Row(
        "Mark detached, on delete",
        "claim release",
        "node.claims.Claims.release",
        "functional.test_cli_assignable.ReleaseTest"
        ".test_it_is_not_given_back_while_it_is_open",
        "Not while a process has the device open",
    ),
    Row(
        "Late release after an address got its next owner",
        "claim release --assignment",
        "node.claims.Claims.release",
        "functional.test_claim_life.LifeTest"
        ".test_a_late_release_takes_nothing_from_the_next_claim",
        "By an assignment on disk; theirs is in memory",
    ),
    Row(
        "Reset of a device whose instance doesn't run",
        "device reset",
        "node.single.SingleDevices.reset",
        "behaviour.test_single.ResetTest"
        ".test_a_vf_is_reset_and_stays_what_it_is",
        "Only by the kernel's reset, and never what is in use",
    ),
    Row(
        "Reconcile at start: attached, and not running",
        "reconcile",
        "node.reconcile.Reconciling.run",
        "functional.test_reconcile_claims.GoneTest"
        ".test_a_claim_whose_guest_is_gone_is_freed_after_the_grace",
        "By command or timer, after five minutes, with a dry run",
    ),
    Row(
        "Reconcile: instance and device don't agree (logged)",
        "reconcile",
        "node.reconcile.Reconciling.plan",
        "functional.test_reconcile_claims.GuestTest"
        ".test_a_guest_without_a_claim_is_told_and_keeps_it",
        "A row with who is right; status 1",
    ),
    Row(
        "Liveness of instances",
        "reconcile --alive",
        "node.liveness.Liveness.ask",
        "unit.node.test_liveness.LivenessTest"
        ".test_a_yes_goes_before_an_unknown_and_that_before_a_no",
        "Unknown counts as in use, everywhere; other sources plug in",
    ),
    Row(
        "A process that may not be signalled lives",
        "reconcile",
        "node.liveness.Libvirt",
        "unit.node.test_liveness.LibvirtTest"
        ".test_a_process_that_may_not_be_looked_at_is_alive",
    ),
    Row(
        "Warn of missing IOMMU, modules, huge pages",
        "capabilities",
        "",
        "functional.test_capabilities.CapabilitiesTest"
        ".test_the_host_tells_of_iommu_modules_and_huge_pages",
    ),
    Row(
        "Mode of the host: none, mdev, vendor VFIO",
        "host show",
        "",
        "functional.test_vgpu_types.VgpuTypesTest"
        ".test_cards_of_one_host_have_each_their_mode",
        "Each card has its own; vgpu types and mdev types show them",
    ),
    Row(
        "Profiles, with how many are available",
        "capabilities",
        "",
        "functional.test_capabilities.VgpuCapabilitiesTest"
        ".test_each_type_tells_how_many_can_be_made",
        "Of several types by what fits beside each other, not the sum of lists",
    ),
    Row(
        "Profiles of mediated devices",
        "mdev types",
        "",
        "functional.test_capabilities.MdevCapabilitiesTest"
        ".test_what_parents_have_left_is_not_added_up",
    ),
    Row(
        "Create a mediated device of a profile",
        "claim create --vgpu-type",
        "node.claims.Claims.claim",
        "functional.test_mdev_claims.ClaimTest"
        ".test_a_device_is_made_for_a_claim_and_goes_with_it",
        "Or mdev create, without a claim; the next parent where one is full",
    ),
    Row(
        "Destroy a mediated device, orphans too",
        "mdev delete",
        "",
        "functional.test_mdev_crashes.CrashTest"
        ".test_a_delete_killed_anywhere_is_ended_by_reconcile",
        "Only those that are on record as ours",
    ),
    Row(
        "Assign a vendor's vGPU type to a VF, read back",
        "claim create --vgpu-type",
        "node.claims.Claims.claim",
        "functional.test_vgpu_claims.ClaimTest"
        ".test_a_type_is_set_for_a_claim_and_goes_with_it",
    ),
    Row(
        "Cleanup pending: a type that couldn't be taken back",
        "reconcile",
        "node.reconcile.Reconciling.run",
        "functional.test_vgpu_crashes.CrashTest"
        ".test_a_claim_killed_anywhere_can_be_taken_back",
        "Its record goes last",
    ),
    Row(
        "Choice among GPUs: least loaded, clean ones first",
        "claim create --strategy",
        "",
        "functional.test_vgpu_claims.ClaimTest"
        ".test_a_vf_whose_guest_failed_comes_last",
        "pack, spread or numa; equal ones in turn",
    ),
    Row(
        "Health of VFs: failures, success, quarantine",
        "vgpu report",
        "node.vgpu_health.VgpuHealth",
        "functional.test_vgpu_health.HealthTest"
        ".test_two_guests_that_failed_quarantine_a_function",
        "vgpu health shows it, vgpu clear lifts it",
    ),
    Row(
        "Placement closed while health can't be read",
        "vgpu health",
        "",
        "functional.test_vgpu_health.UnreadableTest"
        ".test_nothing_is_claimed_and_the_reason_is_told",
    ),
    Row(
        "Agent in the guest that watches its kernel log",
        why="What is in a guest is its manager's: it calls vgpu report",
    ),
    Row(
        "REST: /devices, /resources, /instances",
        why="There is no service: commands answer with -f json, and the"
        " library to programs",
    ),
    Row(
        "Arguments for QEMU",
        "guest qemu",
        "guest.qemu",
        "functional.test_guest_arguments.FunctionsTest"
        ".test_each_line_has_a_device_and_its_root_port",
        "Those of the devices, with a root port each; theirs has none",
    ),
    Row(
        "Arguments for Cloud Hypervisor",
        "guest cloud-hypervisor",
        "guest.cloud_hypervisor",
        "functional.test_guest_mdevs.ArgumentsTest"
        ".test_cloud_hypervisor_gets_all_in_one_option",
    ),
)

OPENSHELL = (
    Row(
        "Inventory of GPUs with an IOMMU group",
        "device list",
        "node.tracked_devices.TrackedDevices.devices",
        "functional.test_capabilities.CapabilitiesTest"
        ".test_devices_of_a_class_have_name_address_and_availability",
        "Of any vendor and kind",
    ),
    Row(
        "Assign by index",
        "claim create --device",
        "",
        "functional.test_claim_requests.RequestTest"
        ".test_exact_devices_are_given_by_address_and_index",
        "The place in the list of its class by address, which is stable",
    ),
    Row(
        "Assign by address",
        "claim create --device",
        "",
        "functional.test_claim_requests.RequestTest"
        ".test_exact_devices_are_given_by_address_and_index",
    ),
    Row(
        "Assign any free one",
        "claim create --class",
        "",
        "functional.test_claim_requests.RequestTest"
        ".test_any_device_of_a_class_is_given",
    ),
    Row(
        "Count of GPUs",
        "claim create --count",
        "",
        "functional.test_claim_requests.RequestTest"
        ".test_the_closest_are_of_one_switch_then_of_one_root",
        "More than one, near to one another with --closest",
    ),
    Row(
        "A set of device ids",
        "claim create --device",
        "",
        "functional.test_claim_requests.RequestTest"
        ".test_a_device_is_given_by_its_name_and_by_its_id",
    ),
    Row(
        "All assigned, out of range, taken, not found",
        "claim create --explain",
        "exception.NotEnoughDevices",
        "functional.test_claim_requests.RequestTest"
        ".test_an_explanation_says_which_step_left_nothing",
    ),
    Row(
        "Preference for what is on vfio-pci already",
        "claim create",
        "",
        "functional.test_cli_assignable.ClaimTest"
        ".test_what_is_ready_goes_before_what_has_to_be_prepared",
    ),
    Row(
        "Capabilities: a list with names and availability",
        "capabilities --long",
        "",
        "functional.test_capabilities.CapabilitiesTest"
        ".test_devices_of_a_class_have_name_address_and_availability",
        "Asked for in a review there",
    ),
    Row(
        "Bind one, and restore it",
        "device bind",
        "node.single.SingleDevices.bind",
        "behaviour.test_single.BindTest.test_a_vf_is_bound_and_given_back",
        "By driver_override alone: new_id takes identical idle cards along",
    ),
    Row(
        "Dry-run validation",
        "device bind --dry-run",
        "node.single.SingleDevices.plan_bind",
        "behaviour.test_single.BindTest.test_a_dry_run_writes_nothing",
    ),
    Row(
        "Bind a whole group",
        "host apply",
        "node.preparation.Preparation.apply",
        "behaviour.test_single.BindTest"
        ".test_a_companion_loses_its_driver_only_where_it_is_named",
        "Those members that host_spec names",
    ),
    Row(
        "Restore on drop",
        "",
        "node.claim_guard.ClaimGuard",
        "functional.test_node.GuardTest"
        ".test_a_claim_goes_where_its_block_fails",
    ),
    Row(
        "Disarm",
        "",
        "node.claim_guard.ClaimGuard.disarm",
        "functional.test_node.GuardTest"
        ".test_it_stays_where_its_block_ends_or_is_disarmed",
    ),
    Row(
        "Adopt after a restart",
        "",
        "node.node.Node.adopted_claim",
        "functional.test_node.GuardTest.test_one_of_before_is_taken_over",
    ),
    Row(
        "Stale bindings of a crash",
        "host recover",
        "node.preparation.Preparation.recover",
        "behaviour.test_trouble.KilledTest"
        ".test_at_some_writes_of_apply_and_of_restore",
        "What was before each write is on disk, companions too",
    ),
    Row(
        "Stale assignments",
        "reconcile",
        "node.reconcile.Reconciling.run",
        "functional.test_reconcile_claims.MidwayTest"
        ".test_a_claim_killed_anywhere_is_finished_or_taken_back",
    ),
    Row(
        "A corrupt state file reads as none",
        "store restore",
        "",
        "functional.test_host_prepare.HostCommands"
        ".test_a_damaged_journal_stops_everything_and_stays",
        "A damaged one stops all here; store restore is for the store",
    ),
    Row(
        "A device that is in use, or drives a display, is refused",
        "explain",
        "node.tracked_devices.TrackedDevices.verdict",
        "functional.test_cli_assignable.ClaimTest"
        ".test_what_a_process_has_open_is_given_to_nobody",
    ),
    Row(
        "An unbind that hangs",
        "device bind",
        "exception.HostStepHung",
        "behaviour.test_trouble.HangTest"
        ".test_an_unbind_that_hangs_is_told_and_the_command_ends",
        "The function is quarantined until the next boot",
    ),
    Row(
        "Release on each way that a machine ends",
        "claim release --wait",
        "node.claims.Claims.release",
        "functional.test_cli_assignable.ReleaseTest.test_it_is_waited_for",
    ),
    Row(
        "Companions of a function",
        "device bind --companion",
        "node.single.Wish",
        "behaviour.test_single.BindTest"
        ".test_a_companion_loses_its_driver_only_where_it_is_named",
        "Each is named, never a bridge among them, and is in the record too",
    ),
)

OPENSHELL_GUESTS = (
    Row(
        "A root port for each device",
        "guest qemu",
        "guest.qemu.plugged",
        "unit.guest.test_qemu.PluggedTest"
        ".test_a_function_sits_behind_a_root_port_of_its_own",
        "Numbers that stay as they are whatever else the machine has",
    ),
    Row(
        "More devices than there are root ports",
        "",
        "guest.qemu.check_room",
        "unit.guest.test_machine.MachineTest"
        ".test_the_machines_own_devices_take_room_too",
        "Refused before QEMU is started; theirs gives one device",
    ),
    Row(
        "QEMU's machine: q35, kernel, serial line",
        "",
        "guest.machine.Machine",
        "unit.guest.test_machine.MachineTest"
        ".test_the_least_has_a_serial_line_and_a_way_to_be_told",
        "With QMP and the instance's UUID. No command starts it yet",
    ),
    Row(
        "Root from a disk image",
        "",
        "guest.machine.Disk",
        "unit.guest.test_machine.MachineTest"
        ".test_a_disks_format_is_said_and_its_path_is_one_value",
        "One that the guest writes to, raw or qcow2; theirs lays a second one"
        " over it",
    ),
    Row(
        "Root from a folder by virtiofs, with shared memory",
        "",
        "guest.machine.Machine",
        "unit.guest.test_machine.MachineTest"
        ".test_a_shared_root_sees_the_guests_memory",
        "Who starts virtiofsd is not there yet",
    ),
    Row(
        "Locked memory",
        "",
        "guest.machine.Machine.locked_mib",
        "unit.guest.test_machine.LockedMemoryTest"
        ".test_it_is_the_guests_and_a_gibibyte_however_many_devices",
        "Theirs runs as root, without a limit",
    ),
    Row(
        "Devices of iommufd",
        "guest qemu --iommufd",
        "node.guests.Guests.check_iommufd",
        "functional.test_guest_arguments.FunctionsTest"
        ".test_iommufd_is_one_object_that_each_device_names",
        "Theirs has groups alone",
    ),
    Row(
        "Monitor: a machine that ended gives its devices back",
        "reconcile",
        "node.reconcile.Reconciling.run",
        "functional.test_reconcile_claims.GoneTest"
        ".test_a_claim_whose_guest_is_gone_is_freed_after_the_grace",
        "At each run of it, after a grace. What watches QEMU's process as long"
        " as it lives is not there yet",
    ),
    Row(
        "Its end: SIGTERM, five seconds, SIGKILL",
        why="Not there yet: nothing here starts a machine, so nothing ends"
        " one. A guest with a vGPU may not be killed first: that wedges its VF",
    ),
    Row(
        "TAP guard: device and nft table go with the machine",
        why="Not there yet: a machine takes a TAP device (guest.machine.Tap)"
        " that its manager makes and removes",
    ),
    Row(
        "Stale TAP devices at the next start",
        why="Not there yet: none are made",
    ),
    Row(
        "Allocation of subnets",
        why="Not there yet: the manager gives addresses",
    ),
    Row(
        "Allocation of vsock CIDs",
        why="Not there yet: a machine takes a CID that its manager has chosen",
    ),
    Row(
        "Guest init: network, firmware, modules, nvidia-smi",
        why="Not there yet: nothing of ours runs in a guest",
    ),
)

#: By the name of the other manager.
TABLES = {
    "hypeman": HYPEMAN,
    "OpenShell": OPENSHELL,
    "OpenShell's guests": OPENSHELL_GUESTS,
}
