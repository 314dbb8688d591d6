"""The commands of docs/backups.md, which the tests run as they stand there."""

import re

from support.repository import ROOT

_INSTANT = "2026-01-05 15:31:00+00"
_ROWS = "symbol = 'IBM' AND bar_time >= '2026-01-05 15:00Z' AND bar_time < '2026-01-05 16:00Z'"


def documented(title: str, instant: str, rows: str = _ROWS) -> list[str]:
    """Return the lines of a block of commands, with this instant and these rows in the place of its example's."""
    page = (ROOT / "docs" / "backups.md").read_text()
    (block,) = re.findall(rf"^```sh {title}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert _INSTANT in block
    assert _ROWS in block or rows == _ROWS
    return list(block.replace(_INSTANT, instant).replace(_ROWS, rows).splitlines())
