import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from market_pulse.cli import render
from market_pulse.cli.report import Facts, Ledger, Level, Partition, Series, Unit, assess

NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
CONSUMER = Unit("market-pulse-consumer", "active", "running", "success", 0, "running: nothing waits")
IBM = Series("IBM", "1min", NOW - timedelta(minutes=1), NOW, timedelta(minutes=1))
WELL = Facts(
    at=NOW,
    market_time=NOW,
    interval=timedelta(minutes=1),
    units=(CONSUMER,),
    series=(IBM,),
    bars=90,
    ledger=Ledger(received=100, stored=92, unchanged=5, superseded=3, quarantined=0),
    partitions=(Partition(0, end_offset=60, next_offset=60), Partition(1, end_offset=40, next_offset=40)),
    producer={"state": "polling", "calls_left": 7, "outbox": 0},
)


def test_a_pipeline_that_is_well_has_no_finding() -> None:
    report = assess(WELL)
    assert report.findings == ()
    assert report.level is Level.WELL


@pytest.mark.parametrize(
    ("facts", "level", "sentence"),
    [
        (replace(WELL, units=()), Level.DOWN, "no unit of market-pulse"),
        (
            replace(WELL, units=(replace(CONSUMER, active="failed", sub="failed", result="exit-code"),)),
            Level.DOWN,
            "market-pulse-consumer is failed (exit-code)",
        ),
        (
            replace(WELL, units=(replace(CONSUMER, active="activating", sub="start"),)),
            Level.ATTENTION,
            "market-pulse-consumer is activating (start)",
        ),
        (replace(WELL, unreachable={"Kafka": "no brokers"}), Level.DOWN, "Kafka cannot be asked: no brokers"),
        (replace(WELL, bars=0), Level.ATTENTION, "no bar is stored yet"),
        (replace(WELL, quarantine={"bad_price": 3}), Level.ATTENTION, "in quarantine: 3 bad_price"),
        (replace(WELL, partitions=(Partition(0, 20_001, 1),)), Level.ATTENTION, "20000 records"),
        (replace(WELL, partitions=(Partition(4, 10, 12),)), Level.DOWN, "partition 4 ends at offset 10"),
        (
            replace(WELL, partitions=(Partition(4, 10, 12, "partition 4 lost 10 and 11"),)),
            Level.DOWN,
            "nothing is stored until it is accepted: partition 4 lost 10 and 11",
        ),
        (replace(WELL, ledger=Ledger(101, 92, 5, 3, 0)), Level.DOWN, "the ledger does not add up"),
        (replace(WELL, series=(replace(IBM, age=timedelta(minutes=6)),)), Level.ATTENTION, "IBM 1min is 0:06:00 old"),
    ],
)
def test_what_is_wrong_is_said(facts: Facts, level: Level, sentence: str) -> None:
    report = assess(facts)
    assert report.level is level
    assert sentence in report.findings[0].sentence


def test_an_old_bar_is_no_fault_while_the_market_is_closed() -> None:
    closed = replace(WELL, series=(replace(IBM, age=timedelta(days=2)),), producer={"state": "idle"})
    assert assess(closed).level is Level.WELL


def test_the_worst_finding_sets_the_exit_code() -> None:
    facts = replace(WELL, bars=0, unreachable={"PostgreSQL": "refused"})
    assert assess(facts).level is Level.DOWN


def test_the_screen_shows_every_figure() -> None:
    out = io.StringIO()
    render.as_tables(assess(WELL), out)
    for expected in ("well", "market-pulse-consumer", "IBM", "bars stored: 90", "lag: 0", "7 calls left", "92 stored"):
        assert expected in out.getvalue()


@pytest.mark.parametrize(
    ("facts", "headline"), [(WELL, "market-pulse: well"), (replace(WELL, bars=0), "market-pulse: needs attention")]
)
def test_the_first_line_says_how_it_is(facts: Facts, headline: str) -> None:
    out = io.StringIO()
    render.as_tables(assess(facts), out)
    assert out.getvalue().startswith(f"{headline} (market time 2026-01-05 15:00 UTC)\n")


def test_a_sentence_stays_on_its_line_when_nobody_watches() -> None:
    sentence = (
        "running: nothing waits, 123456 records stored since the start, batch 1234, and so it has been for a while"
    )
    out = io.StringIO()
    render.as_tables(assess(replace(WELL, units=(replace(CONSUMER, sentence=sentence),))), out)
    assert sentence in out.getvalue()


def test_json_holds_the_level_the_findings_and_the_facts() -> None:
    out = io.StringIO()
    render.as_json(assess(replace(WELL, bars=0)), out)
    document = json.loads(out.getvalue())
    assert document["level"] == 1
    assert document["findings"] == [{"level": 1, "sentence": "no bar is stored yet"}]
    assert document["facts"]["series"][0]["symbol"] == "IBM"
    assert document["facts"]["partitions"][0] == {"partition": 0, "end_offset": 60, "next_offset": 60, "held": None}
