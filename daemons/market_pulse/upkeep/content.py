"""The content of rows as a number of rows and a digest, the same for a table and for the file made of it.

The SQL function ``market.content_of`` says the same of a month in the database. The digest does not depend on the order
of the rows: each one's SHA-256 begins with two whole numbers, and the sums of these are it.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

_PARTED_BY = "\x1f"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_two_numbers = struct.Struct(">qq")


class Content(NamedTuple):
    """How many rows, and what they hold."""

    row_count: int
    digest: str


@dataclass
class Tally:
    """Adds up the content of rows as they come."""

    row_count: int = 0
    _first: int = 0
    _second: int = 0

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """Take in rows, each as the values of its columns in order."""
        for row in rows:
            text = _PARTED_BY.join(map(_text, row))
            first, second = _two_numbers.unpack_from(hashlib.sha256(text.encode()).digest())
            self.row_count += 1
            self._first += first
            self._second += second

    def content(self) -> Content:
        """Return what the rows so far hold."""
        return Content(self.row_count, f"{self._first} {self._second}")


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "t" if value else "f"
        case Decimal():
            return f"{value.normalize():f}"
        case datetime():
            return str((value - _EPOCH) // _MICROSECOND)
        case _:
            return str(value)
