#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the lab folder: everything that boot.py needs to boot a real kernel.
#
#   setup.sh [FOLDER]     FOLDER: $NOVA_VFIO_LAB, or .lab in the checkout
#
# Runs as root on Debian 12 (amd64) and needs no more than its base system:
# apt, dpkg, tar, chroot.  It installs nothing and changes nothing outside of
# FOLDER: apt works on a package list, a state and a cache of its own, starts
# from an empty system, and what it downloads is only unpacked.  Run again,
# it ends at once if nothing that it is made from has changed; downloads are
# kept in FOLDER/apt in any case.
#
# $NOVA_VFIO_LAB_MIRROR names another Debian mirror than the machine's own.

set -euo pipefail
umask 022
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
lab=${1:-${NOVA_VFIO_LAB:-$here/../../.lab}}
# The machine's own first source, as apt understands it.
mirror=${NOVA_VFIO_LAB_MIRROR:-$(
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
        awk 'NR == 1'
)}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# QEMU before 8.0 has no igb, and libvirt before 10 takes no variant driver
# for a VFIO driver: both, and the kernel, are Debian 12's backports.
packages=(
    # runs on the host
    qemu-system-x86
    # the guest's kernel, and what its modules are built from
    linux-image-amd64 linux-headers-amd64 linux-source-6.12
    # builds the modules and the initramfs, in a chroot
    base-files bash coreutils cpio dash gcc grep kmod make mawk sed tar
    xz-utils zstd
    # runs in the guest
    busybox-static e2fsprogs iproute2 libvirt-clients libvirt-daemon
    libvirt-daemon-driver-nodedev libvirt-daemon-driver-qemu lvm2 mdadm
    mdevctl mount nvme-cli pciutils sudo systemd udev util-linux
)

# What the initramfs needs before it has a file system, in this order.
share_modules=(netfs 9pnet 9pnet_virtio 9p overlay)

say() { echo "lab: $*"; }
die() { echo "lab: $*" >&2; exit 1; }

private_apt() {
    local tool=$1
    shift
    "$tool" \
        -o Dir::State="$lab/apt" \
        -o Dir::State::lists="$lab/apt/lists" \
        -o Dir::State::status="$lab/apt/status" \
        -o Dir::State::extended_states="$lab/apt/extended_states" \
        -o Dir::Cache="$lab/apt" \
        -o Dir::Cache::archives="$lab/apt/archives" \
        -o Dir::Etc::sourcelist="$lab/apt/sources.list" \
        -o Dir::Etc::sourceparts="$lab/apt/none" \
        -o Dir::Etc::preferences="$lab/apt/preferences" \
        -o Dir::Etc::preferencesparts="$lab/apt/none" \
        -o APT::Architecture=amd64 \
        -o APT::Architectures=amd64 \
        -o APT::Install-Recommends=false \
        -o APT::Sandbox::User=root \
        -o Acquire::Languages=none \
        -o Acquire::Retries=3 \
        "$@"
}

download() {
    mkdir -p "$lab"/apt/{lists,archives,plan}/partial "$lab/apt/none"
    : > "$lab/apt/status"
    for suite in bookworm bookworm-backports; do
        echo "deb [signed-by=$keyring] $mirror $suite main"
    done > "$lab/apt/sources.list"
    cat > "$lab/apt/preferences" <<-END
	Package: src:linux src:linux-signed-amd64 src:libvirt src:qemu src:seabios
	Pin: release n=bookworm-backports
	Pin-Priority: 990
	END
    private_apt apt-get -qq update
    # apt names only what is not yet in its archives: show it an empty folder.
    private_apt apt-get -qq -y --print-uris \
        -o Dir::Cache::archives="$lab/apt/plan" install "${packages[@]}" |
        cut -d' ' -f2 | sort > "$lab/apt/wanted"
    say "$(wc -l < "$lab/apt/wanted") packages"
    private_apt apt-get -qq -y --download-only install "${packages[@]}"
}

unpack() {
    say "unpacking into $root"
    rm -rf --one-file-system "$root"
    # The folders that Debian merged into /usr, as debootstrap makes them.
    local name
    for name in bin sbin lib lib64; do
        mkdir -p "$root/usr/$name"
        ln -s "usr/$name" "$root/$name"
    done
    mkdir "$root/var"
    ln -s ../run "$root/var/run"
    ln -s ../run/lock "$root/var/lock"
    while read -r name; do
        dpkg-deb --fsys-tarfile "$lab/apt/archives/$name" |
            tar -x -C "$root" --keep-directory-symlink
    done < "$lab/apt/wanted"
    # No package script has run: these two are all that the chroot misses.
    ln -s mawk "$root/usr/bin/awk"
    mknod "$root/dev/null" c 1 3 ||
        die "cannot make a device node in $root: is CAP_MKNOD missing?"
    chmod 666 "$root/dev/null"
}

in_root() { env -i PATH=/usr/sbin:/usr/bin LC_ALL=C chroot "$root" "$@"; }

build_modules() {
    local source=/usr/src/lab name
    mkdir "$root$source"
    in_root tar -xJf /usr/src/linux-source-6.12.tar.xz -C "$source" \
        --strip-components=1 linux-source-6.12/samples/vfio-mdev \
        linux-source-6.12/drivers/vfio linux-source-6.12/scripts/extract-vmlinux
    rm "$root/usr/src/linux-source-6.12.tar.xz"
    cp -r "$here"/modules/* "$root$source/"
    for name in "samples/vfio-mdev CONFIG_SAMPLE_VFIO_MDEV_MTTY=m
                 CONFIG_SAMPLE_VFIO_MDEV_MDPY=m" \
                "drivers/vfio/pci/virtio CONFIG_VIRTIO_VFIO_PCI=m" \
                igbvf_vfio_pci igbvf_vgpu; do
        # shellcheck disable=SC2086 # the settings are words of their own
        set -- $name
        say "building $1"
        in_root make -s -C "/usr/src/linux-headers-$release" \
            M="$source/$1" "${@:2}" modules
    done
    mkdir "$root/lib/modules/$release/extra"
    find "$root$source" -name '*.ko' \
        -exec cp {} "$root/lib/modules/$release/extra/" \;
    in_root depmod "$release"
    plain_modules $(grep -v '^#' "$here/guest/modules") "${share_modules[@]}"
    in_root depmod "$release"
}

plain_modules() {
    # Decompressing and checking signatures is slow work for an emulated
    # processor: what every boot inserts is made plain and unsigned here.
    local file
    in_root modprobe -S "$release" --show-depends -a "$@" | sort -u |
        while read -r _ file _; do
            case $file in
            *.ko.xz)
                in_root xz -d "$file"
                in_root strip --strip-debug "${file%.xz}"
                ;;
            esac
        done
}

build_domain() {
    cp "$here/guest/domain.c" "$root/tmp/"
    in_root gcc -m32 -Os -Wall -Wextra -Werror -ffreestanding -fno-pic \
        -fno-stack-protector -fno-asynchronous-unwind-tables -static -nostdlib \
        -Wl,-m,elf_i386,-n,-Ttext=0x100000,--build-id=none \
        -Wl,--no-warn-rwx-segments -o /boot/domain /tmp/domain.c
}

make_initramfs() {
    # $@: modules; standard input: its /init
    local tree="$root/tmp/initramfs" module
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,proc,sys,modules}
    cp "$root/usr/bin/busybox" "$tree/bin/busybox"
    cat > "$tree/init"
    chmod 755 "$tree/init"
    for module; do
        find "$root/lib/modules/$release/kernel" -name "$module.ko" \
            -exec cp {} "$tree/modules/" \;
    done
    (cd "$tree" && find .) |
        in_root cpio -o -H newc --quiet -D /tmp/initramfs \
            > "$root/boot/lab-initrd"
    rm -r "$tree"
}

[ "$(id -u)" = 0 ] || die "run it as root: it unpacks packages and uses chroot"
[ "$(dpkg --print-architecture)" = amd64 ] || die "it is for amd64 only"
[ -r "$keyring" ] || die "no $keyring: install debian-archive-keyring"
mkdir -p "$lab"
lab=$(cd "$lab" && pwd)
root=$lab/root

exec 9> "$lab/lock"
flock 9
made_from=$(cat "$0" "$here"/modules/*/* "$here"/guest/{lab-init,domain.c,modules} | sha256sum)
if [ -f "$lab/ready" ] && [ "$(cat "$lab/ready")" = "$made_from" ]; then
    say "$lab is ready"
    exit 0
fi
rm -f "$lab/ready"
download
unpack
release=$(basename "$root"/lib/modules/*)
build_modules
make_initramfs "${share_modules[@]}" < "$here/guest/lab-init"
build_domain
# Nor has an emulated processor to unpack the kernel at each boot.
in_root sh /usr/src/lab/scripts/extract-vmlinux "/boot/vmlinuz-$release" \
    > "$root/boot/vmlinux"
[ -s "$root/boot/vmlinux" ] || die "no vmlinux in vmlinuz-$release"
echo "$made_from" > "$lab/ready"
say "$lab is ready: Linux $release"
