# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation, one by one."""

import collections
import configparser
import re

from tests import base, pages

_TITLE = re.compile(r"^(\S.*)\n([=\-~^])\2{2,}$", re.MULTILINE)


class PagesTest(base.TestCase):
    def test_no_page_has_two_sections_of_one_title(self) -> None:
        seen = 0
        for path in pages.paths():
            titles = collections.Counter(
                title for title, _ in _TITLE.findall(path.read_text())
            )
            seen += titles.total()
            twice = [title for title, count in titles.items() if count > 1]
            self.assertEqual([], twice, pages.name(path))
        self.assertGreater(seen, 100)

    def test_the_readme_has_the_addresses_of_the_metadata(self) -> None:
        read = configparser.ConfigParser()
        read.read(pages.CHECKOUT / "setup.cfg")
        told = read["metadata"]
        lines = [line for line in told["project_urls"].splitlines() if line]
        urls = dict(line.split(" = ") for line in lines)
        self.assertEqual(told["url"], urls["Source Code"])
        text = (pages.CHECKOUT / "README.rst").read_text()
        self.assertEqual(
            {told["url"], urls["Bug Tracker"]},
            set(re.findall(r"https://[^\s,`]+[a-z]", text)),
        )
