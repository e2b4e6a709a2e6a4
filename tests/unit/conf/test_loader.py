# SPDX-License-Identifier: Apache-2.0
"""What loading refuses, and which files it reads."""

import os
import pathlib
import subprocess
import sys
import tempfile

import fixtures

from nova_vfio_variant import exception, finding
from nova_vfio_variant.conf import database, loader, located
from tests import base

_NAMES_NOTHING = "names no option that is known here or set in a file"


class Loader(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.path = self.folder / "nova.conf"

    def fault(self, content: str | bytes) -> finding.Finding:
        """The one finding that keeps this file from being read."""
        data = content if isinstance(content, bytes) else content.encode()
        self.path.write_bytes(data)
        return self.refused([str(self.path)])

    def refused(
        self,
        files: list[str] | None = None,
        folders: list[str] | None = None,
    ) -> finding.Finding:
        error = self.assertRaises(
            exception.ConfigError, loader.load, files, folders
        )
        (found,) = error.findings
        return found

    def place(self, found: finding.Finding) -> tuple[int, int, int]:
        assert found.location is not None
        self.assertEqual(str(self.path), found.location.file)
        return found.location.line, found.location.column, found.length

    def test_a_file_that_is_not_there_is_named(self) -> None:
        missing = str(self.folder / "none.conf")
        found = self.refused([missing])
        self.assertEqual(
            f"error: {missing}: No such file or directory [VFIO100]",
            str(found),
        )

    def test_a_folder_that_is_not_there_is_named(self) -> None:
        missing = str(self.folder / "none.d")
        self.assertEqual(missing, self.refused([], [missing]).subject)

    def test_a_folder_in_place_of_a_file_is_named(self) -> None:
        self.assertIn("VFIO100", str(self.refused([str(self.folder)])))

    def test_a_file_of_more_lines_than_fit_in_memory_is_refused(self) -> None:
        found = self.fault("[pci]\n" + "a=\n" * 100_000)
        self.assertEqual(
            "it has more than 100,000 lines, the limit", found.message
        )

    def test_more_values_than_fit_in_memory_are_refused_in_many_files_too(
        self,
    ) -> None:
        for number in range(3):
            part = self.folder / f"{number}.conf"
            part.write_text("[pci]\n" + "a=\n" * 40_000)
        found = self.refused([], [str(self.folder)])
        self.assertEqual(str(self.folder / "2.conf"), found.subject)
        self.assertIn("more than 100,000 values, the limit", found.message)

    def test_a_byte_that_is_not_utf8_is_shown_in_its_line(self) -> None:
        found = self.fault(b"[DEFAULT]\r\n# \xc3\xa9 caf\xe9 x\r\n")
        self.assertEqual((2, 8, 4), self.place(found))
        self.assertEqual(r"# é caf\xe9 x", found.line)
        self.assertEqual("byte 0xe9 is not UTF-8", found.message)

    def test_a_line_that_is_no_assignment_is_shown(self) -> None:
        found = self.fault("[pci]\ndevice_spec\n")
        self.assertEqual((2, 1, 11), self.place(found))
        self.assertEqual("no ':' or '=' found in assignment", found.message)

    def test_a_section_without_its_bracket_is_shown(self) -> None:
        self.assertEqual((1, 1, 4), self.place(self.fault("[pci\n")))

    def test_a_continuation_of_nothing_is_shown(self) -> None:
        self.assertEqual((2, 1, 4), self.place(self.fault("[pci]\n  {}\n")))

    def test_an_assignment_before_any_section_is_shown(self) -> None:
        found = self.fault("\nhost = a\n\n\n[DEFAULT]\n")
        self.assertEqual((2, 1, 8), self.place(found))
        self.assertEqual("host = a", found.line)

    def test_a_byte_order_mark_is_explained(self) -> None:
        found = self.fault(b"\xef\xbb\xbf[pci]\n")
        self.assertEqual(1, self.place(found)[0])
        self.assertIn("byte order mark", found.hint or "")

    def test_a_word_that_is_no_choice_is_shown(self) -> None:
        found = self.fault("[vfio]\nplacement = embeded\n")
        self.assertEqual((2, 13, 7), self.place(found))
        self.assertIn("embedded, service", found.message)

    def test_a_word_that_is_no_boolean_is_shown(self) -> None:
        found = self.fault("[pci]\nreport_in_placement = maybe\n")
        self.assertEqual((2, 23, 5), self.place(found))
        self.assertIn("maybe", found.message)
        self.assertEqual("Write true or false.", found.hint)

    def test_a_line_that_is_indented_by_mistake_is_told(self) -> None:
        found = self.fault("[pci]\nreport_in_placement = true\n  alias = {}\n")
        self.assertIn("An indented line", found.hint or "")

    def test_a_wrong_word_in_the_service_section_is_shown(self) -> None:
        found = self.fault(
            "[vfio]\nplacement = service\n[placement]\ninsecure = perhaps\n"
        )
        self.assertEqual((4, 12, 7), self.place(found))

    def test_a_dollar_name_that_names_nothing_is_shown(self) -> None:
        found = self.fault('[pci]\ndevice_spec = {"address":\n   "$x"}\n')
        self.assertEqual("VFIO106", found.code.id)
        self.assertEqual((3, 5, 2), self.place(found))
        self.assertIn("$$", found.hint or "")

    def test_a_dollar_name_that_no_option_can_have_names_nothing(self) -> None:
        found = self.fault("[DEFAULT]\n_x = 1\n[pci]\nalias = $_x\n")
        self.assertEqual(f"$_x {_NAMES_NOTHING}", found.message)

    def test_a_dollar_name_that_leads_back_to_itself_is_shown(self) -> None:
        found = self.fault("[DEFAULT]\nhost = a$host\n")
        self.assertEqual((2, 9, 5), self.place(found))
        self.assertIn("leads back to itself", found.message)

    def test_a_secret_is_shown_in_no_line_that_can_t_be_read(self) -> None:
        for content in (
            b"[placement]\npassword hunter2\n",
            b"[placement]\npassword = hunter2\xe9\n",
            b"[database]\nconnection = mysql://u:p@h\n  hunter2\xe9\n",
        ):
            found = self.fault(content)
            self.assertIsNotNone(found.location)
            self.assertNotIn("hunter2", f"{found}{found.line}{found.hint}")

    def service(self, *lines: str) -> list[tuple[str, str, str]]:
        """Code, place and message of what is wrong with such a service."""
        self.path.write_text(
            "\n".join(["[vfio]", "placement = service", *lines])
        )
        found = loader.survey([str(self.path)]).faults
        for problem in found:
            # The line of a secret is not shown, and no part of it.
            self.assertNotIn("hunter2", f"{problem}{problem.line}")
        return [
            (
                problem.code.id,
                str(problem.location).removeprefix(f"{self.path}:"),
                problem.message,
            )
            for problem in found
        ]

    def test_a_dollar_sign_in_a_password_is_told_without_it(self) -> None:
        self.assertEqual(
            [
                (
                    "VFIO106",
                    "5:14",
                    f"a $ in it {_NAMES_NOTHING}",
                )
            ],
            self.service(
                "[placement]", "auth_type = password", "password = ab$hunter2"
            ),
        )
        # As the hint says.
        self.assertEqual(
            [],
            self.service(
                "[placement]", "auth_type = password", "password = ab$$hunter2"
            ),
        )
        conf = loader.load([str(self.path)])
        self.assertEqual("ab$hunter2", conf.placement.password)

    def test_each_option_of_the_service_is_looked_at(self) -> None:
        self.assertEqual(
            [
                ("VFIO106", "5:11", f"$a {_NAMES_NOTHING}"),
                ("VFIO106", "6:16", f"$b {_NAMES_NOTHING}"),
                ("VFIO106", "7:12", f"$c {_NAMES_NOTHING}"),
                ("VFIO106", "8:12", "$username leads back to itself"),
            ],
            sorted(
                self.service(
                    "[placement]",
                    "auth_type = password",
                    "cafile = /$a",
                    "region_name = x$b",
                    "auth_url = $c",
                    "username = $username",
                ),
                key=lambda fault: fault[1].zfill(5),
            ),
        )

    def test_a_plug_in_that_is_not_there_is_told_with_those_that_are(
        self,
    ) -> None:
        ((code, place, message),) = self.service(
            "[placement]", "auth_type = pasword"
        )
        self.assertEqual(("VFIO103", "4:13"), (code, place))
        self.assertIn("no plug-in 'pasword'", message)
        self.assertIn(" password,", message)

    def test_a_wrong_plug_in_hides_no_fault_of_other_options(self) -> None:
        for wrong, code in (("pasword", "VFIO103"), ("$nothing", "VFIO106")):
            found = self.service(
                "[Placement]",
                f"auth_type = {wrong}",
                "password = $hunter2",
                "some-thing = u",
                "token = abc$hunter2",
                "_x = hunter2",
            )
            self.assertEqual(
                [(code, "4:13"), ("VFIO106", "5:12"), ("VFIO106", "7:12")],
                sorted((code, place) for code, place, _ in found),
            )

    def test_a_plug_in_may_be_named_in_another_section(self) -> None:
        self.assertEqual(
            [],
            self.service(
                "[placement]",
                "auth_section = keystone",
                "[keystone]",
                "auth_type = password",
                "password = hunter2",
            ),
        )
        found = self.service(
            "[placement]",
            "auth_section = keystone",
            "[keystone]",
            "auth_type = password",
            "password = $hunter2",
        )
        self.assertEqual(["7:12"], [place for _, place, _ in found])
        found = self.service("[placement]", "auth_section = $nothing")
        self.assertEqual(["4:16"], [place for _, place, _ in found])
        found = self.service(
            "[placement]",
            "auth_section = keystone",
            "[keystone]",
            "auth_type = $nothing",
        )
        self.assertEqual(["6:13"], [place for _, place, _ in found])

    def test_a_section_that_would_hide_other_options_is_refused(self) -> None:
        for name in ("DEFAULT", "host"):
            ((code, place, _),) = self.service(
                "[placement]", f"auth_section = {name}"
            )
            self.assertEqual(("VFIO103", "4:16"), (code, place))

    def test_a_wrong_plug_in_in_the_environment_is_named(self) -> None:
        self.useFixture(
            fixtures.EnvironmentVariable("OS_PLACEMENT__AUTH_TYPE", "x")
        )
        ((_, place, message),) = self.service()
        self.assertEqual("None", place)
        self.assertIn("no plug-in 'x'", message)

    def test_a_password_of_the_database_is_not_shown_either(self) -> None:
        self.path.write_text(
            "[database]\nconnection = mysql://nova:hun$ter2@db/x\n"
        )
        conf = loader.survey([str(self.path)])
        error = self.assertRaises(
            exception.ConfigError, database.connection, conf
        )
        (found,) = error.findings
        self.assertEqual((2, 30), self.place(found)[:2])
        self.assertNotIn("ter2", f"{found}{found.line}")

    def test_more_of_the_configuration_elsewhere_is_refused(self) -> None:
        found = self.fault(
            "[DEFAULT]\nconfig_source = here, there\n"
            "[here]\ndriver = environment\n[there]\ndriver = remote_file\n"
        )
        self.assertEqual("VFIO108", found.code.id)
        self.assertEqual((2, 17, 11), self.place(found))
        self.assertTrue(found.message.startswith("there: more of"))

    def test_it_is_refused_in_the_environment_too(self) -> None:
        self.useFixture(
            fixtures.EnvironmentVariable("OS_DEFAULT__CONFIG_SOURCE", "x")
        )
        self.assertEqual("OS_DEFAULT__CONFIG_SOURCE", self.refused([]).subject)

    def test_the_environment_as_a_source_adds_nothing(self) -> None:
        self.path.write_text(
            "[DEFAULT]\nconfig_source = env\n[env]\ndriver = environment\n"
        )
        self.assertEqual([], loader.load([str(self.path)]).faults)

    def test_more_dollar_signs_than_anybody_means_are_not_looked_up(
        self,
    ) -> None:
        for many in ("$$", "$host ", "$x"):
            self.path.write_text(
                f"[pci]\nalias = {many * 1001}\nalias = $x\nalias = y\n"
            )
            conf = loader.survey([str(self.path)])
            self.assertEqual(
                [(2, "it has more than 1,000 dollar signs"), (3, None)],
                [
                    (
                        fault.location.line,
                        None if "$x" in fault.message else fault.message,
                    )
                    for fault in conf.faults
                    if fault.location
                ],
            )
            self.assertEqual(
                ["y"],
                [text.text for text in located.values(conf, "pci", "alias")],
            )
        self.path.write_text(f"[pci]\nalias = {'$$' * 500}\n")
        self.assertEqual(["$" * 500], loader.load([str(self.path)]).pci.alias)

    def test_each_wrong_file_and_value_is_told_at_once(self) -> None:
        self.path.write_text("[vfio]\nplacement=a\nprovider_layout=b\n")
        error = self.assertRaises(
            exception.ConfigError, loader.load, [str(self.path)]
        )
        self.assertEqual(2, len(error.findings))

    def test_what_cannot_be_used_is_left_out(self) -> None:
        self.path.write_text(
            "[DEFAULT]\nhost = a$host\nanswer = 42\n"
            "[pci]\nalias = $x\nalias = $answer $$x\n"
            "report_in_placement = maybe\n"
        )
        conf = loader.survey([str(self.path)])
        self.assertEqual(3, len(conf.faults))
        self.assertEqual(
            ["42 $x"],
            [text.text for text in located.values(conf, "pci", "alias")],
        )
        self.assertFalse(conf.pci.report_in_placement)
        self.assertEqual(conf.host, conf.vfio.provider_root)
        # And of no other configuration.
        self.path.write_text("[pci]\nalias = a\n")
        self.assertEqual(["a"], loader.load([str(self.path)]).pci.alias)

    def test_the_environment_cannot_set_a_multi_valued_option(self) -> None:
        self.useFixture(
            fixtures.EnvironmentVariable("OS_PCI__DEVICE_SPEC", "{}")
        )
        found = self.refused([])
        self.assertEqual("OS_PCI__DEVICE_SPEC", found.subject)
        self.assertEqual("VFIO105", found.code.id)

    def test_a_wrong_word_in_the_environment_is_named(self) -> None:
        self.useFixture(
            fixtures.EnvironmentVariable("OS_VFIO__PLACEMENT", "x")
        )
        self.assertEqual("OS_VFIO__PLACEMENT", self.refused([]).subject)

    def test_a_wrong_host_is_told_once_where_it_stands(self) -> None:
        """Not of what is the same by default."""
        found = self.fault("[DEFAULT]\nhost = -x_y:z\n")
        self.assertEqual((2, 8, 6), self.place(found))

    def test_the_environment_wins_over_a_file(self) -> None:
        self.path.write_text("[vfio]\nplacement = embedded\n")
        self.useFixture(
            fixtures.EnvironmentVariable(
                "OS_VFIO__PROVIDER_LAYOUT", "per_class"
            )
        )
        conf = loader.load([str(self.path)])
        self.assertEqual("per_class", conf.vfio.provider_layout)
        self.assertIsNone(located.place(conf, "vfio", "provider_layout"))


class DefaultFiles(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.etc = pathlib.Path(tempfile.mkdtemp())
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.conf.files.NOVA_FOLDER",
                str(self.etc / "nova"),
            )
        )
        self.useFixture(
            fixtures.MonkeyPatch(
                "nova_vfio_variant.conf.files.FOLDER",
                str(self.etc / "nova-vfio"),
            )
        )

    def write(self, name: str) -> None:
        path = self.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[pci]\nalias = {name}\n")

    def aliases(self, folders: list[str] | None = None) -> list[str]:
        conf = loader.load(None, folders)
        return [text.text for text in located.values(conf, "pci", "alias")]

    def test_nothing_at_all_is_fine(self) -> None:
        conf = loader.load()
        self.assertEqual("embedded", conf.vfio.placement)
        self.assertEqual("nova", conf.vfio.provider_layout)
        self.assertEqual(conf.host, conf.vfio.provider_root)

    def test_nova_s_files_and_drop_ins_come_first_and_then_ours(
        self,
    ) -> None:
        order = [
            "nova/nova.conf",
            "nova/nova-compute.conf",
            "nova/nova.conf.d/10.conf",
            "nova/nova.conf.d/20.conf",
            "nova/nova-compute.conf.d/01.conf",
            "nova-vfio/a.conf",
        ]
        for name in reversed(order):
            self.write(name)
        self.write("nova/nova.conf.d/note.txt")
        self.assertEqual(order, self.aliases())

    def test_folders_of_the_caller_replace_nova_s_drop_ins(self) -> None:
        for name in ("nova/nova.conf", "nova/nova.conf.d/1.conf", "d/2.conf"):
            self.write(name)
        self.assertEqual(
            ["nova/nova.conf", "d/2.conf"], self.aliases([str(self.etc / "d")])
        )

    def test_a_default_file_that_can_t_be_opened_is_no_silence(self) -> None:
        os.symlink("nowhere", self.etc / "nova.conf")
        (self.etc / "nova").mkdir()
        os.rename(self.etc / "nova.conf", self.etc / "nova/nova.conf")
        error = self.assertRaises(exception.ConfigError, loader.load)
        self.assertIn("VFIO100", str(error.findings[0]))


class Imports(base.TestCase):
    def test_loading_embedded_needs_neither_keystoneauth_nor_oslo_db(
        self,
    ) -> None:
        script = """
import sys
from nova_vfio_variant.conf import loader
loader.load([])
print({'keystoneauth1', 'oslo_db'} & set(sys.modules))
"""
        done = subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
        )
        self.assertEqual("set()\n", done.stdout)
