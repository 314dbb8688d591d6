from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from market_pulse import health
from market_pulse.health import Silence, Verdict

FRIDAY_NOON = datetime(2026, 5, 15, 16, 0, tzinfo=UTC)  # 12:00 in New York
MONDAY_OPEN = datetime(2026, 5, 18, 13, 30, tzinfo=UTC)

POLLING = health.ProducerFacts(
    exchange="NYSE",
    zone=ZoneInfo("America/New_York"),
    now=FRIDAY_NOON,
    symbols=5,
    waiting=0,
    outbox_full=False,
    unconfirmed_seconds=0,
    broker_away_seconds=None,
    vendor_trouble=None,
    opens_at=None,
    calls_left=None,
    calls_reset_at=None,
    next_poll_at=FRIDAY_NOON + timedelta(minutes=1),
)


@pytest.mark.parametrize(
    ("changes", "healthy", "sentence"),
    [
        ({}, True, "polling 5 symbols, next 12:01 ET"),
        ({"symbols": 1, "calls_left": 1}, True, "polling 1 symbol, next 12:01 ET, 1 call left today"),
        ({"waiting": 3}, True, "polling 5 symbols, next 12:01 ET, 3 bars in the outbox"),
        ({"next_poll_at": None}, True, "polling 5 symbols, next further notice"),
        (
            {"opens_at": MONDAY_OPEN, "calls_left": 3},
            True,
            "idle: NYSE closed until Mon 09:30 ET, 3 calls left today",
        ),
        (
            {"opens_at": MONDAY_OPEN + timedelta(days=7)},
            True,
            "idle: NYSE closed until 2026-05-25 09:30 ET",
        ),
        (
            {"opens_at": FRIDAY_NOON + timedelta(hours=1), "zone": ZoneInfo("Europe/Berlin")},
            True,
            "idle: NYSE closed until 19:00 CEST",
        ),
        (
            {"calls_left": 0, "calls_reset_at": datetime(2026, 5, 16, 4, 0, tzinfo=UTC)},
            True,
            "idle: no calls left until Sat 00:00 ET",
        ),
        (
            {"calls_left": 0, "calls_reset_at": MONDAY_OPEN, "vendor_trouble": "429", "waiting": 1},
            True,
            "idle: no calls left until Mon 09:30 ET, 1 bar in the outbox",
        ),
        (
            {"vendor_trouble": "vendor answers 503 for 4 min", "calls_left": 7},
            True,
            "degraded: vendor answers 503 for 4 min, 7 calls left today",
        ),
        (
            {"broker_away_seconds": 40, "waiting": 12},
            True,
            "degraded: no answer from the broker for 40 s, 12 bars in the outbox",
        ),
        (
            {"broker_away_seconds": 90_000, "waiting": 12, "unconfirmed_seconds": 90_000},
            True,
            "degraded: no answer from the broker for 25 h, 12 bars in the outbox",
        ),
        (
            {"broker_away_seconds": 7200, "waiting": 200_000, "outbox_full": True},
            True,
            "degraded: no answer from the broker for 2 h, 200000 bars in the outbox, which is full: polling stopped",
        ),
        (
            {"calls_left": 0, "waiting": 200_000, "outbox_full": True},
            True,
            "degraded: 200000 bars in the outbox, which is full: polling stopped",
        ),
        (
            {"broker_away_seconds": 40, "broker_refusal": "Kafka does not let producer in", "waiting": 12},
            True,
            "degraded for 40 s, 12 bars in the outbox: Kafka does not let producer in",
        ),
        ({"unconfirmed_seconds": 180, "waiting": 1}, True, "polling 5 symbols, next 12:01 ET, 1 bar in the outbox"),
        (
            {"unconfirmed_seconds": 181, "waiting": 2},
            False,
            "stuck: 2 bars in the outbox, none confirmed for 3 min though the broker answers",
        ),
        (
            {"unconfirmed_seconds": 181, "waiting": 2, "calls_left": 0, "opens_at": MONDAY_OPEN},
            False,
            "stuck: 2 bars in the outbox, none confirmed for 3 min though the broker answers",
        ),
    ],
)
def test_producer(changes: dict[str, Any], *, healthy: bool, sentence: str) -> None:
    assert health.producer(replace(POLLING, **changes)) == Verdict(healthy, sentence)


REPORT = health.ConsumerProgress(
    at=FRIDAY_NOON, state="idle", batch_id=7, batch_rows=12, rows_total=340, last_batch_at=FRIDAY_NOON, behind=0
)
CONSUMING = health.ConsumerFacts(progress=REPORT, unchanged_seconds=0, changed=True, batch_seconds=0)


@pytest.mark.parametrize(
    ("report", "facts", "healthy", "sentence"),
    [
        ({}, {}, True, "idle: nothing waits, 340 records stored since the start, batch 7"),
        ({}, {"batch_seconds": 9e5}, True, "idle: nothing waits, 340 records stored since the start, batch 7"),
        ({"behind": 5}, {}, True, "storing: 5 to go, 340 records stored since the start, batch 7"),
        (
            {"behind": 5, "rows_total": 1},
            {"batch_seconds": 120},
            True,
            "storing: 5 to go, 1 record stored since the start, batch 7",
        ),
        (
            {"behind": 1},
            {"batch_seconds": 130},
            False,
            "stuck: 1 record to store, batch 7 the last for 2 min",
        ),
        ({}, {"changed": False, "unchanged_seconds": 40}, False, "stuck: no news from the Spark driver for 40 s"),
        (
            {"behind": 5},
            {"changed": False, "unchanged_seconds": 7200},
            False,
            "stuck: no news from the Spark driver for 2 h",
        ),
    ],
)
def test_consumer(report: dict[str, Any], facts: dict[str, Any], *, healthy: bool, sentence: str) -> None:
    progress = msgspec.structs.replace(REPORT, **report)
    assert health.consumer(replace(CONSUMING, progress=progress, **facts)) == Verdict(healthy, sentence)


def test_a_consumer_that_has_not_reported_is_not_ready() -> None:
    verdict = health.consumer(replace(CONSUMING, progress=None))
    assert verdict == Verdict(healthy=False, sentence="no report from the Spark driver yet")


@pytest.mark.parametrize(
    ("leader_id", "voters", "healthy", "sentence"),
    [
        (1, 3, True, "serving: node 1 leads a quorum of 3, a record there and back in 12 ms"),
        (2, 3, True, "serving: node 1 follows node 2 in a quorum of 3, a record there and back in 12 ms"),
        (-1, 3, True, "degraded: node 1 sees no leader among 3 voters"),
        (-1, 1, False, "node 1 is the only voter and does not lead"),
    ],
)
def test_broker(leader_id: int, voters: int, *, healthy: bool, sentence: str) -> None:
    facts = health.BrokerFacts(node_id=1, leader_id=leader_id, voters=voters, round_trip_seconds=0.0123)
    assert health.broker(facts) == Verdict(healthy, sentence)


ALIVE = health.MasterPageWorker(id="worker-1", state="ALIVE")
DEAD = health.MasterPageWorker(id="worker-2", state="DEAD")


def master(status: str = "ALIVE", *workers: health.MasterPageWorker) -> health.MasterPage:
    return health.MasterPage(status=status, workers=list(workers), activeapps=[{}])


@pytest.mark.parametrize(
    ("page", "healthy", "sentence"),
    [
        (master("ALIVE", ALIVE, DEAD), True, "alive: 1 worker, 1 application"),
        (master("ALIVE"), True, "alive: 0 workers, 1 application"),
        (master("STANDBY"), True, "standby: 0 workers, 1 application"),
        (master("RECOVERING", ALIVE, ALIVE), False, "recovering: 2 workers, 1 application"),
    ],
)
def test_spark_master(page: health.MasterPage, *, healthy: bool, sentence: str) -> None:
    assert health.spark_master(page) == Verdict(healthy, sentence)


WORK = "1 executor, 1 of 2 cores in use"


@pytest.mark.parametrize(
    ("identity", "url", "page", "healthy", "sentence"),
    [
        ("worker-1", "", master("ALIVE", ALIVE), False, "not registered with a master yet"),
        ("worker-1", "spark://m:7077", master("ALIVE", ALIVE), True, f"registered with spark://m:7077: {WORK}"),
        ("worker-1", "spark://m:7077", Silence.NOT_ASKED, True, f"registered with spark://m:7077: {WORK}"),
        ("worker-1", "spark://m:7077", Silence.NO_ANSWER, True, f"degraded: no answer from the master's page; {WORK}"),
        ("worker-1", "spark://m:7077", master("RECOVERING"), True, f"degraded: the master is recovering; {WORK}"),
        ("worker-1", "spark://m:7077", master("STANDBY"), True, f"degraded: the master is standby; {WORK}"),
        (
            "worker-2",
            "spark://m:7077",
            master("ALIVE", ALIVE, DEAD),
            False,
            "spark://m:7077 does not count it among its workers",
        ),
        (
            "worker-3",
            "spark://m:7077",
            master("ALIVE", ALIVE),
            False,
            "spark://m:7077 does not count it among its workers",
        ),
    ],
)
def test_spark_worker(
    identity: str, url: str, page: health.MasterPage | Silence, *, healthy: bool, sentence: str
) -> None:
    own = health.WorkerPage(id=identity, masterurl=url, cores=2, coresused=1, executors=[{}])
    assert health.spark_worker(own, page) == Verdict(healthy, sentence)
