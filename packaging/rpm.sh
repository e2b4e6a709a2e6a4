#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the RPM of what is committed, without its dependencies, and compares
# its files with the wheel's.
#
#   rpm.sh FOLDER     where the RPM is left
#
# Runs on Debian with rpm, by a python with pbr, pip, setuptools, wheel and the
# libraries that the program needs.

set -euo pipefail
umask 022
export LC_ALL=C.UTF-8

top=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
python=$(command -v python)

git clone --quiet "$top" "$work/tree"
cd "$work/tree"
mkdir "$work/SOURCES"
"$python" -c 'import sys
from pbr import build
print(build.build_sdist(sys.argv[1]))' "$work/SOURCES" > "$work/said"
name=$(tail -n 1 "$work/said")
upstream=${name##*-}
upstream=${upstream%.tar.gz}

# Where Debian's rpm has no macros for systemd, the packages' scripts name them.
macros=()
for macro in post preun postun; do
    [ "$(rpm --eval "%{?systemd_$macro:there}")" = there ] ||
        macros+=(--define "systemd_$macro() : systemd_$macro %*")
done
rpmbuild --quiet --nodeps -bb \
    --define "_topdir $work" --define "upstream $upstream" \
    --define "sdist ${name%.tar.gz}" \
    --define "python3 $python" --define '_build_id_links none' \
    --define '__brp_python_bytecompile %{nil}' \
    --define '__brp_compress %{nil}' \
    "${macros[@]}" packaging/rpm/nova-vfio-variant.spec
rpm=$(ls "$work"/RPMS/noarch/*.rpm)

# What a wheel has, where the RPM has it.
"$python" -m pip wheel --quiet --no-deps --no-build-isolation \
    --wheel-dir "$work/wheel" "$work/SOURCES/$name"
{
    "$python" -m zipfile -l "$work"/wheel/*.whl | awk 'NR > 1 { print $1 }' |
        sed -n -e 's|^[^/]*\.data/data/||
            s|^etc/nova-vfio/\(hosts/.*\)|share/nova-vfio/\1|
            s|^etc/nova-vfio/\(demo/.*\)|share/nova-vfio/\1|
            s|^etc/nova-vfio/\([^/]*-generator.conf\)|share/nova-vfio/\1|
            /\.dist-info\//d
            p'
    # And what is made of it.
    echo lib/systemd/system/nova-vfio-host.service
    echo share/bash-completion/completions/nova-vfio
    echo share/zsh/site-functions/_nova-vfio
} | sort > "$work/expected"
rpm -qp --queryformat '[%{FILEMODES:perms} %{FILENAMES}\n]' "$rpm" |
    awk '!/^d/ { print $2 }' |
    sed -e 's|^/usr/||' -e 's|^/etc/|etc/|' -e 's|^lib.*/site-packages/||' \
        -e 's|^lib.*/dist-packages/||' -e 's|\.1\.gz$|.1|' \
        -e '/\.dist-info\//d' -e '/^share\/licenses\//d' -e '/^bin\//d' |
    sort > "$work/found"
diff -u "$work/expected" "$work/found"
[ "$(rpm -qp --scripts "$rpm" | grep -c nova-vfio-host.service)" = 3 ]
cp "$rpm" "$folder/"
echo "rpm: $(wc -l < "$work/found") files, those of the wheel: $(basename "$rpm")"
