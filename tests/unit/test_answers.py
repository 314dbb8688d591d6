"""Alpha Vantage's answers, made up: every one is exactly its bars, or a refusal."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_pulse.contract import Interval
from market_pulse.sources.answers import parse
from market_pulse.sources.base import DataType, Function, Refusal, RefusedError, Request, Series

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)
IN_2018 = datetime(2018, 12, 31, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
IBM_DAILY = Request(Function.DAILY, "IBM", Interval.DAILY)
IBM_5MIN = Request(Function.INTRADAY, "IBM", Interval.FIVE_MINUTES)


def _utc(wall_time: str) -> datetime:
    return datetime.fromisoformat(wall_time).replace(tzinfo=NEW_YORK).astimezone(UTC)


def _json(
    bars: Mapping[str, Any], *, zone: object = "US/Eastern", symbol: str = "IBM", key: str = "Time Series (5min)"
) -> bytes:
    meta = {"1. Information": "…", "2. Symbol": symbol, "6. Time Zone": zone}
    return json.dumps({"Meta Data": {name: value for name, value in meta.items() if value}, key: bars}).encode()


BAR = {"1. open": "1.0000", "2. high": "3.5000", "3. low": "0.5000", "4. close": "2.0000", "5. volume": "7"}


def test_data_are_data_whatever_else_the_answer_says() -> None:
    body = json.loads(_json({"2026-05-15 19:55:00": BAR})) | {"Information": "25 requests per day"}
    assert len(parse(json.dumps(body).encode(), IBM_5MIN, NOW).rows) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"42",
        b"{}",
        b"<html>login</html>",
        b"\xff\xfe{\x00}\x00",
        b'{"Time Series (5min)": {}',
        b'{"Time Series (5min)": {}, "Time Series (5min)": {}}',
        b"[" * 100_000,
        _json({"2026-05-15 19:55:00": BAR}).replace(b'"7"', b"NaN"),
        _json({"2026-05-15 19:55:00": BAR}).replace(b'"7"', b"Infinity"),
        _json({"2026-05-15 19:55:00": BAR}, symbol="MSFT"),
        _json({"2026-05-15 19:55:00": BAR}, zone=None),
        _json({"2026-05-15 19:55:00": BAR}, zone="Mars/Olympus"),
        _json({"2026-05-15 19:55:00": BAR}, zone="../../etc/passwd"),
        _json({"2026-05-15 19:55:00": BAR}, zone=["UTC"]),
        _json({"2026-05-15 19:55:00": BAR}, key="Time Series (1min)"),
    ],
)
def test_what_is_not_the_answer_is_refused_whole(body: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        parse(body, IBM_5MIN, NOW)
    assert refused.value.refusal is Refusal.VENDOR_ERROR
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("zone", "instant"),
    [
        ("US/Eastern", datetime(2026, 5, 15, 23, 55, tzinfo=UTC)),
        ("UTC", datetime(2026, 5, 15, 19, 55, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2026, 5, 15, 14, 25, tzinfo=UTC)),
    ],
)
def test_the_answers_zone_is_honoured(zone: str, instant: datetime) -> None:
    assert parse(_json({"2026-05-15 19:55:00": BAR}, zone=zone), IBM_5MIN, NOW).rows[0].bar_time == instant


@pytest.mark.parametrize(
    "label",
    [
        "2026-11-01 01:30:00",  # comes twice
        "2026-03-08 02:30:00",  # comes never
        "2026-02-30 10:00:00",
        "2026-05-15 24:00:00",
        "2026-05-15 23:59:60",
        "2026-05-15T19:55:00",
        "2026-05-15",
        "0000-01-01 00:00:00",
        "0001-01-01 00:00:00",
        "10000-01-01 00:00:00",
        "\u0662026-05-15 19:55:00",
        "",
    ],
)
def test_a_bar_that_cannot_be_placed_in_time_is_named_and_its_neighbours_stay(label: str) -> None:
    series = parse(_json({label: BAR, "2026-05-15 19:55:00": BAR}, zone="US/Eastern"), IBM_5MIN, NOW)
    placed = [row.bar_time for row in series.rows if row.bar_time.year > 1]
    assert placed == [_utc("2026-05-15 19:55")]
    assert len(series.unusable) + len(series.rows) == 2


def test_numbers_keep_their_text_and_numbering_may_go() -> None:
    body = b'{"Meta Data": {"Symbol": "IBM", "Time Zone": "UTC"}, "Time Series (5min)": {"2026-05-15 19:55:00": '
    body += b'{"open": 1.10, "high": 700000.123456789012345678, "low": null, "volume": 9223372036854775808, "new": 1}}}'
    row = parse(body, IBM_5MIN, NOW).rows[0]
    assert row[1:] == ("1.10", "700000.123456789012345678", "", "", "9223372036854775808")


@pytest.mark.parametrize("text", ["\ud800", "\x00", "1" * 41, "²"])
def test_text_that_has_no_place_on_the_wire_makes_its_bar_unusable(text: str) -> None:
    series = parse(_json({"2026-05-15 19:55:00": BAR | {"4. close": text}}), IBM_5MIN, NOW)
    assert (len(series.rows), len(series.unusable)) == (0, 1)


_scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from(["IBM", "US/Eastern"])
_keys = st.text() | st.sampled_from(
    ["Meta Data", "2. Symbol", "6. Time Zone", "Time Series (5min)", "2026-05-15 19:55:00", "Note", "Error Message"]
)
_trees = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(_keys, inner), max_leaves=30)


@given(_trees | st.builds(lambda series: {"Time Series (5min)": series, "Meta Data": {"2. Symbol": "IBM"}}, _trees))
def test_no_json_crashes_the_parser(tree: Any) -> None:
    _parse_or_refuse(json.dumps(tree).encode("utf-8", "surrogatepass"), DataType.JSON)


@given(
    st.binary()
    | st.text().map(lambda text: ("timestamp,open,high,low,close,volume\r\n" + text).encode("utf-8", "replace"))
)
def test_no_bytes_crash_the_parser(body: bytes) -> None:
    _parse_or_refuse(body, DataType.CSV)


def _parse_or_refuse(body: bytes, datatype: DataType) -> None:
    for function, interval in ((Function.INTRADAY, Interval.FIVE_MINUTES), (Function.QUOTE, Interval.DAILY)):
        try:
            assert isinstance(parse(body, Request(function, "IBM", interval, datatype), NOW), Series)
        except RefusedError:
            continue
