"""Every combination of facts against rules that are stated here anew: what may be restarted, and what must be said."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from market_pulse import health
from market_pulse.contract import Interval
from market_pulse.health import Silence, Verdict
from market_pulse.producer.schedule import Slots
from market_pulse.sessions import Sessions
from market_pulse.sources.base import Cadence, Function, Offer, Request

NOW = datetime(2026, 5, 15, 16, 0, tzinfo=UTC)
PRODUCER: Mapping[str, Sequence[Any]] = {
    "exchange": ["NYSE"],
    "zone": [ZoneInfo("America/New_York")],
    "now": [NOW],
    "symbols": [1, 5],
    "waiting": [0, 1, 7],
    "outbox_full": [False, True],
    "unconfirmed_seconds": [0.0, 60.0, 180.0, 181.0, 90_000.0],
    "broker_away_seconds": [None, 0.0, 40.0, 90_000.0],
    "vendor_trouble": [None, "the vendor answers 503"],
    "opens_at": [None, NOW + timedelta(days=3)],
    "calls_left": [None, 0, 1, 25],
    "calls_reset_at": [None, NOW + timedelta(hours=12)],
    "next_poll_at": [None, NOW + timedelta(minutes=1)],
}


def _every(dimensions: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*dimensions.values()):
        yield dict(zip(dimensions, values, strict=True))


def _producers() -> Iterator[health.ProducerFacts]:
    for facts in _every(PRODUCER):
        bars_wait = facts["waiting"] > 0
        # Nothing is unconfirmed while nothing waits, and what is full is not empty.
        if bars_wait or not (facts["unconfirmed_seconds"] or facts["outbox_full"]):
            yield health.ProducerFacts(**facts)


def _is_one_line(sentence: str) -> bool:
    return sentence.isascii() and sentence.isprintable() and len(sentence) < 160 and sentence == sentence.strip()


def test_every_state_of_the_producer() -> None:
    seen: dict[str, int] = {}
    for facts in _producers():
        verdict = health.producer(facts)
        a_restart_may_mend_it = facts.broker_away_seconds is None and facts.unconfirmed_seconds > 180
        assert verdict.healthy is not a_restart_may_mend_it, facts
        word = re.split("[: ]", verdict.sentence)[0]
        assert word == health.producer_state(facts), facts
        seen[word] = seen.get(word, 0) + 1
        assert (word == "stuck") is a_restart_may_mend_it, facts
        assert _is_one_line(verdict.sentence), verdict
        _says_what_is_wrong(facts, verdict.sentence)
        _says_why_it_rests(facts, word, verdict.sentence)
    assert set(seen) == {"polling", "idle", "degraded", "stuck"}
    assert sum(seen.values()) > 10_000


def _says_what_is_wrong(facts: health.ProducerFacts, said: str) -> None:
    assert ("no answer from the broker" in said) is (facts.broker_away_seconds is not None), facts
    assert ("polling stopped" in said) is facts.outbox_full, facts
    assert (f"{facts.waiting} bar" in said) or not facts.waiting, facts
    vendor_is_what_holds_it = not facts.outbox_full and facts.broker_away_seconds is None and facts.calls_left != 0
    if facts.vendor_trouble and vendor_is_what_holds_it and facts.unconfirmed_seconds <= 180:
        assert facts.vendor_trouble in said, facts


def _says_why_it_rests(facts: health.ProducerFacts, word: str, said: str) -> None:
    if word == "idle":
        assert ("no calls left until" in said) is (facts.calls_left == 0), facts
        assert ("closed until" in said) is (facts.calls_left != 0), facts
    if word == "polling":
        assert facts.opens_at is None
        assert facts.calls_left != 0
        assert not facts.vendor_trouble


@pytest.mark.parametrize("calls_left", [None, 0, 25])
@pytest.mark.parametrize("trouble", [None, "the vendor does not answer"])
def test_two_weeks_of_holidays_restart_nothing(calls_left: int | None, trouble: str | None) -> None:
    """Christmas Eve closes early; Christmas, a weekend and New Year are closed."""
    sessions = Sessions.load("XNYS", date(2026, 1, 2))
    asked = Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE)
    slots = Slots(sessions, Offer((asked,), Cadence.EVERY_BAR, timedelta(0)), timedelta(seconds=5), extended=True)
    now, words = datetime(2026, 12, 23, 9, 0, tzinfo=UTC), set()
    while now < datetime(2027, 1, 5, 9, 0, tzinfo=UTC):
        verdict = health.producer(
            health.ProducerFacts(
                exchange=sessions.name,
                zone=sessions.zone,
                now=now,
                symbols=1,
                waiting=0,
                outbox_full=False,
                unconfirmed_seconds=0.0,
                broker_away_seconds=None,
                vendor_trouble=trouble,
                opens_at=slots.opens_at(now),
                calls_left=calls_left,
                calls_reset_at=now + timedelta(hours=1),
                next_poll_at=slots.following(now),
            )
        )
        assert verdict.healthy, verdict
        words.add(re.split("[: ]", verdict.sentence)[0])
        now += timedelta(minutes=17)
    assert words == ({"idle"} if calls_left == 0 else {"degraded"} if trouble else {"idle", "polling"})


def test_every_state_of_the_consumer() -> None:
    dimensions = {
        "behind": [0, 1, 70_000],
        "batch_id": [-1, 0, 7],
        "rows_total": [0, 1, 340],
        "changed": [True, False],
        "unchanged_seconds": [0.0, 20.0, 90_000.0],
        "batch_seconds": [0.0, 120.0, 120.1, 900_000.0],
    }
    for facts in _every(dimensions):
        report = health.ConsumerProgress(
            at=NOW,
            state="running",
            batch_id=facts["batch_id"],
            batch_rows=1,
            rows_total=facts["rows_total"],
            last_batch_at=None,
            behind=facts["behind"],
        )
        verdict = health.consumer(
            health.ConsumerFacts(
                progress=report,
                unchanged_seconds=facts["unchanged_seconds"],
                changed=facts["changed"],
                batch_seconds=facts["batch_seconds"],
            )
        )
        the_driver_hangs = not facts["changed"]
        the_batch_hangs = facts["behind"] > 0 and facts["batch_seconds"] > 120
        assert verdict.healthy is not (the_driver_hangs or the_batch_hangs), facts
        assert verdict.sentence.startswith("stuck") is not verdict.healthy
        assert ("nothing waits" in verdict.sentence) is (verdict.healthy and facts["behind"] == 0)
        assert _is_one_line(verdict.sentence), verdict


@pytest.mark.parametrize("seconds", [0.0, 30.0, 900_000.0])
@pytest.mark.parametrize("changed", [True, False])
def test_a_consumer_without_a_report_is_starting(seconds: float, *, changed: bool) -> None:
    facts = health.ConsumerFacts(progress=None, unchanged_seconds=seconds, changed=changed, batch_seconds=seconds)
    assert health.consumer(facts) == Verdict(healthy=False, sentence="no report from the Spark driver yet")


def test_every_state_of_the_broker() -> None:
    dimensions = {"node_id": [1, 2], "leader_id": [-1, 1, 2], "voters": [1, 3], "round_trip_seconds": [0.0004, 4.9]}
    for facts in _every(dimensions):
        verdict = health.broker(health.BrokerFacts(**facts))
        others_are_missing = facts["leader_id"] < 0 and facts["voters"] > 1
        alone_without_a_leader = facts["leader_id"] < 0 and facts["voters"] == 1
        assert verdict.healthy is not alone_without_a_leader, facts
        assert verdict.sentence.startswith("degraded") is others_are_missing
        assert verdict.sentence.startswith("serving") is (facts["leader_id"] > 0)
        assert _is_one_line(verdict.sentence), verdict


# Each state that Spark's RecoveryState has.
MASTER_STATES = ["STANDBY", "ALIVE", "RECOVERING", "COMPLETING_RECOVERY"]
WORKER_STATES = ["ALIVE", "DEAD", "DECOMMISSIONED", "UNKNOWN"]


def _masters() -> Iterator[health.MasterPage]:
    for status, states, applications in itertools.product(
        MASTER_STATES, [(), *((state,) for state in WORKER_STATES), ("ALIVE", "DEAD")], [0, 1]
    ):
        workers = [health.MasterPageWorker(id=f"worker-{number}", state=state) for number, state in enumerate(states)]
        yield health.MasterPage(status=status, workers=workers, activeapps=[{}] * applications)


def test_every_state_of_the_spark_master() -> None:
    for page in _masters():
        verdict = health.spark_master(page)
        assert verdict.healthy is (page.status in {"ALIVE", "STANDBY"}), page
        alive = sum(worker.state == "ALIVE" for worker in page.workers)
        assert verdict.sentence.startswith(f"{page.status.lower()}: {alive} worker"), page
        assert _is_one_line(verdict.sentence), verdict


def test_every_state_of_a_spark_worker() -> None:
    masters = [*_masters(), Silence.NO_ANSWER, Silence.NOT_ASKED]
    for identity, url, master in itertools.product(["worker-0", "worker-9"], ["", "spark://m:7077"], masters):
        own = health.WorkerPage(id=identity, masterurl=url, cores=2, coresused=1, executors=[{}])
        verdict = health.spark_worker(own, master)
        leads = isinstance(master, health.MasterPage) and master.status == "ALIVE"
        counted = isinstance(master, health.MasterPage) and (identity, "ALIVE") in {
            (worker.id, worker.state) for worker in master.workers
        }
        # Only a leading master can disown a worker; a restart brings it to it again.
        assert verdict.healthy is (bool(url) and not (leads and not counted)), (own, master)
        master_is_no_help = isinstance(master, health.MasterPage) and not leads
        if url:
            assert verdict.sentence.startswith("degraded") is (master is Silence.NO_ANSWER or master_is_no_help)
        assert _is_one_line(verdict.sentence), verdict
