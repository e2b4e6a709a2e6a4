#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Second stage of the guest's start where systemd is to be its first process:
# installs nova-vfio-host.service as an operator does, with a nova.conf that
# declares VFs, and hands over to systemd.  What else the machine has enabled
# is left out.

export PATH=/usr/bin:/usr/sbin
box=busybox
units=/etc/systemd/system
$box rm -rf $units /etc/rc?.d /etc/fstab /etc/crypttab
$box mkdir -p $units/multi-user.target.wants
# Not a first boot, which would enable all units there are.
echo 6c61620000000000000000000000006c > /etc/machine-id
# Seconds each, in an emulation, for what the unit has nothing to do with; the
# terminals are ours, and the machine's /tmp is not to be emptied.
$box rm -rf /lib/systemd/system-generators
for unit in dbus.service dbus.socket getty.target \
    proc-sys-fs-binfmt_misc.automount systemd-binfmt.service \
    systemd-journal-flush.service systemd-logind.service \
    systemd-sysusers.service systemd-tmpfiles-clean.timer \
    systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup.service \
    systemd-update-utmp-runlevel.service systemd-update-utmp.service \
    systemd-user-sessions.service; do
    $box ln -s /dev/null $units/$unit
done
# Of what was there at boot udev is told the interfaces alone.
$box mkdir $units/systemd-udev-trigger.service.d
cat > $units/systemd-udev-trigger.service.d/lab.conf <<END
[Service]
ExecStart=
ExecStart=-udevadm trigger --action=add --subsystem-match=net
END

sh "$LAB_CHECKOUT/tests/lab/guest/install.sh"

# Not igbvf: udev loads it when there are VFs, as for a host's first ones.
echo igb > /etc/modules-load.d/lab.conf

$box mkdir -p /etc/nova
cat > /etc/nova/nova.conf <<END
[vfio]
host_spec = { "vendor_id": "8086", "product_id": "10c9", "num_vfs": 2 }
host_spec = { "vendor_id": "8086", "product_id": "10ca", "driver": "vfio-pci" }
END
unit=nova-vfio-host.service
$box cp "$LAB_CHECKOUT/etc/systemd/$unit" $units/
$box ln -s ../$unit $units/multi-user.target.wants/$unit

cat > $units/lab.target <<END
[Unit]
Requires=multi-user.target
Wants=lab.service
END
cat > $units/lab.service <<END
[Unit]
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
Environment=LAB_CHECKOUT=$LAB_CHECKOUT LAB_OUT=$LAB_OUT LAB_PATH=$LAB_PATH
ExecStart=/bin/sh $LAB_CHECKOUT/tests/lab/guest/run.sh
END
exec /lib/systemd/systemd --unit=lab.target --show-status=no
