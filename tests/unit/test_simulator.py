"""The simulated market and the vendor's API over it: deterministic, on real sessions, in the vendor's own form."""

import hashlib
import json
import re
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_pulse.contract import Interval
from market_pulse.sessions import Sessions
from market_pulse.settings import Plan
from market_pulse.simulator.api import Terms, VendorApi
from market_pulse.simulator.market import SimulatedBar, SimulatedMarket
from market_pulse.simulator.wire import Reply
from support.samples import sample

SESSIONS = Sessions.load("XNYS", date(2015, 1, 2))
MARKET = SimulatedMarket(1, SESSIONS)
MINUTE = timedelta(minutes=1)
NEW_YORK = ZoneInfo("America/New_York")


def _at(wall_time: str) -> datetime:
    return datetime.fromisoformat(wall_time).replace(tzinfo=NEW_YORK).astimezone(UTC)


MONDAY = _at("2026-01-05 10:31:20")


def _api(plan: Plan = Plan.PREMIUM, calls: int = 1_000_000) -> VendorApi:
    return VendorApi(MARKET, Terms("key", frozenset({"IBM"}), plan, calls))


def _ask(api: VendorApi, now: datetime = MONDAY, **query: str) -> Reply:
    asked = {"function": "TIME_SERIES_INTRADAY", "symbol": "IBM", "interval": "1min", "apikey": "key"}
    return api.reply({**asked, **query}, now)


def test_the_same_seed_is_the_same_market_in_every_run_and_on_every_machine() -> None:
    bars = list(islice(SimulatedMarket(1, SESSIONS).intraday("IBM", Interval.ONE_MINUTE, MONDAY), 1000))
    assert bars == list(islice(MARKET.intraday("IBM", Interval.ONE_MINUTE, MONDAY), 1000))
    told = repr([(int(bar.start.timestamp()), *bar[1:]) for bar in bars]).encode()
    assert hashlib.sha256(told).hexdigest() == "9e330d0b239f82fe6d2577c62908d7f05156b0b26eaf365ba62035a54695926a"


def test_another_seed_or_symbol_is_another_market() -> None:
    first = next(MARKET.intraday("IBM", Interval.ONE_MINUTE, MONDAY))
    assert next(MARKET.intraday("MSFT", Interval.ONE_MINUTE, MONDAY)) != first
    assert next(SimulatedMarket(2, SESSIONS).intraday("IBM", Interval.ONE_MINUTE, MONDAY)) != first


@given(
    seconds=st.integers(0, 86_400 * 3650),
    interval=st.sampled_from([interval for interval in Interval if interval is not Interval.DAILY]),
    extended=st.booleans(),
)
def test_every_bar_is_sound_and_longer_ones_are_rolled_up_from_minutes(
    seconds: int, interval: Interval, *, extended: bool
) -> None:
    now = datetime(2016, 1, 5, tzinfo=UTC) + timedelta(seconds=seconds)
    minutes = list(islice(MARKET.intraday("IBM", Interval.ONE_MINUTE, now, extended=extended), 200))
    long = next(MARKET.intraday("IBM", interval, now, extended=extended))
    parts = [bar for bar in minutes if long.start <= bar.start < long.start + interval.length][::-1]
    assert long[1:] == (
        parts[0].open,
        max(bar.high for bar in parts),
        min(bar.low for bar in parts),
        parts[-1].close,
        sum(bar.volume for bar in parts),
    )
    assert [bar.start for bar in minutes] == sorted({bar.start for bar in minutes}, reverse=True)
    for bar in minutes:
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.volume >= 0
        session = SESSIONS.on(bar.start.astimezone(NEW_YORK).date())
        assert session is not None
        start, end = session.window(extended=extended)
        assert start <= bar.start < end
        assert bar.start < now


def test_the_newest_bar_forms_until_its_end() -> None:
    start = _at("2026-01-05 10:31")
    seen = [next(MARKET.intraday("IBM", Interval.ONE_MINUTE, start + timedelta(seconds=s))) for s in range(1, 61)]
    assert {bar.start for bar in seen} == {start}
    final = next(
        bar for bar in MARKET.intraday("IBM", Interval.ONE_MINUTE, _at("2026-01-05 12:00")) if bar.start == start
    )
    assert seen[-1] == final
    assert len(set(seen)) > 20
    for earlier, later in pairwise(seen):
        assert earlier.high <= later.high
        assert earlier.low >= later.low
        assert earlier.volume <= later.volume
        assert earlier.open == later.open == final.open


def test_prices_go_on_from_one_session_to_the_next() -> None:
    days = [bar for _, bar in islice(MARKET.daily("IBM", MONDAY), 250)]
    assert all(abs(later.open - earlier.close) < earlier.close // 20 for later, earlier in pairwise(days))


def test_half_days_and_holidays_are_the_exchanges() -> None:
    bars = list(islice(MARKET.intraday("IBM", Interval.ONE_MINUTE, _at("2026-11-28 12:00"), extended=False), 400))
    assert bars[0].start == _at("2026-11-27 12:59")
    assert bars[210].start == _at("2026-11-25 15:59")


def _shape(text: str) -> str:
    """Return a text with every digit replaced, so that what is left is its form."""
    return re.sub(r"\d+", "9", text)


def test_json_has_the_vendors_form() -> None:
    recorded = sample("cs_intraday_5min_TSLA_2021.json").read_text()
    body = _ask(_api(), interval="5min", symbol="IBM").body
    told, expected = json.loads(body), json.loads(recorded)
    assert list(told) == list(expected)
    assert list(told["Meta Data"]) == list(expected["Meta Data"])
    assert (
        told["Meta Data"] | {"2. Symbol": "TSLA", "3. Last Refreshed": "2021-04-23 20:00:00"} == expected["Meta Data"]
    )
    newest = next(iter(told["Time Series (5min)"].values()))
    assert list(newest) == list(next(iter(expected["Time Series (5min)"].values())))
    assert {_shape(value) for value in newest.values()} == {"9.9", "9"}


def test_json_is_indented_as_the_vendors() -> None:
    recorded = sample("cg_daily_IBM_2020_midsession.json").read_text()
    body = _ask(_api(), function="TIME_SERIES_DAILY", entitlement="realtime").body
    # Both answers end after their second day's close; the recording was cut there, and says another size.
    lines = _shape(body).replace("Compact", "Full size").splitlines()
    assert lines[:22] == [line.rstrip() for line in _shape(recorded).splitlines()][:22]


def test_csv_has_the_vendors_form() -> None:
    recorded = sample("cs_intraday_5min_TSLA_2021.csv").read_bytes().decode()
    reply = _ask(_api(), interval="5min", datatype="csv")
    assert (reply.content_type, reply.filename) == ("application/x-download", "intraday_5min_IBM.csv")
    assert {_shape(line) for line in reply.body.splitlines(keepends=True)} == {
        _shape(line) for line in recorded.splitlines(keepends=True)
    }
    assert reply.body.endswith("\r\n")


def test_quotes_have_the_vendors_form() -> None:
    recorded = sample("rt_global_quote_MSFT_2018.json").read_text().strip()
    quote = _ask(_api(), function="GLOBAL_QUOTE").body
    assert _shape(quote).replace("IBM", "MSFT").replace('"-', '"') == _shape(recorded).replace('"-', '"')
    crlf = sample("xr_global_quote_TSLA_2023_CRLF.csv").read_bytes().decode()
    told = _ask(_api(), function="GLOBAL_QUOTE", datatype="csv").body
    assert _shape(told).replace("IBM", "TSLA").replace(",-", ",") == _shape(crlf)
    unknown = json.loads(sample("xr_global_quote_unknown_symbol.json").read_text())
    assert json.loads(_ask(_api(), function="GLOBAL_QUOTE", symbol="XXX").body) == unknown
    delayed = json.loads(_ask(_api(), function="GLOBAL_QUOTE", entitlement="delayed").body)
    assert list(delayed) == ["Global Quote - DATA DELAYED BY 15 MINUTES"]


@pytest.mark.parametrize(
    ("wording", "plan", "query"),
    [
        ("bad_key", Plan.PREMIUM, {"apikey": "another"}),
        ("bad_key", Plan.PREMIUM, {"apikey": ""}),
        ("bad_symbol_or_params", Plan.FREE, {"function": "TIME_SERIES_DAILY", "symbol": "XXX"}),
        ("bad_symbol_or_params", Plan.FREE, {"function": "TIME_SERIES_DAILY", "outputsize": "huge"}),
        ("bad_symbol_or_params", Plan.FREE, {"function": "TIME_SERIES_DAILY", "datatype": "xml"}),
        ("premium_endpoint", Plan.FREE, {}),
        ("premium_outputsize", Plan.FREE, {"function": "TIME_SERIES_DAILY", "outputsize": "full"}),
        ("premium_endpoint", Plan.DELAYED, {"entitlement": "realtime"}),
    ],
)
@pytest.mark.parametrize("datatype", ["json", "csv"])
def test_refusals_are_the_vendors_own_words_in_json(
    wording: str, plan: Plan, query: dict[str, str], datatype: str
) -> None:
    recorded = json.loads(sample("tx_refusal_wordings_TRANSCRIBED.json").read_text())
    reply = _ask(_api(plan), **{"datatype": datatype, **query})
    assert json.loads(reply.body) == recorded[wording]
    assert reply.content_type == "application/json"


@pytest.mark.parametrize(
    "query",
    [
        {"interval": "2min"},
        {"interval": "daily"},
        {"month": "2026-13"},
        {"month": "2030-01"},
        {"extended_hours": "maybe"},
    ],
)
def test_intraday_parameters_that_make_no_sense_are_invalid_calls(query: dict[str, str]) -> None:
    assert "Invalid API call" in json.loads(_ask(_api(), **query).body)["Error Message"]


def test_a_free_key_has_25_calls_a_day_and_one_a_second() -> None:
    recorded = json.loads(sample("tx_refusal_wordings_TRANSCRIBED.json").read_text())
    api, now = _api(Plan.FREE), MONDAY
    ask = {"function": "TIME_SERIES_DAILY"}
    assert "Time Series (Daily)" in _ask(api, now, **ask).body
    assert json.loads(_ask(api, now + timedelta(seconds=0.9), **ask).body) == recorded["burst_1_per_second"]
    for call in range(1, 25):
        assert "Time Series (Daily)" in _ask(api, now + timedelta(seconds=2 * call), **ask).body
    spent = json.loads(_ask(api, now + timedelta(hours=1), **ask).body)["Information"]
    assert spent == recorded["daily_25_leaks_key"]["Information"].replace("ABC123", "key")
    assert "Time Series (Daily)" in _ask(api, now + timedelta(days=1), **ask).body


def test_a_paid_key_has_its_calls_a_minute() -> None:
    api = _api(calls=2)
    assert ["Time Series" in _ask(api, MONDAY + timedelta(seconds=s)).body for s in (0, 1, 2, 61)] == [
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("entitlement", "newest"),
    [("realtime", "2026-01-05 10:31:00"), ("delayed", "2026-01-05 10:16:00"), ("", "2026-01-02 19:5")],
)
def test_data_reach_as_far_as_the_entitlement(entitlement: str, newest: str) -> None:
    assert json.loads(_ask(_api(), entitlement=entitlement).body)["Meta Data"]["3. Last Refreshed"].startswith(newest)


def test_sizes_months_and_hours_choose_the_rows() -> None:
    def labels(**query: str) -> list[str]:
        return list(json.loads(_ask(_api(), entitlement="realtime", **query).body)["Time Series (1min)"])

    assert len(labels()) == 100
    full = labels(outputsize="full")
    assert full[0] == "2026-01-05 10:31:00"
    assert full[-1] >= "2025-12-06 10:31"
    december = labels(month="2025-12", outputsize="full", extended_hours="false")
    assert (december[0], december[-1]) == ("2025-12-31 15:59:00", "2025-12-01 09:30:00")
    assert {label[11:16] for label in december} <= {f"{h:02}:{m:02}" for h in range(9, 16) for m in range(60)}


def test_an_unfinished_day_shows_its_time() -> None:
    ask = {"function": "TIME_SERIES_DAILY", "entitlement": "realtime"}
    assert json.loads(_ask(_api(), **ask).body)["Meta Data"]["3. Last Refreshed"] == "2026-01-05 10:31:20"
    after = json.loads(_ask(_api(), _at("2026-01-05 16:00"), **ask).body)
    assert after["Meta Data"]["3. Last Refreshed"] == "2026-01-05"


def test_daily_bars_are_rolled_up_from_the_regular_session() -> None:
    session, day = next(MARKET.daily("IBM", _at("2026-01-05 20:00")))
    bars = list(islice(MARKET.intraday("IBM", Interval.ONE_MINUTE, _at("2026-01-05 20:00"), extended=False), 390))
    assert session.date == date(2026, 1, 5)
    assert day == SimulatedBar(
        session.open,
        bars[-1].open,
        max(b.high for b in bars),
        min(b.low for b in bars),
        bars[0].close,
        sum(b.volume for b in bars),
    )
