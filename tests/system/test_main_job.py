"""The main job on real input: a recorded vendor answer becomes exactly its bars in PostgreSQL."""

import csv
import json
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from support.samples import sample
from support.waiting import eventually
from system.host import Host
from system.invariants import assert_ledger_adds_up

RECORDED = "pt_intraday_5min_IBM_2026-05-15.csv"
REQUEST = {
    "function": "TIME_SERIES_INTRADAY",
    "symbol": "IBM",
    "interval": "5min",
    "datatype": "csv",
    "fetched_at": "2026-05-17T00:00:00Z",
}
_FOLDER = "/srv/market-pulse-recorded"
_BARS = (
    "select to_char(bar_time, 'YYYY-MM-DD HH24:MI:SS'), open, high, low, close, volume from market.bar "
    "where symbol = 'IBM' and interval = '5min' order by bar_time"
)
_ACCOUNT = "select sum(received), sum(stored + unchanged + superseded + quarantined) from market.batch"


def expected_bars() -> list[tuple[str, ...]]:
    """The file's rows, oldest first, with the exchange's wall time turned into UTC."""
    rows = []
    for row in csv.DictReader(sample(RECORDED).read_text().splitlines()):
        local = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=ZoneInfo("America/New_York"))
        rows.append((f"{local.astimezone(ZoneInfo('UTC')):%Y-%m-%d %H:%M:%S}", *list(row.values())[1:]))
    return sorted(rows)


def play(host: Host) -> None:
    """Run a second producer beside the installed one, on the recorded folder, until all is sent."""
    unit = "market-pulse-recorded"
    host.run(
        f"systemd-run --quiet --collect --unit={unit} --property=Type=notify --property=User=market-pulse-producer "
        "--property=EnvironmentFile=/etc/market-pulse/producer.env "
        "--property=EnvironmentFile=/etc/market-pulse/producer-reload.env "
        f"--property=EnvironmentFile={_FOLDER}/replay.env "
        "--property=LoadCredential=mp_kafka_password:/etc/market-pulse/credentials/mp_kafka_producer_password "
        "--property=LoadCredential=mp_vendor_api_key:/etc/market-pulse/credentials/mp_vendor_api_key "
        f"--property=StateDirectory=market-pulse/recorded --property=RuntimeDirectory={unit} "
        "/opt/market-pulse/venv/bin/market-pulse-producer"
    )
    try:
        eventually(lambda: has_sent_all(host, unit), within=60, what="the recorded answer is on the topic")
    finally:
        host.run(f"systemctl stop {unit}")


def has_sent_all(host: Host, unit: str) -> bool:
    """Tell whether the producer has read an answer and every bar of it is acknowledged."""
    progress = json.loads(host.run(f"cat /run/{unit}/progress.json || echo null"))
    return bool(progress and progress["last_bars"] and progress["outbox"] == 0)


@pytest.fixture(scope="module")
def played_three_times(host: Host) -> Host:
    host.put(sample(RECORDED), f"{_FOLDER}/{RECORDED}")
    host.run(f"cat > {_FOLDER}/{RECORDED}.request.json", stdin=json.dumps(REQUEST))
    overrides = ["MP_SOURCE=replay", f"MP_REPLAY_FOLDER={_FOLDER}", "MP_CLOCK_SPEED=1"]
    host.run(f"cat > {_FOLDER}/replay.env", stdin="\n".join(overrides))
    unchanged = "select sum(unchanged) from market.batch"
    before = host.number(unchanged)
    for _ in range(3):
        play(host)
    again = 2 * len(expected_bars())
    eventually(lambda: host.number(unchanged) >= before + again, within=60, what="the bars came again, twice")
    return host


def test_the_recorded_answer_becomes_exactly_its_bars(played_three_times: Host) -> None:
    stored = [tuple(row) for row in played_three_times.sql(_BARS)]
    expected = expected_bars()
    assert len(expected) == 100
    assert [row[0] for row in stored] == [row[0] for row in expected]
    assert [tuple(map(Decimal, row[1:])) for row in stored] == [tuple(map(Decimal, row[1:])) for row in expected]
    assert [row[1:] for row in stored] == [row[1:] for row in expected], "a digit was lost or added"


def test_playing_it_again_stores_nothing_and_the_equation_adds_up(played_three_times: Host) -> None:
    revisions = "select count(*) from market.bar_revision where symbol = 'IBM' and interval = '5min'"
    assert played_three_times.number(revisions) == 100
    received, accounted = played_three_times.sql(_ACCOUNT)[0]
    assert received == accounted
    assert_ledger_adds_up(played_three_times)
