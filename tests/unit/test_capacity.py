"""What a market costs: the calls that the producer's own schedule would make, and plans that can be followed."""

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click.testing
import pytest
import typer.testing
import yaml

from market_pulse import cli
from market_pulse.capacity import Market, bytes_of, calls_of, day_of
from market_pulse.contract import Interval
from market_pulse.errors import OrderError
from market_pulse.producer.schedule import Slots
from market_pulse.sessions import Sessions
from market_pulse.settings import Plan
from market_pulse.sizing import DISK_SHARE, GB, plan
from market_pulse.sources.alphavantage import offered
from support.repository import ROOT

ALL_US = 11_000
SESSIONS = Sessions.load("XNYS", date(2026, 1, 2))
# A Tuesday without anything special.
FULL_DAY = SESSIONS.on(date(2026, 1, 6))


def planned(*arguments: str) -> click.testing.Result:
    return typer.testing.CliRunner().invoke(cli.app, ["plan", *arguments])


@pytest.mark.parametrize("interval", Interval)
@pytest.mark.parametrize("extended", [True, False])
def test_calls_are_those_of_the_schedule(interval: Interval, *, extended: bool) -> None:
    assert FULL_DAY is not None
    slots = Slots(SESSIONS, offered(Plan.PREMIUM, ["IBM"], interval), timedelta(seconds=5), extended=extended)
    morning = FULL_DAY.early_open - timedelta(hours=1)
    passed = slots.passed(morning, morning + timedelta(hours=20))
    assert calls_of(Market(7, interval, extended_hours=extended)).made == 7 * passed


def test_a_plan_that_is_too_small_for_every_minute_is_asked_as_often_as_it_may() -> None:
    calls = calls_of(Market(150, Interval.ONE_MINUTE, calls_per_minute=75))
    assert calls.reached
    assert calls.minutes_apart == 2
    assert calls.made == calls.most == 75 * 960
    assert day_of(Market(150, Interval.ONE_MINUTE)).bars == pytest.approx(150 * 603.75, abs=1)


def test_one_producer_asks_no_faster_than_the_vendor_answers() -> None:
    assert calls_of(Market(1000, Interval.ONE_MINUTE, calls_per_minute=1200, seconds_per_call=0.5)).most == 120 * 960


@pytest.mark.parametrize(
    "market",
    [Market(ALL_US, Interval.ONE_MINUTE), Market(26, Interval.DAILY, Plan.FREE)],
    ids=["beyond what an answer reaches back", "beyond a day's calls"],
)
def test_what_cannot_be_reached_is_said_and_planned_as_if_it_could(market: Market) -> None:
    calls = calls_of(market)
    assert not calls.reached
    assert calls.made == calls.most
    assert day_of(market).calls.made == calls.wanted > calls.made


def test_a_market_that_is_twice_as_large_takes_twice_as_much() -> None:
    one, two = (bytes_of(Market(n, Interval.ONE_MINUTE, calls_per_minute=1200, seconds_per_call=0)) for n in (100, 200))
    assert two.kafka / one.kafka == pytest.approx(2, rel=0.02)
    assert two.database / one.database == pytest.approx(2, rel=0.02)
    assert two.archive / one.archive == pytest.approx(2, rel=0.02)


def test_hours_without_trades_cost_no_bars() -> None:
    quiet = day_of(Market(1, Interval.ONE_MINUTE, traded_outside=0))
    busy = day_of(Market(1, Interval.ONE_MINUTE, traded_outside=1))
    assert (quiet.bars, busy.bars) == (390, 960)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"symbols": 0}, "symbols is 0: it must be at least 1"),
        ({"calls_per_minute": -1}, "calls_per_minute is -1: it must be at least 1"),
        ({"partitions": 0}, "partitions is 0: it must be at least 1"),
        ({"traded_outside": 1.5}, "traded_outside is 1.5: it must be a share from 0 to 1"),
        ({"traded_outside": float("nan")}, "traded_outside is nan: it must be a share from 0 to 1"),
        ({"seconds_per_call": -1}, "seconds_per_call is -1: it must be a number of seconds"),
        ({"seconds_per_call": float("inf")}, "seconds_per_call is inf: it must be a number of seconds"),
        ({"plan": Plan.FREE}, "the free plan serves daily bars alone"),
    ],
)
def test_a_market_that_cannot_be_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(OrderError, match=said):
        Market(**({"symbols": 1, "interval": Interval.ONE_MINUTE} | changes))


def test_a_disk_decides_how_long_bars_are_kept() -> None:
    market = Market(100, Interval.ONE_MINUTE, calls_per_minute=1200)
    assert plan(market).inventory["market_pulse_keep_months"] == 0
    small = plan(market, database_disk=15 * GB)
    assert small.inventory["market_pulse_keep_months"] == 2
    assert small.disks.database <= 15 * GB * DISK_SHARE
    with pytest.raises(OrderError, match="at least 14 GB"):
        plan(market, database_disk=5 * GB)


def test_all_us_symbols_get_room_where_the_defaults_have_none() -> None:
    large = plan(Market(ALL_US, Interval.ONE_MINUTE)).inventory
    assert large["producer_outbox_max_bars"] > 2 * 3600 * ALL_US * 2 / 60
    assert large["kafka_topic_max_gibibytes"] * 2**30 > 7 * bytes_of(Market(ALL_US, Interval.ONE_MINUTE)).kafka
    assert large["postgresql_settings"] == {"max_wal_size": "3GB"}


def test_the_inventory_that_it_prints_is_yaml() -> None:
    done = planned("--symbols", "6", "--interval", "1min")
    assert done.exit_code == 0
    variables = yaml.safe_load(done.stdout[done.stdout.index("all:") :])["all"]["vars"]
    assert variables == plan(Market(6, Interval.ONE_MINUTE)).inventory


def test_a_program_gets_the_same_as_one_object() -> None:
    done = planned("--symbols", "11000", "--interval", "1min", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["calls"]["made"] < document["calls"]["wanted"] == document["day"]["calls"]["made"]
    assert document["added"]["database"] == bytes_of(Market(ALL_US, Interval.ONE_MINUTE)).database
    assert document["inventory"]["kafka_topic_max_gibibytes"] > 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--symbols", "0", "--interval", "1min"), "symbols is 0"),
        (("--symbols", "many", "--interval", "1min"), "'--symbols': Input should be a valid integer"),
        (("--symbols", "1", "--interval", "2min"), "'2min' is not one of"),
        (("--symbols", "1"), "Missing option '--interval'"),
        (("--symbols", "1", "--interval", "1min", "--plan", "free"), "make it daily"),
        (("--symbols", "1", "--interval", "1min", "--database-disk", "0"), "database_disk is 0"),
    ],
)
def test_a_word_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    done = planned(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_it_needs_no_deployment(tmp_path: Path) -> None:
    path = os.pathsep.join(str(ROOT / folder) for folder in ("daemons", "spark_app"))
    done = subprocess.run(
        [sys.executable, "-c", "from market_pulse.cli import app; app()", "plan", "--symbols=5", "--interval=daily"],
        env={"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "5 calls a day for 5 symbols at daily" in done.stdout
