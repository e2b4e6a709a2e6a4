#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Second and last stage of the guest's start: mounts what a running system
# has, inserts the modules, runs the command that boot.py left in LAB_OUT,
# leaves its exit status there and powers off.

# busybox is one static file: each of these takes a tenth of the time that
# the program of the same name and its libraries take.
export PATH=/usr/bin:/usr/sbin
box=busybox
$box mount -t tmpfs -o mode=755 run /run
$box mkdir -p /run/lock /dev/pts /dev/shm
$box mount -t devpts devpts /dev/pts
$box mount -t tmpfs shm /dev/shm
$box mount -t cgroup2 cgroup2 /sys/fs/cgroup
$box mount -t debugfs debugfs /sys/kernel/debug
$box ln -s /proc/self/fd /dev/fd
$box ln -s /proc/self/fd/0 /dev/stdin
$box ln -s /proc/self/fd/1 /dev/stdout
$box ln -s /proc/self/fd/2 /dev/stderr
$box hostname lab
$box ip link set lo up

modprobe -a $($box grep -v '^#' "$LAB_CHECKOUT/tests/lab/guest/modules") ||
    echo "start.sh: cannot insert every module" > /dev/console

# Held open, for the terminal forgets its settings when the last one closes.
exec 3> /dev/hvc0
$box stty -F /dev/hvc0 raw -echo
cd "$LAB_CHECKOUT" || exit
export PATH="$LAB_PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
export HOME=/root TERM=dumb LC_ALL=C.UTF-8
sh "$LAB_OUT/command.sh" < /dev/null >&3 2>&1 3>&-
echo $? > "$LAB_OUT/status.part"
$box mv "$LAB_OUT/status.part" "$LAB_OUT/status"
$box sync
echo o > /proc/sysrq-trigger
$box sleep 60
