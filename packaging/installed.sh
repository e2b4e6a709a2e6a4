#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the deb in /root of a chroot that has nova-compute, runs what it
# brings, upgrades it, and takes it away again.  deb.sh calls it.

set -eu
cd /root
dpkg -L nova-common > /dev/null
files() {
    find / -xdev \( -path /proc -o -path /run -o -path /root -o -path /tmp \
        -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log \) -prune \
        -o -print | sort
}
fail() { echo "installed: $*"; exit 1; }
dpkg-query -Wf '${Package} ${Version}\n' | sort > packages

apt-get update -q
apt-get install -q -y --no-install-recommends ./nova-vfio_*.deb python3-placement
# Nothing that nova-compute has was replaced.
dpkg-query -Wf '${Package} ${Version}\n' | sort | comm -23 packages - > replaced
[ ! -s replaced ] || { cat replaced; fail "replaced"; }

# What came with it stays, so this is what was there before.
apt-get purge -q -y nova-vfio
files > before
dpkg -i ./nova-vfio_*.deb

nova-vfio --version
nova-vfio-status --help > /dev/null
python3 -c 'import nova.virt.libvirt.driver, nova_vfio_variant'
root="--host-root /root/hosts/two-node-igb-nvme.tar.gz"
conf="--config-file /usr/share/nova-vfio/demo/nova.conf --state-path /root/state"
nova-vfio $root host list -f value > list
test -s list
# Warnings, and no errors.
nova-vfio $root $conf config check > check || [ $? = 1 ]
nova-vfio $root $conf device sync
nova-vfio $root $conf claim create \
    --instance 11111111-1111-4111-8111-111111111111 --alias fast-nic:2
nova-vfio $root $conf inventory report
nova-vfio $root $conf guest xml \
    --instance 11111111-1111-4111-8111-111111111111 > xml
grep -q '<hostdev' xml
nova-vfio-status $root $conf upgrade check || [ $? = 1 ]

# The chroot has no man, and is not to need it.
systemd-analyze verify --man=no /usr/lib/systemd/system/nova-vfio-host.service
[ ! -e /etc/systemd/system/multi-user.target.wants/nova-vfio-host.service ]
bash -c '. /usr/share/bash-completion/bash_completion &&
    . /usr/share/bash-completion/completions/nova-vfio &&
    complete -p nova-vfio'
for file in /etc/nova-vfio/nova-vfio.conf.sample \
    /usr/share/man/man1/nova-vfio.1.gz \
    /usr/share/man/man1/nova-vfio-status.1.gz \
    /usr/share/nova-vfio/ansible/roles/nova_vfio/tasks/main.yml \
    /usr/share/nova-vfio/systemd/nova-vfio-host.service \
    /usr/share/zsh/vendor-completions/_nova-vfio
do
    test -s "$file" || fail "no $file"
done

# No systemd runs here: one that only notes what it is asked stands in for it.
mkdir -p /run/systemd/system
mv /usr/bin/systemctl /root/systemctl
printf '#!/bin/sh\necho "$*" >> /root/asked\n' > /usr/bin/systemctl
chmod 755 /usr/bin/systemctl
asked() { grep -qE '(^|[ -])(re)?(start|stop) (.* )?nova-vfio-host\.service' asked; }
: > asked
dpkg -i ./nova-vfio_*.deb
! asked || { cat asked; fail "an upgrade stops or starts the unit"; }
nova-vfio --version > /dev/null
apt-get remove -q -y nova-vfio
asked || { cat asked; fail "its removal doesn't stop the unit"; }
mv /root/systemctl /usr/bin/systemctl
rmdir /run/systemd/system

apt-get purge -q -y nova-vfio
! dpkg -L nova-vfio > /dev/null 2>&1 || fail "it is still there"
files > after
diff before after || fail "this was left behind, or taken away"
echo "installed: it came and went"
