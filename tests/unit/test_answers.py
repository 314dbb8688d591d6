"""Alpha Vantage's answers, made up: every one is exactly its bars, or a refusal."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from market_pulse.contract import Interval
from market_pulse.sources.answers import parse
from market_pulse.sources.base import DataType, Function, Refusal, RefusedError, Request

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
        b'{"a":' * 100_000,
        _json({"2026-05-15 19:55:00": BAR}).decode().encode("utf-16"),
        _json({"2026-05-15 19:55:00": BAR}).decode().encode("utf-16-le"),
        _json({"2026-05-15 19:55:00": BAR | {"6. note": "caf\u00e9"}}).replace(b"\\u00e9", "é".encode("latin-1")),
        _json({"2026-05-15 19:55:00": BAR}).replace(b'"7"', b"1e999"),
        _json({"2026-05-15 19:55:00": BAR}).replace(b'"7"', b"9" * 5000),
        _json({"2026-05-15 19:55:00": BAR})[:-40],
        _json({"2026-05-15 19:55:00": BAR}).replace(b'"7"', b"NaN"),
        _json({"2026-05-15 19:55:00": BAR}).replace(b'"7"', b"Infinity"),
        _json({"2026-05-15 19:55:00": BAR}, symbol="MSFT"),
        _json({"2026-05-15 19:55:00": BAR}, zone=None),
        _json({"2026-05-15 19:55:00": BAR}, zone="Mars/Olympus"),
        _json({"2026-05-15 19:55:00": BAR}, zone="../../etc/passwd"),
        _json({"2026-05-15 19:55:00": BAR}, zone=["UTC"]),
        _json({"2026-05-15 19:55:00": BAR}, zone="localtime"),
        _json({"2026-05-15 19:55:00": BAR}, zone="right/US/Eastern"),
        _json({"2026-05-15 19:55:00": BAR}, zone="Factory"),
        _json({"2026-05-15 19:55:00": BAR}, zone="America"),
        _json({"2026-05-15 19:55:00": BAR}, symbol="\ud800"),
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
    assert all(sentence.isascii() for sentence in series.unusable)


@pytest.mark.parametrize("fetched_at", [NOW, IN_2018])
@pytest.mark.parametrize("label", ["0001-01-01 00:00:00", "9999-12-31 23:59:00"])
@pytest.mark.parametrize("zone", ["UTC", "US/Eastern", "Asia/Kolkata", "Etc/GMT+12", "Etc/GMT-14"])
def test_the_ends_of_the_calendar_crash_nothing(label: str, zone: str, fetched_at: datetime) -> None:
    series = parse(_json({label: BAR, "2017-05-15 19:55:00": BAR}, zone=zone), IBM_5MIN, fetched_at)
    assert len(series.unusable) + len(series.rows) == 2


@pytest.mark.parametrize(
    ("label", "fetched_at", "instant"),
    [
        # The Mondays after both clock changes, and the hours around them.
        ("2026-03-09 09:30:00", NOW, datetime(2026, 3, 9, 13, 30, tzinfo=UTC)),
        ("2026-03-06 09:30:00", NOW, datetime(2026, 3, 6, 14, 30, tzinfo=UTC)),
        ("2026-03-08 03:00:00", NOW, datetime(2026, 3, 8, 7, 0, tzinfo=UTC)),
        ("2026-11-01 02:00:00", NOW, datetime(2026, 11, 1, 7, 0, tzinfo=UTC)),
        # The same bar, labelled by its end and by its start.
        ("2017-05-15 09:35:00", IN_2018, datetime(2017, 5, 15, 13, 30, tzinfo=UTC)),
        ("2017-05-15 09:30:00", NOW, datetime(2017, 5, 15, 13, 30, tzinfo=UTC)),
    ],
)
def test_labels_are_placed_by_the_clock_of_their_day(label: str, fetched_at: datetime, instant: datetime) -> None:
    assert parse(_json({label: BAR}), IBM_5MIN, fetched_at).rows[0].bar_time == instant


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Europe/London"])
def test_days_of_another_zone_are_no_days_of_the_exchange(zone: str) -> None:
    with pytest.raises(RefusedError, match="not of the exchange"):
        parse(_json({"2026-05-15": BAR}, zone=zone, key="Time Series (Daily)"), IBM_DAILY, NOW)


def test_a_month_that_was_not_asked_for_is_refused_whole() -> None:
    april = Request(Function.INTRADAY, "IBM", Interval.FIVE_MINUTES, full=True, month="2026-04")
    edges = {"2026-04-01 00:00:00": BAR, "2026-04-30 23:55:00": BAR}
    assert len(parse(_json(edges), april, NOW).rows) == 2
    for label in ("2026-03-31 23:55:00", "2026-05-01 00:00:00"):
        with pytest.raises(RefusedError, match="2026-04 was asked for and the bar of"):
            parse(_json(edges | {label: BAR}), april, NOW)


def test_what_is_told_twice_differently_is_not_told_and_what_is_told_twice_alike_is_told_once() -> None:
    csv = "timestamp,open,high,low,close,volume\r\n"
    bars = "2026-05-15 19:55:00,1,2,1,2,{}\r\n2026-05-15 19:50:00,1,2,1,2,7\r\n2026-05-15 19:55:00,1,2,1,2,7\r\n"
    request = Request(Function.INTRADAY, "IBM", Interval.FIVE_MINUTES, DataType.CSV)
    alike, differing = (parse((csv + bars.format(volume)).encode(), request, NOW) for volume in (7, 8))
    assert (len(alike.rows), len(alike.unusable)) == (2, 0)
    assert [row.bar_time for row in differing.rows] == [_utc("2026-05-15 19:50")]
    assert differing.unusable == ("bar 2026-05-15T23:55Z: it is told twice, differently",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("timestamp,open,high,low,close,volume\r\n2026-05-15 19:55:00,1,2,1,2,15", "in the middle of a line"),
        ("timestamp,open,high,low,close,volume,open\r\n2026-05-15 19:55:00,1,2,1,2,7,1\r\n", "stands there twice"),
        ('timestamp,open,high,low,close,volume\r\n2026-05-15 19:55:00,"1,2,1,2,7\r\n', "is not CSV"),
        ("timestamp,open,high,low,close\r\n2026-05-15 19:55:00,1,2,1,2\r\n", "other columns"),
        ("timestamp,open,high,low,close,volume\r\n2026-05-15 19:55:00,1,234,2,1,2,7\r\n", "more values than there are"),
    ],
)
def test_csv_that_cannot_be_trusted_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(RefusedError, match=sentence):
        parse(text.encode(), Request(Function.INTRADAY, "IBM", Interval.FIVE_MINUTES, DataType.CSV), NOW)


def test_a_field_that_is_told_under_two_names_is_not_guessed() -> None:
    twice = BAR | {"6. open": "9"}
    series = parse(_json({"2026-05-15 19:55:00": twice, "2026-05-15 19:50:00": BAR}), IBM_5MIN, NOW)
    assert (len(series.rows), len(series.unusable)) == (1, 1)
    with pytest.raises(RefusedError, match="the same name"):
        parse(_json({"2026-05-15 19:55:00": BAR}).replace(b"1. Information", b"7. Symbol"), IBM_5MIN, NOW)


@pytest.mark.parametrize("function", list(Function))
@pytest.mark.parametrize("datatype", list(DataType))
@pytest.mark.parametrize("word", ["ARTIFICIAL", "artificial", "FOR ILLUSTRATION PURPOSES ONLY"])
def test_data_that_are_said_to_be_invented_are_none(function: Function, datatype: DataType, word: str) -> None:
    interval = Interval.FIVE_MINUTES if function is Function.INTRADAY else Interval.DAILY
    message = {"message": f"This is a premium endpoint. ***THE SAMPLE DATA BELOW IS {word}***"}
    for answer in (json.loads(_json({"2026-05-15 19:55:00": BAR})) | message, message | {"Global Quote": BAR}):
        with pytest.raises(RefusedError) as refused:
            parse(json.dumps(answer).encode(), Request(function, "IBM", interval, datatype), NOW)
        assert refused.value.refusal is Refusal.INVENTED


@pytest.mark.parametrize("sentence", ["a\nb\u0000c", "\ud800 \u202e \x1b[31m", "x" * 5000, ""])
@pytest.mark.parametrize("key", ["Error Message", "Information", "Note"])
def test_a_refusals_sentence_breaks_neither_journal_nor_status_line(sentence: str, key: str) -> None:
    with pytest.raises(RefusedError) as refused:
        parse(json.dumps({key: sentence}).encode(), IBM_DAILY, NOW)
    told = str(refused.value)
    assert told.isascii()
    assert told.isprintable()
    assert len(told) <= 300


@pytest.mark.parametrize("key", ["Error Message", "Information", "Note"])
def test_a_sentence_that_nobody_knows_says_nothing_about_the_symbol(key: str) -> None:
    body = json.dumps({key: "An internal error occurred. Please try again later."}).encode()
    with pytest.raises(RefusedError) as refused:
        parse(body, IBM_DAILY, NOW)
    assert refused.value.refusal is Refusal.VENDOR_ERROR


def test_numbers_keep_their_text_and_numbering_may_go() -> None:
    body = b'{"Meta Data": {"Symbol": "IBM", "Time Zone": "UTC"}, "Time Series (5min)": {"2026-05-15 19:55:00": '
    body += b'{"open": 1.10, "high": 700000.123456789012345678, "low": null, "volume": 9223372036854775808, "new": 1}}}'
    row = parse(body, IBM_5MIN, NOW).rows[0]
    # The one that is missing and the one that is null are empty, which the contract refuses.
    assert row[1:] == ("1.10", "700000.123456789012345678", "", "", "9223372036854775808")


@pytest.mark.parametrize("text", ["\ud800", "\x00", "1" * 41, "²"])
def test_text_that_has_no_place_on_the_wire_makes_its_bar_unusable(text: str) -> None:
    bars = {"2026-05-15 19:55:00": BAR | {"4. close": text}, "2026-05-15 19:50:00": BAR}
    series = parse(_json(bars), IBM_5MIN, NOW)
    assert (len(series.rows), len(series.unusable)) == (1, 1)
    with pytest.raises(RefusedError, match="none of the answer's 1 bars can be used"):
        parse(_json({"2026-05-15 19:55:00": BAR | {"4. close": text}}), IBM_5MIN, NOW)
