#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Second stage of the guest's start: mounts what a running system has, inserts
# the modules and hands over to run.sh; or to systemd, which does all that.

[ "$LAB_INIT" = sh ] || exec sh "$LAB_CHECKOUT/tests/lab/guest/$LAB_INIT.sh"

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

exec sh "$LAB_CHECKOUT/tests/lab/guest/run.sh"
