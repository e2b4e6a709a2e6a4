#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Puts nova-vfio and privsep-helper where a package does. Who sees neither
# homes nor /tmp, where Python and the checkout may be, finds them in /opt/lab.

box=/usr/bin/busybox
python=$($box readlink -f "$LAB_PATH/python")
for pair in "${python%/bin/*} python" "${LAB_PATH%/bin} venv" \
    "$LAB_CHECKOUT checkout"; do
    place=/opt/lab/${pair##* }
    $box mkdir -p "$place"
    $box mount --bind "${pair% *}" "$place"
done
for pair in nova-vfio:nova_vfio_variant.cli.main:main \
    privsep-helper:oslo_privsep.daemon:helper_main; do
    module=${pair#*:}
    cat > "/usr/bin/${pair%%:*}" <<END
#!/bin/sh
export PYTHONPATH=/opt/lab/checkout:$(echo /opt/lab/venv/lib/python3*/site-packages)
exec /opt/lab/python/bin/${python##*/} -c \
    'import sys; from ${module%:*} import ${module#*:} as main; sys.exit(main())' "\$@"
END
    $box chmod 755 "/usr/bin/${pair%%:*}"
done
