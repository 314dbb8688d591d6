"""Alpha Vantage's recorded answers: every one is exactly its bars, or a refusal."""

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from market_pulse.contract import Interval
from market_pulse.sources.answers import parse
from market_pulse.sources.base import DataType, Function, Refusal, RefusedError, Request, Row
from support.samples import sample

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)
IN_2018 = datetime(2018, 12, 31, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
IBM_DAILY = Request(Function.DAILY, "IBM", Interval.DAILY)
IBM_5MIN = Request(Function.INTRADAY, "IBM", Interval.FIVE_MINUTES)


def _asked(function: Function, symbol: str, interval: Interval, datatype: str = "json") -> Request:
    return Request(function, symbol, interval, DataType(datatype))


def _utc(wall_time: str) -> datetime:
    return datetime.fromisoformat(wall_time).replace(tzinfo=NEW_YORK).astimezone(UTC)


@pytest.mark.parametrize(
    ("name", "request_", "fetched_at", "count", "newest"),
    [
        (
            "pt_intraday_5min_IBM_2026-05-15.csv",
            _asked(Function.INTRADAY, "IBM", Interval.FIVE_MINUTES, "csv"),
            NOW,
            100,
            Row(_utc("2026-05-15 19:55"), "219.0300", "219.0300", "219.0000", "219.0000", "158"),
        ),
        (
            "pt_daily_IBM_2026.csv",
            _asked(Function.DAILY, "IBM", Interval.DAILY, "csv"),
            NOW,
            100,
            Row(_utc("2026-05-15"), "218.2000", "220.9100", "217.6150", "219.3000", "6154450"),
        ),
        (
            "pt_daily_adjusted_IBM_2026.csv",
            _asked(Function.DAILY, "IBM", Interval.DAILY, "csv"),
            NOW,
            100,
            Row(_utc("2026-05-15"), "218.2", "220.91", "217.615", "219.3", "6154450"),
        ),
        (
            "cg_daily_IBM_2020_midsession.json",
            IBM_DAILY,
            datetime(2020, 5, 8, 18, 7, 10, tzinfo=UTC),
            2,
            Row(_utc("2020-05-08"), "122.6700", "122.8000", "121.0600", "121.7900", "2538547"),
        ),
        (
            "cs_intraday_5min_TSLA_2021.csv",
            _asked(Function.INTRADAY, "TSLA", Interval.FIVE_MINUTES, "csv"),
            datetime(2021, 5, 14, tzinfo=UTC),
            # Labelled by its end, 20:00, as all answers of that year.
            100,
            Row(_utc("2021-05-13 19:55"), "574.4700", "575.0000", "573.5000", "573.5000", "11050"),
        ),
        (
            "cs_intraday_5min_TSLA_2021.json",
            _asked(Function.INTRADAY, "TSLA", Interval.FIVE_MINUTES),
            datetime(2021, 4, 24, tzinfo=UTC),
            2,
            Row(_utc("2021-04-23 19:55"), "730.2500", "730.5000", "730.1000", "730.1000", "5637"),
        ),
        (
            "kw_intraday_15min_MSFT_2018_BOM.json",
            _asked(Function.INTRADAY, "MSFT", Interval.FIFTEEN_MINUTES),
            IN_2018,
            39,
            Row(_utc("2018-04-11 15:15"), "91.8400", "91.8400", "91.4800", "91.6000", "852917"),
        ),
        (
            "rt_intraday_1min_MSFT_2017.json",
            _asked(Function.INTRADAY, "MSFT", Interval.ONE_MINUTE),
            IN_2018,
            100,
            Row(_utc("2017-12-18 14:55"), "86.4900", "86.5000", "86.4750", "86.5000", "10494"),
        ),
        (
            "cs_global_quote_TSLA_2021.json",
            _asked(Function.QUOTE, "TSLA", Interval.DAILY),
            NOW,
            1,
            Row(_utc("2021-04-23"), "719.8000", "737.3600", "715.4600", "729.4000", "27879033"),
        ),
        (
            "rt_global_quote_MSFT_2018.json",
            _asked(Function.QUOTE, "MSFT", Interval.DAILY),
            NOW,
            1,
            Row(_utc("2018-10-05"), "112.6300", "113.1700", "110.6400", "112.1300", "29062853"),
        ),
        (
            "xr_global_quote_TSLA_2023_CRLF.csv",
            _asked(Function.QUOTE, "TSLA", Interval.DAILY, "csv"),
            NOW,
            1,
            Row(_utc("2023-07-03"), "276.4900", "284.2500", "275.1100", "279.8200", "119685891"),
        ),
        (
            "pt_global_quote_IBM.csv",
            _asked(Function.QUOTE, "IBM", Interval.DAILY, "csv"),
            NOW,
            1,
            Row(_utc("2026-05-15"), "218.2000", "220.9100", "217.6150", "219.3000", "6154450"),
        ),
    ],
)
def test_recorded_answers_are_exactly_their_bars(
    name: str, request_: Request, fetched_at: datetime, count: int, newest: Row
) -> None:
    body = sample(name).read_bytes()
    series = parse(body, request_, fetched_at)
    assert len(series.rows) == count
    assert series.rows[0] == newest
    assert series.unusable == ()
    if request_.datatype is DataType.CSV and request_.function is not Function.QUOTE:
        header, *lines = (line.split(",") for line in body.decode().split())
        columns = [header.index(field) for field in ("open", "high", "low", "close", "volume")]
        # A label with a time is two words of the split, so values are counted from the end.
        values = [line for line in lines if len(line) > 1]
        shift = len(header) - len(values[0])
        assert [row[1:] for row in series.rows] == [
            tuple(line[column - shift] for column in columns) for line in values
        ]


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("kw_error_message_BOM.json", Refusal.BAD_CALL),
        ("kw_error_note_5permin_BOM.json", Refusal.BURST),
        ("kw_information_premium_BOM.json", Refusal.BURST),
        ("wl_information_demo_key_refusal.json", Refusal.NOT_ENTITLED),
        ("pt_bulk_quotes_ARTIFICIAL.json", Refusal.VENDOR_ERROR),
        ("pt_market_status.json", Refusal.VENDOR_ERROR),
        ("pt_splits_IBM.csv", Refusal.VENDOR_ERROR),
        ("pt_dividends.csv", Refusal.VENDOR_ERROR),
    ],
)
@pytest.mark.parametrize("datatype", ["json", "csv"])
def test_recorded_answers_without_bars_are_refusals(name: str, refusal: Refusal, datatype: str) -> None:
    body = sample(name).read_bytes()
    with pytest.raises(RefusedError) as refused:
        parse(body, _asked(Function.DAILY, "IBM", Interval.DAILY, datatype), NOW)
    assert refused.value.refusal is refusal


def test_an_empty_quote_is_an_unknown_symbol() -> None:
    body = sample("xr_global_quote_unknown_symbol.json").read_bytes()
    with pytest.raises(RefusedError) as refused:
        parse(body, _asked(Function.QUOTE, "IBM", Interval.DAILY), NOW)
    assert refused.value.refusal is Refusal.BAD_CALL


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("burst_1_per_second", Refusal.BURST),
        ("daily_25_leaks_key", Refusal.QUOTA),
        ("premium_endpoint", Refusal.NOT_ENTITLED),
        ("premium_outputsize", Refusal.NOT_ENTITLED),
        ("old_note", Refusal.BURST),
        ("bad_symbol_or_params", Refusal.BAD_CALL),
        ("bad_key", Refusal.BAD_KEY),
    ],
)
def test_todays_refusals_are_told_apart(name: str, refusal: Refusal) -> None:
    body = json.loads(sample("tx_refusal_wordings_TRANSCRIBED.json").read_bytes())[name]
    with pytest.raises(RefusedError) as refused:
        parse(json.dumps(body).encode(), IBM_DAILY, NOW)
    assert refused.value.refusal is refusal
