"""What `market-pulse status` finds on a host on which all is well, and on some others."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from market_pulse.cli.facts import AuditFinding, Completeness, Facts, Ledger, Partition, Run, Series, Unit
from market_pulse.cli.host import Certificate, FileSystem, Host

NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
CONSUMER = Unit("market-pulse-consumer", "active", "running", "success", 0, "running: nothing waits")
IBM = Series("IBM", "1min", NOW - timedelta(minutes=1), NOW, timedelta(minutes=1))
UPKEEP = Unit("market-pulse-upkeep", "inactive", "dead", "success", 0, "", is_job=True)
SESSION = Completeness("IBM", "1min", date(2026, 1, 5), 390, 27, 2, 0, 0, 0, 0, 1, 360, 0, 0)
DELETED = AuditFinding("missing", "IBM 1min", "IBM 2026-01-05 14:31 was deleted by postgres", NOW)
RUNS = {
    "audit": Run(NOW, "complete: 1 symbols"),
    "deep audit": Run(NOW - timedelta(minutes=9), "complete: 1 symbols"),
    "upkeep": Run(NOW - timedelta(hours=9), "0 partitions made"),
}
WELL = Facts(
    at=NOW,
    market_time=NOW,
    interval=timedelta(minutes=1),
    units=(CONSUMER, UPKEEP),
    series=(IBM,),
    bars=90,
    ledger=Ledger(received=100, stored=92, unchanged=5, superseded=3, quarantined=0),
    partitions=(Partition(0, end_offset=60, next_offset=60), Partition(1, end_offset=40, next_offset=40)),
    producer={"state": "polling", "calls_left": 7, "outbox": 0},
    completeness=(SESSION,),
    runs=RUNS,
)
FULL = Host(
    (FileSystem("/var/log", 86, 14, 1, 9),),
    1024**3,
    clock_synchronised=None,
    clock_step_seconds=None,
    certificates=(Certificate("/etc/market-pulse/ca.crt", NOW + timedelta(days=400)),),
)


def polled(**newest: datetime) -> Facts:
    """Return facts of a producer that has polled these bars, and of a topic with one record to store."""
    last_bars = {symbol: at.isoformat() for symbol, at in newest.items()}
    return replace(
        WELL,
        producer={"state": "polling", "calls_left": 7, "outbox": 0, "last_bars": last_bars},
        partitions=(Partition(0, end_offset=61, next_offset=60),),
        series=(IBM, replace(IBM, symbol="MSFT"), replace(IBM, interval="daily", bar_time=NOW - timedelta(days=9))),
    )
