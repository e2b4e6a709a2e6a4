#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the deb in /root of a chroot that has nova-compute, runs what it
# brings, and takes it away again.  deb.sh calls it.

set -eu
cd /root
dpkg -L nova-common > /dev/null
find / -xdev \( -path /proc -o -path /root -o -path /var/lib/apt \
    -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log \) -prune \
    -o -print | sort > before
dpkg-query -Wf '${Package} ${Version}\n' | sort > packages

apt-get update -q
apt-get install -q -y --no-install-recommends ./nova-vfio_*.deb python3-placement
# Nothing that nova-compute has was replaced.
dpkg-query -Wf '${Package} ${Version}\n' | sort | comm -23 packages - > replaced
[ ! -s replaced ] || { echo "replaced:"; cat replaced; exit 1; }

nova-vfio --version
nova-vfio-status --help > /dev/null
python3 -c 'import nova.virt.libvirt.driver, nova_vfio_variant'
root="--host-root /root/hosts/two-node-igb-nvme.tar.gz"
conf="--config-file /usr/share/nova-vfio/demo/nova.conf --state-path /root/state"
nova-vfio $root host list -f value | head -n 3
# Warnings, and no errors.
nova-vfio $root $conf config check > check || [ $? = 1 ]
nova-vfio $root $conf device sync
nova-vfio $root $conf claim create \
    --instance 11111111-1111-4111-8111-111111111111 --alias fast-nic:2
nova-vfio $root $conf inventory report
nova-vfio $root $conf guest xml --instance 11111111-1111-4111-8111-111111111111 \
    | head -n 3
nova-vfio-status $root $conf upgrade check || [ $? = 1 ]

# The chroot has no man, and is not to need it.
systemd-analyze verify --man=no /usr/lib/systemd/system/nova-vfio-host.service
[ ! -e /etc/systemd/system/multi-user.target.wants/nova-vfio-host.service ]
bash -c '. /usr/share/bash-completion/bash_completion &&
    . /usr/share/bash-completion/completions/nova-vfio &&
    complete -p nova-vfio'
test -s /usr/share/zsh/vendor-completions/_nova-vfio
test -s /etc/nova-vfio/nova-vfio.conf.sample

apt-get purge -q -y nova-vfio
dpkg -L nova-vfio 2> /dev/null && exit 1
find / -xdev \( -path /proc -o -path /root -o -path /var \) -prune \
    -o -iname '*nova?vfio*' -print > left
[ ! -s left ] || { echo "left behind:"; cat left; exit 1; }
