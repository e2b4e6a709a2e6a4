# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is what the commands say.

After a wanted change ``python -m tests.transcripts`` writes the pages anew.
"""

import difflib
import functools
import re

from tests import base, pages, transcripts

_PAGE = """
.. transcript-file: nova.conf

::

   [pci]
   device_spec = { "address": "0000:41:10.0", "mangaed": "no" }

.. transcript: two-node-igb-nvme

.. code-block:: console

   $ echo 'a line' \\
       && nova-vfio config check --offline -f value -c code
   $ echo $?
   what it said once

Behind it.
"""


class TranscriptsTest(base.TestCase):
    maxDiff = None

    def compare(self, name: str) -> None:
        text = (pages.CHECKOUT / name).read_text()
        changed = difflib.unified_diff(
            text.splitlines(),
            transcripts.replay(text).splitlines(),
            "what the page shows",
            "what is said",
            lineterm="",
        )
        self.assertEqual("", "\n".join(changed))

    def test_a_page_is_written_anew_where_commands_say_something_else(
        self,
    ) -> None:
        renewed = transcripts.replay(_PAGE)
        self.assertIn(
            "-c code\n   a line\n   VFIO104\n   $ echo $?\n   2\n\nBehind it.",
            renewed,
        )
        self.assertEqual(renewed, transcripts.replay(renewed))

    def test_a_mark_without_a_block_is_an_error(self) -> None:
        self.assertRaises(
            ValueError, transcripts.replay, ".. transcript: x\n\nText.\n"
        )

    def test_each_session_that_a_page_shows_is_marked(self) -> None:
        for path in pages.paths():
            text = path.read_text()
            marked = {
                command
                for block in transcripts.blocks(text)
                for command in transcripts.commands(block.lines)
            }
            shown = re.findall(r"^ +\$ (.*)$", text, re.MULTILINE)
            self.assertEqual(
                [],
                [
                    line
                    for line in shown
                    if not any(command.startswith(line) for command in marked)
                ],
                str(path),
            )

    def test_the_picture_shows_the_session_of_its_page(self) -> None:
        self.assertEqual(
            transcripts.picture(transcripts.DRAWN.read_text()),
            transcripts.PICTURE.read_text(),
        )


for _path in transcripts.marked():
    _name = pages.name(_path)
    setattr(
        TranscriptsTest,
        f"test_{re.sub(r'[^a-z]+', '_', _name.removesuffix('.rst').lower())}",
        functools.partialmethod(TranscriptsTest.compare, _name),
    )
