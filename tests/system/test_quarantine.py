"""A bar that breaks a rule is a row in quarantine until somebody knows why, and its neighbours are stored."""

import json
from datetime import UTC, datetime

from support.waiting import eventually
from system.host import KAFKA_ADMIN, Host
from system.invariants import assert_ledger_adds_up

_TOPIC = "market.bars"
_SYMBOL = "ZZTEST"


def message(minute: int, **changed: object) -> str:
    """A record for Kafka's console producer, key and value parted by a tab."""
    bar = {
        "v": 1,
        "source": "replay",
        "request_id": "quarantine-test",
        "symbol": _SYMBOL,
        "interval": "1min",
        "bar_time": datetime(2026, 1, 2, 15, minute, tzinfo=UTC).isoformat().replace("+00:00", "Z"),
        "open": "10.00",
        "high": "10.50",
        "low": "9.50",
        "close": "10.25",
        "volume": "100",
        "is_final": True,
        "fetched_at": "2026-01-03T00:00:00Z",
    }
    return f"{_SYMBOL}\t{json.dumps(bar | changed)}"


def send(host: Host, records: list[str]) -> None:
    host.run(
        f"/opt/kafka/bin/kafka-console-producer.sh {KAFKA_ADMIN} --topic {_TOPIC} "
        "--reader-property parse.key=true --reader-property key.separator='\t'",
        stdin="\n".join(records) + "\n",
    )


def test_bad_records_are_rows_with_a_reason_and_their_neighbours_are_stored(host: Host) -> None:
    records = [
        message(0),
        message(1, high="9.00"),
        message(2, close="NaN"),
        message(3, volume="-1"),
        f"{_SYMBOL}\tnot json",
        message(4),
    ]
    send(host, records)
    bars = f"select to_char(bar_time, 'MI') from market.bar where symbol = '{_SYMBOL}' order by 1"
    eventually(lambda: host.sql(bars) == [["00"], ["04"]], within=60, what="the good neighbours are stored")
    reasons = host.sql(f"select reason from market.quarantine where key = '{_SYMBOL}'::bytea order by record_offset")
    assert reasons == [["high_below_low"], ["bad_price"], ["bad_volume"], ["not_json"]]
    raw = host.sql("select convert_from(value, 'UTF8') from market.quarantine where reason = 'not_json'")
    assert raw == [["not json"]]
    assert_ledger_adds_up(host)


def test_what_is_acknowledged_is_warned_of_no_more(host: Host) -> None:
    def is_warned_of() -> bool:
        return "in quarantine: " in host.run("market-pulse status --json", check=False)

    send(host, [f"{_SYMBOL}\tno bar either"])
    eventually(is_warned_of, within=60, what="status warns of it")
    for (reason,) in host.sql("select distinct reason from market.quarantine"):
        host.run(f"market-pulse quarantine acknowledge --reason {reason} --note 'from the tests'")
    assert not is_warned_of()
    kept = "select distinct note, acknowledged_by from market.quarantine"
    assert host.sql(kept) == [["from the tests", "root"]]
    assert_ledger_adds_up(host)
