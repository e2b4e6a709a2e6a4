#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs the command that boot.py left in LAB_OUT, leaves its exit status there
# and powers off.

# Held open, for the terminal forgets its settings when the last one closes.
exec 3> /dev/hvc0
busybox stty -F /dev/hvc0 raw -echo
cd "$LAB_CHECKOUT" || exit
export PATH="$LAB_PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
export HOME=/root TERM=dumb LC_ALL=C.UTF-8
sh "$LAB_OUT/command.sh" < /dev/null >&3 2>&1 3>&-
echo $? > "$LAB_OUT/status.part"
busybox mv "$LAB_OUT/status.part" "$LAB_OUT/status"
busybox sync
echo o > /proc/sysrq-trigger
busybox sleep 60
