"""The daily upkeep on a real database: partitions ahead, and the exchange's calendar."""

from datetime import date

import pytest

from integration.audited import at
from integration.services.database import Database
from integration.upkept import Session, fill
from market_pulse import upkeep
from market_pulse.upkeep import calendar


def test_partitions_are_made_ahead_and_take_over_what_the_default_holds(
    database: Database, job: Session, caplog: pytest.LogCaptureFixture
) -> None:
    # A real clock decides how far ahead, the market's how far back.
    fill(database, "bar", "2019-03")
    caplog.set_level("INFO")
    upkeep.run(*job)
    made = {name for (name,) in database.query("SELECT relname FROM pg_class WHERE relname ~ '^bar_[0-9]'")}
    assert {"bar_2019_03", "bar_2026_02"} <= made
    ahead = database.query("SELECT to_char(now() + interval '2 months', '\"bar_\"YYYY_MM')")
    assert ahead[0][0] in made
    assert database.query("SELECT count(*) FROM market.bar_2019_03") == [(2500,)]
    assert "rows moved from the default partition: to=bar_2019_03 rows=2500" in caplog.text
    owners = "SELECT DISTINCT pg_get_userbyid(relowner)::text FROM pg_class WHERE relname ~ '^bar_'"
    assert database.query(owners) == [("market_pulse_owner",)]
    caplog.clear()
    upkeep.run(*job)
    assert "partitions made" not in caplog.text
    assert database.query("SELECT sentence FROM market.last_run WHERE job = 'upkeep'") == [
        ("0 partitions made, 0 rows moved, 0 days of the calendar changed, 0 months dropped",)
    ]


def test_the_calendar_follows_the_exchange_and_reaches_back_to_the_first_bar(database: Database, job: Session) -> None:
    now = at("2026-01-05 15:00")
    with job.keeper, job.keeper.cursor() as cursor:
        changed = calendar.refresh(cursor, "XNYS", now)
    first, last = database.query("SELECT min(trading_date), max(trading_date) FROM market.session")[0]
    assert (first, last > date(2026, 11, 1)) == (date(2025, 1, 2), True)
    assert changed == database.query("SELECT count(*) FROM market.session")[0][0]
    # A day of mourning that was not known in time, and one that is not one.
    database.query("DELETE FROM market.session WHERE trading_date = '2025-06-04'")
    database.query(
        "INSERT INTO market.session SELECT exchange, '2025-01-09', day_start, early_open, open, close, late_close"
        " FROM market.session WHERE trading_date = '2025-01-08'"
    )
    fill(database, "bar", "2019-03")
    database.query("INSERT INTO market.latest_bar SELECT DISTINCT ON (symbol) * FROM market.bar")
    with job.keeper, job.keeper.cursor() as cursor:
        changed = calendar.refresh(cursor, "XNYS", now)
    assert changed == 2 + database.query("SELECT count(*) FROM market.session WHERE trading_date < '2025-01-01'")[0][0]
    missing = "SELECT trading_date FROM market.session WHERE trading_date IN ('2025-01-09', '2025-06-04', '2019-01-02')"
    assert database.query(missing + " ORDER BY 1") == [(date(2019, 1, 2),), (date(2025, 6, 4),)]
    halves = "SELECT trading_date FROM market.session WHERE close - open < '6 h' AND trading_date > '2026-01-01'"
    assert date(2026, 11, 27) in {day for (day,) in database.query(halves)}


def test_a_closure_that_an_operator_entered_is_kept_by_every_refresh(database: Database, job: Session) -> None:
    def refresh() -> int:
        with job.keeper, job.keeper.cursor() as cursor:
            return calendar.refresh(cursor, "XNYS", at("2026-01-05 15:00"))

    refresh()
    database.query(
        "INSERT INTO market.closure (exchange, trading_date, closes_at, note) VALUES"
        " ('XNYS', '2026-03-02', NULL, 'mourning'), ('XNYS', '2026-03-03', '2026-03-03 18:00Z', 'a storm'),"
        " ('XNYS', '2026-03-07', NULL, 'a Saturday'), ('XLON', '2026-03-04', NULL, 'elsewhere')"
    )
    changed = "SELECT trading_date, to_char(close AT TIME ZONE 'UTC', 'HH24:MI') FROM market.session"
    changed += " WHERE trading_date BETWEEN '2026-03-02' AND '2026-03-04' ORDER BY 1"
    assert refresh() == 2
    assert database.query(changed) == [(date(2026, 3, 3), "18:00"), (date(2026, 3, 4), "21:00")]
    assert refresh() == 0
    database.query("DELETE FROM market.closure")
    assert refresh() == 2
    assert [close for _, close in database.query(changed)] == ["21:00"] * 3
