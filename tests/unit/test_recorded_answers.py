"""Alpha Vantage's recorded answers: every one is exactly its bars, or a refusal."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from market_pulse.contract import Interval
from market_pulse.sources.answers import parse
from market_pulse.sources.base import DataType, Function, Refusal, RefusedError, Request, Row
from support.samples import sample

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)
IN_2018 = datetime(2018, 12, 31, tzinfo=UTC)
IN_2021 = datetime(2021, 5, 14, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
IBM_DAILY = Request(Function.DAILY, "IBM", Interval.DAILY)
FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class _Recorded:
    """What was asked for an answer, when it came, and what is in it by another reading than the product's."""

    request: Request
    fetched_at: datetime
    count: int
    newest: str
    labelled_by_end: bool = False

    def rows(self, path: Path) -> set[Row]:
        shift = self.request.interval.length if self.labelled_by_end else timedelta(0)
        return {
            Row(_utc(label) - shift, *(values[name] for name in FIELDS))
            for label, values in self._bars(path.read_text("utf-8-sig"))
        }

    def _bars(self, text: str) -> Iterator[tuple[str, dict[str, str]]]:
        if self.request.datatype is DataType.CSV:
            for line in csv.DictReader(text.splitlines()):
                yield line.get("timestamp") or line["latestDay"], line | {"close": line.get("close") or line["price"]}
            return
        answer: dict[str, Any] = json.loads(text)
        if "Global Quote" in answer:
            quote = _plain(answer["Global Quote"])
            yield quote["latest trading day"], quote | {"close": quote["price"]}
            return
        (series,) = (value for key, value in answer.items() if key.startswith("Time Series"))
        yield from ((label, _plain(values)) for label, values in series.items())


def _plain(numbered: dict[str, str]) -> dict[str, str]:
    return {key.partition(". ")[2]: value for key, value in numbered.items()}


def _utc(wall_time: str) -> datetime:
    return datetime.fromisoformat(wall_time).replace(tzinfo=NEW_YORK).astimezone(UTC)


def _asked(function: Function, symbol: str, interval: Interval, datatype: str = "json") -> Request:
    return Request(function, symbol, interval, DataType(datatype))


def _intraday(symbol: str, minutes: int, datatype: str = "json") -> Request:
    return _asked(Function.INTRADAY, symbol, Interval(f"{minutes}min"), datatype)


def _daily(datatype: str = "json") -> Request:
    return _asked(Function.DAILY, "IBM", Interval.DAILY, datatype)


def _quote(symbol: str, datatype: str = "json") -> Request:
    return _asked(Function.QUOTE, symbol, Interval.DAILY, datatype)


WITH_BARS = {
    "pt_intraday_5min_IBM_2026-05-15.csv": _Recorded(_intraday("IBM", 5, "csv"), NOW, 100, "2026-05-15 19:55"),
    "pt_daily_IBM_2026.csv": _Recorded(_daily("csv"), NOW, 100, "2026-05-15"),
    # Another function's answer, which holds the same prices as traded.
    "pt_daily_adjusted_IBM_2026.csv": _Recorded(_daily("csv"), NOW, 100, "2026-05-15"),
    "cg_daily_IBM_2020_midsession.json": _Recorded(_daily(), datetime(2020, 5, 8, 18, tzinfo=UTC), 2, "2020-05-08"),
    # Labelled by its end, 20:00, as all answers of that year.
    "cs_intraday_5min_TSLA_2021.csv": _Recorded(
        _intraday("TSLA", 5, "csv"), IN_2021, 100, "2021-05-13 19:55", labelled_by_end=True
    ),
    "cs_intraday_5min_TSLA_2021.json": _Recorded(
        _intraday("TSLA", 5), IN_2021, 2, "2021-04-23 19:55", labelled_by_end=True
    ),
    "kw_intraday_15min_MSFT_2018_BOM.json": _Recorded(
        _intraday("MSFT", 15), IN_2018, 39, "2018-04-11 15:15", labelled_by_end=True
    ),
    "rt_intraday_1min_MSFT_2017.json": _Recorded(
        _intraday("MSFT", 1), IN_2018, 100, "2017-12-18 14:55", labelled_by_end=True
    ),
    "cs_global_quote_TSLA_2021.json": _Recorded(_quote("TSLA"), NOW, 1, "2021-04-23"),
    "rt_global_quote_MSFT_2018.json": _Recorded(_quote("MSFT"), NOW, 1, "2018-10-05"),
    "xr_global_quote_TSLA_2023_CRLF.csv": _Recorded(_quote("TSLA", "csv"), NOW, 1, "2023-07-03"),
    "pt_global_quote_IBM.csv": _Recorded(_quote("IBM", "csv"), NOW, 1, "2026-05-15"),
}
WITHOUT_BARS = {
    "kw_error_message_BOM.json": Refusal.BAD_CALL,
    "kw_error_note_5permin_BOM.json": Refusal.BURST,
    "kw_information_premium_BOM.json": Refusal.BURST,
    "wl_information_demo_key_refusal.json": Refusal.NOT_ENTITLED,
    "pt_bulk_quotes_ARTIFICIAL.json": Refusal.INVENTED,
    "pt_market_status.json": Refusal.VENDOR_ERROR,
    "pt_splits_IBM.csv": Refusal.VENDOR_ERROR,
    "pt_dividends.csv": Refusal.VENDOR_ERROR,
    "wl_csv_response_http_headers.json": Refusal.VENDOR_ERROR,
    "wl_information_demo_key_refusal_http_headers.json": Refusal.VENDOR_ERROR,
}
OF_ITS_OWN = {"README.md", "tx_refusal_wordings_TRANSCRIBED.json", "xr_global_quote_unknown_symbol.json"}


def test_every_recorded_answer_is_in_one_of_these_tests() -> None:
    folder = sample("README.md").parent
    assert {path.name for path in folder.iterdir()} == WITH_BARS.keys() | WITHOUT_BARS.keys() | OF_ITS_OWN


@pytest.mark.parametrize("name", WITH_BARS)
def test_recorded_answers_are_exactly_their_bars(name: str) -> None:
    path, recorded = sample(name), WITH_BARS[name]
    series = parse(path.read_bytes(), recorded.request, recorded.fetched_at)
    assert series.unusable == ()
    assert len(series.rows) == recorded.count
    assert series.rows[0].bar_time == _utc(recorded.newest)
    assert set(series.rows) == recorded.rows(path)


@pytest.mark.parametrize("name", WITH_BARS)
def test_a_byte_order_mark_and_other_line_ends_change_nothing(name: str) -> None:
    body, recorded = sample(name).read_bytes(), WITH_BARS[name]
    lines = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    for other in (b"\xef\xbb\xbf" + lines, lines.replace(b"\n", b"\r\n")):
        assert parse(other, recorded.request, recorded.fetched_at) == parse(body, recorded.request, recorded.fetched_at)


@pytest.mark.parametrize("name", WITH_BARS)
def test_recorded_answers_are_no_answers_to_other_questions(name: str) -> None:
    path, recorded = sample(name), WITH_BARS[name]
    others = {
        _asked(function, symbol, interval, datatype)
        for function, interval in (
            (Function.INTRADAY, Interval.THIRTY_MINUTES),
            (Function.DAILY, Interval.DAILY),
            (Function.QUOTE, Interval.DAILY),
        )
        for symbol in ("IBM", "ZZZ")
        for datatype in DataType
    }
    for other in others:
        # CSV does not say whose and how long its bars are.
        same = other.function is recorded.request.function
        if same and (path.suffix == ".csv" or other.symbol == recorded.request.symbol):
            continue
        with pytest.raises(RefusedError):
            parse(path.read_bytes(), other, recorded.fetched_at)


@pytest.mark.parametrize("name", WITHOUT_BARS)
@pytest.mark.parametrize("datatype", ["json", "csv"])
@pytest.mark.parametrize("asked", [_intraday("IBM", 5), _daily(), _quote("IBM")], ids=lambda request: request.function)
def test_recorded_answers_without_bars_are_refusals(name: str, datatype: str, asked: Request) -> None:
    with pytest.raises(RefusedError) as refused:
        parse(sample(name).read_bytes(), _asked(asked.function, "IBM", asked.interval, datatype), NOW)
    assert refused.value.refusal is WITHOUT_BARS[name]


def test_an_empty_quote_is_an_unknown_symbol() -> None:
    body = sample("xr_global_quote_unknown_symbol.json").read_bytes()
    with pytest.raises(RefusedError) as refused:
        parse(body, _quote("IBM"), NOW)
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
def test_todays_refusals_are_told_apart_under_whatever_key_they_come(name: str, refusal: Refusal) -> None:
    wordings = json.loads(sample("tx_refusal_wordings_TRANSCRIBED.json").read_bytes())
    assert len(wordings) == 1 + 7
    (sentence,) = wordings[name].values()
    for key in (*wordings[name], "Note", "Information", "Error Message"):
        with pytest.raises(RefusedError) as refused:
            parse(json.dumps({key: sentence}).encode(), IBM_DAILY, NOW)
        assert refused.value.refusal is refusal
