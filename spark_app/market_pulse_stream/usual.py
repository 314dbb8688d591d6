"""The usual records, all at once: sound bars, told in the very form in which the producer writes them; pure.

What has another form may be a sound bar all the same: that is for `contract.decode` to say, record by record. What is
found here, it would find too, and take six times as long for it.
"""

import functools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from market_pulse.contract import CLOCK_SKEW, MAX_MESSAGE_BYTES, VERSION, Bar, Interval, encode
from market_pulse.contract.rules import BAR_WORDS, FIRST_YEAR, VENDOR_SKEW
from market_pulse_stream.decode import BAR_COLUMNS, MAX_MILLISECONDS, Lines

# What is done for all of them at once takes as long as that for so many one by one.
_FEW = 250
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z"
_TIMES = ("bar_time", "fetched_at")
_PRICES = ("open", "high", "low", "close")
# Twelve digits before the point, eight behind it.
_PRICE_TYPE = pa.decimal128(20, 8)
_MICROSECOND_TYPE = pa.timestamp("us", tz="UTC")
_FIRST = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)
_FINAL, _OPEN = ":true,", ":false,"
_VALUES: dict[str, Any] = dict.fromkeys(BAR_WORDS, "") | dict.fromkeys(_TIMES, datetime(2026, 1, 1, tzinfo=UTC))
# The form of a record, parted by its quotation marks: which field's value is at which place, and the text between them.
_FORM = encode(Bar(v=VERSION, interval="", is_final=True, **_VALUES)).split(b'"')
_PLACES = dict(sorted((_FORM.index(name.encode()) + (1 if name == "is_final" else 2), name) for name in BAR_COLUMNS))
_BETWEEN = b'"'.join(b"\0" if place in _PLACES else piece for place, piece in enumerate(_FORM)).split(b"\0")
# A bar's fields as text, which record of those given has told it, its offset, and the record's own time.
_TEXTS = pa.schema(
    [
        *((name, pa.string()) for name in BAR_COLUMNS),
        *((name, pa.int64()) for name in ("row", "offset", "milliseconds")),
    ]
)


class Usual(NamedTuple):
    """The lines of the usual bars, and the records that may be anything else; columns as they were given."""

    bars: Lines
    others: pa.RecordBatch


def usual(records: pa.RecordBatch, partition: int, few: int = _FEW) -> Usual:
    """Part the sound bars of the producer's form from all other records; columns see `arrow.columns`.

    So few records are all given back, for one by one they are told sooner.
    """
    if records.num_rows <= few:
        return Usual(Lines(0, b""), records)
    told = _sound(_shaped(records))
    is_other = np.ones(records.num_rows, dtype=bool)
    is_other[told.column("row").to_numpy()] = False
    return Usual(Lines(told.num_rows, _lines(told, partition)), records.filter(pa.array(is_other)))


def _shaped(records: pa.RecordBatch) -> pa.RecordBatch:
    """Return the records that have the form, and whose words are as the rules want them; a column for each field."""
    rows = records.append_column("row", pa.array(np.arange(records.num_rows)))
    rows = rows.filter(pc.less_equal(pc.binary_length(rows.column("value")), MAX_MESSAGE_BYTES))
    pieces = pc.split_pattern(rows.column("value"), b'"')
    has_all = pc.equal(pc.list_value_length(pieces), len(_FORM))
    rows, begins = rows.filter(has_all), pieces.offsets[:-1].filter(has_all).to_numpy()
    told = {name: pieces.values.take(pa.array(begins + place)) for place, name in _PLACES.items()}
    # A record that is made again of its values has nothing else in it, and nothing that JSON would read otherwise.
    parts = chain.from_iterable(zip(_BETWEEN, told.values(), strict=False))
    again = pc.binary_join_element_wise(*parts, _BETWEEN[-1], b"")
    is_right = [
        pc.equal(again, rows.column("value")),
        pc.equal(told["symbol"], rows.column("key")),
        pc.is_in(told["interval"], pa.array([interval.encode() for interval in Interval])),
        pc.is_in(told["is_final"], pa.array([_FINAL.encode(), _OPEN.encode()])),
        _match(told, {name: pattern.pattern for name, pattern in BAR_WORDS.items()} | dict.fromkeys(_TIMES, _TIME)),
    ]
    told |= {name: rows.column(name) for name in ("row", "offset", "milliseconds")}
    return pa.RecordBatch.from_pydict(told).filter(_all(is_right))


def _sound(shaped: pa.RecordBatch) -> pa.RecordBatch:
    """Return the bars whose times and numbers are as the rules want them; none if one of them is no time or number."""
    texts = shaped.select(_TEXTS.names).cast(_TEXTS)
    try:
        opened, high, low, close = (texts.column(name).cast(_PRICE_TYPE) for name in _PRICES)
        begun, told = (texts.column(name).cast(_MICROSECOND_TYPE).cast(pa.int64()).to_numpy() for name in _TIMES)
        texts.column("volume").cast(pa.int64())
    except pa.ArrowInvalid:
        return texts.slice(0, 0)
    appended = texts.column("milliseconds").to_numpy()
    is_known = (appended >= 0) & (appended < MAX_MILLISECONDS)
    latest = np.where(is_known, appended, MAX_MILLISECONDS) * 1_000 + _microseconds(CLOCK_SKEW)
    is_timely = (np.minimum(begun, told) >= _FIRST) & (begun - told <= _microseconds(VENDOR_SKEW)) & (told <= latest)
    is_right = [
        pa.array(is_timely),
        pc.greater(low, pa.scalar(Decimal(0), _PRICE_TYPE)),
        *(pc.less_equal(low, price) for price in (opened, close)),
        *(pc.less_equal(price, high) for price in (opened, close)),
    ]
    return texts.filter(_all(is_right))


def _lines(told: pa.RecordBatch, partition: int) -> bytes:
    """Return the lines by which these bars are copied; see `decode.bar_line`."""
    is_final = pc.if_else(pc.equal(told.column("is_final"), _FINAL), "t", "f")
    fields = [is_final if name == "is_final" else told.column(name) for name in BAR_COLUMNS]
    lines = pc.binary_join_element_wise(*fields, str(partition), told.column("offset").cast(pa.string()), "\t")
    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    return (pc.binary_join(whole, "\n")[0].as_py() + "\n").encode() if len(lines) else b""


def _match(told: Mapping[str, pa.Array], patterns: Mapping[str, str]) -> pa.Array:
    """Return which values match their patterns, none of which matches a space."""
    words = pc.binary_join_element_wise(*(told[name] for name in patterns), b" ")
    return pc.match_substring_regex(words, rf"\A{' '.join(patterns.values())}\z")


def _all(are_right: Iterable[pa.Array]) -> pa.Array:
    return functools.reduce(pc.and_, are_right)


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
