"""What `market-pulse plan` says of a day, and what a day in the real parts takes: no more than 15 % apart."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from integration.measured_run import MeasuredMarket, Services
from integration.services.backups import BackedUp, backed_up_cluster
from integration.services.broker import kafka_broker
from market_pulse.capacity import (
    BACKUP_SHARE,
    RECORDS_PER_SECOND,
    WAL_COMPRESSION,
    Market,
    bytes_of,
    calls_of,
    day_of,
)
from market_pulse.contract import Interval
from market_pulse.settings import Plan

NEW_YORK = ZoneInfo("America/New_York")
TICKERS = ("AAPL", "AMZN", "GOOGL", "IBM", "MSFT", "NVDA", "TSLA", "XOM")
# The evening before a full trading day, when the first answer brings a hundred older bars.
EVENING = datetime(2026, 1, 26, 20, 31, tzinfo=NEW_YORK).astimezone(UTC)
MONTH = datetime(2026, 1, 2, tzinfo=UTC)
APART = 0.15


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Services of their own, whose directories hold nothing else."""
    directory = tmp_path / "kafka"
    directory.mkdir()
    with contextlib.ExitStack() as running:
        broker = running.enter_context(kafka_broker(directory))
        backed_up = running.enter_context(backed_up_cluster())
        database = running.enter_context(backed_up.server.migrated_database())
        database.query("SELECT market.ensure_partitions('2026-01-01', '2026-02-15')")
        topic = broker.create_topic(Market.partitions)
        yield Services(broker, directory, topic, backed_up, database)


def backups_of(backed_up: BackedUp) -> int:
    return sum(path.stat().st_size for path in backed_up.repository.glob("backup/**/*") if path.is_file())


@pytest.mark.parametrize(
    ("symbols", "interval", "extended_hours"),
    [
        pytest.param(8, Interval.FIVE_MINUTES, False, id="five minutes, regular hours"),
        pytest.param(4, Interval.ONE_MINUTE, True, id="a minute, all hours", marks=pytest.mark.slow),
    ],
)
def test_a_day_takes_what_is_planned(
    services: Services, tmp_path: Path, symbols: int, interval: Interval, *, extended_hours: bool
) -> None:
    wanted = Market(symbols, interval, extended_hours=extended_hours, seconds_per_call=0, calls_per_minute=1200)
    market = MeasuredMarket(
        services,
        *(tmp_path, EVENING, TICKERS[:symbols], Plan.PREMIUM, interval, extended_hours, wanted.calls_per_minute),
    )
    with contextlib.closing(market):
        market.fill(MONTH, EVENING - timedelta(days=1))
        market.run_until(EVENING + timedelta(minutes=5))
        before = market.counts()
        market.run_until(EVENING + timedelta(days=1))
        measured = market.counts().since(before)
        with services.backed_up.server.migrated_database() as other:
            speed = market.store_again(other)
    planned, day = bytes_of(wanted), day_of(wanted)
    services.backed_up.back_up(services.database)
    ((files,),) = services.database.query("SELECT sum(pg_database_size(oid))::bigint FROM pg_database")
    pairs = {
        "calls": (calls_of(wanted).made, measured.calls),
        "bars": (day.bars, measured.bars),
        "records": (day.records, measured.records),
        "kafka": (planned.kafka, measured.kafka),
        "database": (planned.database, measured.database),
        "wal": (planned.wal, measured.wal),
        "archive": (planned.archive, measured.archive),
    }
    apart = {name: expected / found - 1 for name, (expected, found) in pairs.items()}
    print({name: f"{share:+.1%}" for name, share in apart.items()}, pairs)  # noqa: T201 - pytest shows it
    assert {name: share for name, share in apart.items() if abs(share) > APART} == {}
    # These serve for estimates: of the order that is said.
    compression, share = measured.written / measured.wal, backups_of(services.backed_up) / files
    print(f"WAL {compression:.2f}, backup {share:.2f}, sink {speed:.0f} records/s")  # noqa: T201
    assert WAL_COMPRESSION / 2 < compression < WAL_COMPRESSION * 2
    assert BACKUP_SHARE / 2 < share < BACKUP_SHARE * 2
    assert speed > RECORDS_PER_SECOND / 5, "even on a machine that does something else"
