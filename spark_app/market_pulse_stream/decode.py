"""From Kafka records to the rows that are copied into PostgreSQL."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from market_pulse import contract
from market_pulse.contract import Bar, Rejection

# The order of the columns in the staging table and in `bar_row`.
BAR_COLUMNS = (
    "symbol",
    "interval",
    "bar_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "is_final",
    "source",
    "request_id",
    "fetched_at",
)
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\\\0"})


class Record(NamedTuple):
    """One record of one partition of the topic, as Kafka holds it."""

    offset: int
    key: bytes | None
    value: bytes | None


class Rejected(NamedTuple):
    """A record that is no bar, and why."""

    record: Record
    rejection: Rejection


def decode(records: Iterable[Record]) -> tuple[list[Bar], list[Rejected]]:
    """Part the records into bars and those that are none; together they are as many as the records."""
    bars: list[Bar] = []
    rejected: list[Rejected] = []
    for record in records:
        decoded = contract.decode(record.key, record.value)
        if isinstance(decoded, Rejection):
            rejected.append(Rejected(record, decoded))
        else:
            bars.append(decoded)
    return bars, rejected


def copy_line(fields: Sequence[str | int | bool | bytes | None]) -> str:
    """Return one line of PostgreSQL's COPY text format: escaped, parted by tabs, null marked as such."""
    return "\t".join(map(_copy_field, fields)) + "\n"


def bar_row(bar: Bar) -> tuple[str | bool, ...]:
    """Return a bar's values in the order of `BAR_COLUMNS`."""
    return (
        bar.symbol,
        bar.interval,
        bar.bar_time.isoformat(),
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.is_final,
        bar.source,
        bar.request_id,
        bar.fetched_at.isoformat(),
    )


def _copy_field(value: str | float | bool | bytes | None) -> str:  # noqa: FBT001 - the value is data, not a switch
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    text = str(value).translate(_ESCAPES)
    # A lone surrogate has no bytes in UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()
