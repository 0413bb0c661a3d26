# SPDX-License-Identifier: Apache-2.0
"""The reader of executable pages must notice what is wrong, or the tutorial's test would prove nothing."""

from __future__ import annotations

from tests.docs.executable_pages import blocks, broken_promise, commands

PAGE = """
Text.

```json title=a/cr.json
{ "kind": "soft" }
```

```console exit=8
$ cr lint a
1 component checked, nothing found.
$ cr init b
error: ...
```
"""


def test_blocks_carry_their_attributes_and_text() -> None:
    first, second = blocks(PAGE)
    assert (first.language, first.attributes, first.text) == ("json", {"title": "a/cr.json"}, '{ "kind": "soft" }\n')
    assert second.attributes == {"exit": "8"}


def test_the_exit_code_of_a_block_is_that_of_its_last_command() -> None:
    lint, init = commands(list(blocks(PAGE))[1])
    assert (lint.line, lint.promised, lint.exit_code) == ("cr lint a", ("1 component checked, nothing found.",), 0)
    assert (init.line, init.exit_code) == ("cr init b", 8)


def test_promised_lines_must_appear_in_order() -> None:
    output = "what  version\nreuse   python 3.11\ndone\n"
    assert broken_promise(["reuse python ...", "done"], output) == ""
    assert broken_promise(["done", "reuse python ..."], output) == "reuse python ..."
    assert broken_promise(["what version", "...", "done"], output) == ""


def test_a_line_that_only_begins_so_is_not_what_was_promised() -> None:
    assert broken_promise(["done"], "done, or not\n") == "done"
    assert broken_promise(["mAP 0.5"], "mAP 0x5\n") == "mAP 0.5"
