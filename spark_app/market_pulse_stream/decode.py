"""From Kafka records to the rows that are copied into PostgreSQL."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from market_pulse import contract
from market_pulse.contract import AnswerRecord, Bar, Rejection

# The order of the columns in the staging table and in `bar_line`, which have where the bar travelled after them.
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
# The order of the columns in `answer_row`.
ANSWER_COLUMNS = (
    "symbol",
    "interval",
    "asked_at",
    "request_id",
    "fetched_at",
    "source",
    "cause",
    "function",
    "month",
    "refusal",
    "sha256",
    "row_count",
    "told",
    "unusable",
    "covers_from",
    "covers_until",
)
# The year 10000, which Python does not know.
MAX_MILLISECONDS = 253_402_300_800_000
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\\\0"})


# Nothing in it can lead back to it, so that the garbage collector need not look.
class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of one partition of the topic, as Kafka holds it; `appended_at` is None where it is not known."""

    offset: int
    key: bytes | None
    value: bytes | None
    appended_at: datetime | None = None


class Rejected(NamedTuple):
    """A record that is no bar, and why."""

    record: Record
    rejection: Rejection


@dataclass(frozen=True)
class Lines:
    """Bars as lines of COPY's text format, and how many they are."""

    count: int
    text: bytes


class Decoded(NamedTuple):
    """What a partition's records are, in order: together as many as the records."""

    bars: list[tuple[Record, Bar]]
    answers: list[AnswerRecord]
    rejected: list[Rejected]


def decode(records: Iterable[Record], replayed_at: datetime | None = None) -> Decoded:
    """Part the records into bars, answers, and those that are neither; see `contract.decode`."""
    decoded = Decoded([], [], [])
    for record in records:
        found = contract.decode(record.key, record.value, record.appended_at, replayed_at)
        if isinstance(found, Rejection):
            decoded.rejected.append(Rejected(record, found))
        elif isinstance(found, AnswerRecord):
            decoded.answers.append(found)
        else:
            decoded.bars.append((record, found))
    return decoded


def record_time(milliseconds: int) -> datetime | None:
    """Return a record's own time from Kafka's milliseconds since 1970; None for what is no time."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if 0 <= milliseconds < MAX_MILLISECONDS else None


def copy_line(fields: Sequence[str | int | bool | bytes | None]) -> str:
    """Return one line of PostgreSQL's COPY text format: escaped, parted by tabs, null marked as such."""
    return "\t".join(map(_copy_field, fields)) + "\n"


def bar_line(bar: Bar, partition: int, offset: int) -> str:
    """Return the line by which a bar that breaks no rule is copied: `BAR_COLUMNS` in order, and where it travelled.

    The rules leave no letter in it that would have to be escaped.
    """
    return (
        f"{bar.symbol}\t{bar.interval}\t{bar.bar_time.isoformat()}\t{bar.open}\t{bar.high}\t{bar.low}\t{bar.close}\t"
        f"{bar.volume}\t{bar.is_final}\t{bar.source}\t{bar.request_id}\t{bar.fetched_at.isoformat()}\t"
        f"{partition}\t{offset}\n"
    )


def bar_lines(bars: Iterable[tuple[Record, Bar]], partition: int) -> Lines:
    """Return the lines of bars of one partition, and of the records that told them."""
    lines = [bar_line(bar, partition, record.offset) for record, bar in bars]
    return Lines(len(lines), "".join(lines).encode())


def answer_row(answer: AnswerRecord) -> tuple[str | int | None, ...]:
    """Return an answer's values in the order of `ANSWER_COLUMNS`."""
    return (
        answer.symbol,
        answer.interval,
        answer.asked_at.isoformat(),
        answer.request_id,
        answer.fetched_at.isoformat(),
        answer.source,
        answer.cause,
        answer.function,
        answer.month,
        answer.refusal,
        answer.sha256,
        answer.rows,
        answer.told,
        answer.unusable,
        answer.covers_from.isoformat() if answer.covers_from else None,
        answer.covers_until.isoformat() if answer.covers_until else None,
    )


def _copy_field(value: str | float | bool | bytes | None) -> str:  # noqa: FBT001 - the value is data, not a switch
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    text = str(value).translate(_ESCAPES)
    # A lone surrogate has no bytes in UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()
