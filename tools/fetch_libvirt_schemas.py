# SPDX-License-Identifier: Apache-2.0
"""Put libvirt's RELAX NG schemas into a folder, for the functional tests.

``fetch_libvirt_schemas.py FOLDER`` makes FOLDER a link to the schemas of this
machine if they know ``<driver model=>`` of a hostdev, which is how libvirt
names a variant driver. Otherwise Debian's ``libvirt-common`` is downloaded and
unpacked there: as an ordinary user, with folders of apt's that are our own, so
that nothing on the machine changes.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile

import lxml.etree

MACHINES_OWN = "/usr/share/libvirt/schemas"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

#: A domain that only a schema new enough for variant drivers accepts.
PROBE = """
<domain type="kvm">
  <name>probe</name>
  <memory>1024</memory>
  <os><type>hvm</type></os>
  <devices>
    <hostdev mode="subsystem" type="pci" managed="no">
      <driver name="vfio" model="mlx5_vfio_pci"/>
      <source>
        <address domain="0x0000" bus="0x25" slot="0x00" function="0x4"/>
      </source>
    </hostdev>
  </devices>
</domain>
"""


def know_variant_drivers(folder: str) -> bool:
    """Whether these schemas exist and accept a hostdev's driver model."""
    try:
        schema = lxml.etree.RelaxNG(file=os.path.join(folder, "domain.rng"))
    except (OSError, lxml.etree.Error):
        return False
    return bool(schema.validate(lxml.etree.fromstring(PROBE)))


def debian_suites() -> list[str]:
    """The suite of the machine and its backports; elsewhere, Debian 12's.

    libvirt-common is architecture independent, so any machine with apt and
    Debian's key can read the package.
    """
    release = platform.freedesktop_os_release()
    codename = "bookworm"
    if release.get("ID") == "debian":
        codename = release.get("VERSION_CODENAME", codename)
    return [codename, f"{codename}-backports"]


def mirror() -> str:
    """The machine's own first source of Debian packages.

    :raises OSError: there is no apt-get, or it knows no source
    :raises subprocess.CalledProcessError: it fails
    """
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    told = subprocess.run(
        [*asked, "Created-By: Packages"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()
    if not told:
        raise OSError("apt knows no source of packages")
    return told[0]


def download(into: str) -> str:
    """Download and unpack libvirt-common and return where its schemas are.

    :param into: an empty folder
    :raises OSError: if the machine has no apt-get, dpkg or package source
    :raises subprocess.CalledProcessError: if one of them fails
    """
    for name in ("lists/partial", "cache/archives/partial", "none"):
        os.makedirs(os.path.join(into, name))
    status = os.path.join(into, "status")
    sources = os.path.join(into, "sources.list")
    with open(status, "w", encoding="ascii"):
        pass
    where = mirror()
    with open(sources, "w", encoding="ascii") as lines:
        lines.writelines(
            f"deb [signed-by={KEYRING}] {where} {suite} main\n"
            for suite in debian_suites()
        )
    options = {
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Dir::Cache": os.path.join(into, "cache"),
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": os.path.join(into, "none"),
        "Dir::State::lists": os.path.join(into, "lists"),
        "Dir::State::status": status,
    }
    apt = ["apt-get", "-qq"]
    for name, value in options.items():
        apt += ["-o", f"{name}={value}"]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", "libvirt-common"], check=True, cwd=into)
    (package,) = (n for n in os.listdir(into) if n.endswith(".deb"))
    unpacked = os.path.join(into, "unpacked")
    subprocess.run(
        ["dpkg", "-x", os.path.join(into, package), unpacked], check=True
    )
    return os.path.join(unpacked, "usr/share/libvirt/schemas")


def clear(folder: str) -> None:
    """Remove what an earlier run left there, if anything."""
    if os.path.islink(folder):
        os.unlink(folder)
    elif os.path.exists(folder):
        shutil.rmtree(folder)


def main(folder: str) -> str | None:
    """Make the folder unless it is there; return what went wrong."""
    if know_variant_drivers(folder):
        return None
    if know_variant_drivers(MACHINES_OWN):
        clear(folder)
        os.symlink(MACHINES_OWN, folder)
        return None
    parent = os.path.dirname(os.path.abspath(folder))
    with tempfile.TemporaryDirectory(dir=parent) as work:
        try:
            schemas = download(work)
        except (OSError, subprocess.CalledProcessError) as error:
            why = error if isinstance(error, OSError) else "see above"
            return (
                f"{MACHINES_OWN} is missing or too old for variant drivers,"
                f" and Debian's libvirt-common can't be fetched: {why}"
            )
        if not know_variant_drivers(schemas):
            return "the schemas in Debian's libvirt-common are too old"
        clear(folder)
        os.rename(schemas, folder)
    return None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    sys.exit(main(sys.argv[1]))
