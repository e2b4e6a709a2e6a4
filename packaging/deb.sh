#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the deb of what is committed for Debian 13, lints it, and installs it
# beside Debian's nova-compute, in chroots.
#
#   deb.sh FOLDER     where the chroots are kept, and the deb is left
#
# Runs as root on Debian with mmdebstrap, and a python with pbr.  Downloads come
# from the machine's own first source of apt; a chroot that is there is used
# again, so remove it for today's packages.

set -euo pipefail
umask 022
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

top=$(cd "$(dirname "$0")/.." && pwd)
folder=$1
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    awk 'NR == 1')
suite="deb $mirror trixie main"
say() { echo "deb: $*"; }

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# What the package says that it is built with.
needed=$(sed -n '/^Build-Depends:/,/^[A-Z]/s/^ \([^ ,]*\).*/\1/p' \
    "$top/packaging/debian/control" |
    sed 's/^debhelper-compat$/debhelper/; s/^dh-sequence-python3$/dh-python/')
[ -e "$folder/build.tar" ] || {
    say "making the chroot that builds"
    mmdebstrap --quiet --variant=buildd \
        --include="$(echo $needed lintian | tr ' ' ,)" \
        trixie "$folder/build.tar" "$suite"
}
[ -e "$folder/clean.tar" ] || {
    say "making the chroot that has nova-compute"
    mmdebstrap --quiet --variant=apt \
        --include=nova-compute,systemd,bash-completion \
        trixie "$folder/clean.tar" "$suite"
}

unpack() {
    mkdir "$work/$1"
    tar -C "$work/$1" --exclude=./dev -xf "$folder/$1.tar"
    mkdir -p "$work/$1/dev"
    mknod -m 666 "$work/$1/dev/null" c 1 3
}

within() {
    local root=$work/$1
    shift
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive unshare --mount sh -c \
        'mount -t proc proc "$1/proc" && exec chroot "$@"' sh "$root" "$@"
}

say "building"
unpack build
source=$work/build/build/source
mkdir -p "$source"
git -C "$top" archive HEAD | tar -C "$source" -xf -
cp -r "$source/packaging/debian" "$source/debian"
version=$(cd "$top" && python setup.py -q --version | tail -n 1)
cat > "$source/debian/changelog" <<END
nova-vfio-variant (${version/.dev/\~dev}) trixie; urgency=medium

  * See the release notes.

 -- nova-vfio-variant contributors <nova-vfio-variant@lists.invalid>  $(
     git -C "$top" log -1 --format=%aD)
END
within build sh -c 'cd /build/source && dpkg-buildpackage -us -uc -b'
say "linting"
within build sh -c 'cd /build && lintian --allow-root --fail-on error ./*.changes'
cp "$work"/build/build/*.deb "$folder/"

say "installing beside nova-compute"
unpack clean
cp "$work"/build/build/*.deb "$source/packaging/installed.sh" "$work/clean/root/"
cp -r "$source/etc/nova-vfio/hosts" "$work/clean/root/"
cp /etc/resolv.conf "$work/clean/etc/" 2> /dev/null || true
within clean sh /root/installed.sh
say "done: $(cd "$folder" && echo ./*.deb)"
