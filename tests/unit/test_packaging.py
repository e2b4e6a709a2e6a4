# SPDX-License-Identifier: Apache-2.0
"""What packaging/ repeats of the project is what the project says."""

import configparser
import fnmatch
import pathlib
import re
import tarfile

from tests import base

_CHECKOUT = pathlib.Path(__file__).parents[2]
_DEBIAN = _CHECKOUT / "packaging/debian"
_SPEC = _CHECKOUT / "packaging/rpm/nova-vfio-variant.spec"
_LICENCE = re.compile(rb"SPDX-License-Identifier: (\S+)")


class PackagingTest(base.TestCase):
    def test_each_says_where_the_project_is(self) -> None:
        read = configparser.ConfigParser()
        read.read(_CHECKOUT / "setup.cfg")
        url = read["metadata"]["url"]
        self.assertIn(f"\nURL:            {url}\n", _SPEC.read_text())
        control = (_DEBIAN / "control").read_text()
        self.assertIn(f"\nHomepage: {url}\n", control)

    def test_each_names_all_libraries(self) -> None:
        names = re.findall(
            r"^[\w.-]+",
            (_CHECKOUT / "requirements.txt").read_text(),
            re.MULTILINE,
        )
        self.assertIn("oslo.config", names)
        spec = re.search(
            r"^%global libraries (.*)$", _SPEC.read_text(), re.MULTILINE
        )
        assert spec is not None
        self.assertEqual(
            sorted(
                f"python3-{name.lower().replace('.', '-')}" for name in names
            ),
            sorted(spec[1].split(", ")),
        )
        control = (_DEBIAN / "control").read_text()
        for name in names:
            self.assertIn(f"\n python3-{name.lower()},\n", control)

    def test_other_licences_have_their_paragraph(self) -> None:
        """What says nothing is under the project's."""
        ours = re.findall(
            r"^Files: (.*)$", (_DEBIAN / "copyright").read_text(), re.MULTILINE
        )[1:]
        others = [
            str(path.relative_to(_CHECKOUT))
            for folder in ("etc", "packaging", "share", "tests")
            for path in (_CHECKOUT / folder).rglob("*")
            if path.is_file()
            and (found := _LICENCE.search(path.read_bytes()[:400]))
            and found[1] != b"Apache-2.0"
        ]
        self.assertIn("tests/lab/modules/igbvf_vfio_pci/Makefile", others)
        for host in (_CHECKOUT / "etc/nova-vfio/hosts").glob("*.tar.gz"):
            with tarfile.open(host) as recording:
                # Its lines are the PCI ID Project's.
                if any(
                    name.endswith("/pci.ids") for name in recording.getnames()
                ):
                    others.append(str(host.relative_to(_CHECKOUT)))
        for path in others:
            self.assertTrue(
                any(fnmatch.fnmatch(path, pattern) for pattern in ours), path
            )

    def test_each_file_of_the_role_names_its_licence(self) -> None:
        for path in (_CHECKOUT / "share/ansible").rglob("*.*"):
            self.assertTrue(_LICENCE.search(path.read_bytes()), path)
