from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from market_pulse.auditor.series import Changes, Key, Terms, changes, wanted
from market_pulse.auditor.settings import AuditorSettings
from market_pulse.errors import SettingsError
from market_pulse.upkeep import months_ago
from market_pulse.upkeep.settings import UpkeepSettings

ENVIRONMENT = {
    "MP_DATABASE_HOST": "127.0.0.1",
    "MP_DATABASE_PORT": "5432",
    "MP_DATABASE_NAME": "market_pulse",
    "MP_DATABASE_USER": "market_pulse_auditor",
    "MP_DATABASE_AUTHORITY": __file__,
    "MP_POSTGRESQL_AUDITOR_PASSWORD": "not-in-the-environment-of-a-unit",
    "MP_EXCHANGE": "XNYS",
    "MP_SYMBOLS": "AAPL,IBM",
    "MP_INTERVAL": "1min",
    "MP_SOURCE": "simulator",
    "MP_VENDOR_PLAN": "premium",
    "MP_VENDOR_CALLS_PER_MINUTE": "4",
    "MP_EXTENDED_HOURS": "true",
    "MP_SETTLE_SECONDS": "5",
}


def settings(monkeypatch: pytest.MonkeyPatch, **changed: str) -> AuditorSettings:
    for name, value in (ENVIRONMENT | changed).items():
        monkeypatch.setenv(name, value)
    return AuditorSettings.load()


def test_a_paid_plan_expects_the_interval_after_one_round_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Terms("XNYS", extended_hours=True, ready_after=timedelta(seconds=5 + 30))
    assert wanted(settings(monkeypatch)) == {Key("AAPL", "1min"): expected, Key("IBM", "1min"): expected}


def test_a_delayed_plan_is_given_its_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = wanted(settings(monkeypatch, MP_VENDOR_PLAN="delayed"))[Key("IBM", "1min")]
    assert terms.ready_after == timedelta(minutes=15, seconds=35)


def test_a_free_plan_expects_daily_bars_after_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    series = wanted(settings(monkeypatch, MP_VENDOR_PLAN="free", MP_INTERVAL="daily"))
    assert set(series) == {Key("AAPL", "daily"), Key("IBM", "daily")}
    assert series[Key("IBM", "daily")].ready_after == timedelta(hours=4, minutes=30, seconds=7)


def test_of_recorded_answers_nothing_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wanted(settings(monkeypatch, MP_SOURCE="replay")) == {}


def test_a_symbol_that_cannot_be_one_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="MP_SYMBOLS: 'ibm' is not a symbol"):
        settings(monkeypatch, MP_SYMBOLS="AAPL,ibm")


OLD = Terms("XNYS", extended_hours=True, ready_after=timedelta(seconds=10))
IBM, AAPL = Key("IBM", "1min"), Key("AAPL", "1min")


def test_series_come_and_go_with_the_settings() -> None:
    assert changes({IBM: OLD}, {AAPL: OLD}) == Changes(ended=(IBM,), begun={AAPL: OLD}, corrected={})
    assert changes({IBM: OLD}, {IBM: OLD}) == Changes(ended=(), begun={}, corrected={})


def test_another_delay_corrects_a_series_and_other_hours_begin_it_anew() -> None:
    slower = Terms("XNYS", extended_hours=True, ready_after=timedelta(seconds=20))
    assert changes({IBM: OLD}, {IBM: slower}) == Changes((), {}, {IBM: slower})
    regular = Terms("XNYS", extended_hours=False, ready_after=timedelta(seconds=10))
    assert changes({IBM: OLD}, {IBM: regular}) == Changes((IBM,), {IBM: regular}, {})


@pytest.mark.parametrize(("months", "refused"), [("0", False), ("1", True), ("2", False), ("-1", True)])
def test_no_month_leaves_while_it_is_audited(
    monkeypatch: pytest.MonkeyPatch,
    months: str,
    refused: bool,  # noqa: FBT001
) -> None:
    keeper = {"MP_POSTGRESQL_KEEPER_PASSWORD": "unused", "MP_KEEP_MONTHS": months, "MP_MONTHS_AHEAD": "3"}
    for name, value in (ENVIRONMENT | keeper).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/market-pulse/upkeep")
    if refused:
        with pytest.raises(SettingsError, match="MP_KEEP_MONTHS"):
            UpkeepSettings.load()
    else:
        assert UpkeepSettings.load().keep_months == int(months)


def test_months_ago_are_whole_months_over_new_year() -> None:
    months = [months_ago(datetime(2026, 2, 28, 23, 59, tzinfo=UTC), count) for count in range(28)]
    assert months[:3] == [
        datetime(2026, 2, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2025, 12, 1, tzinfo=UTC),
    ]
    assert all(earlier < later for later, earlier in pairwise(months))
