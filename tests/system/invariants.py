"""What must hold after everything that the system tests do to a host."""

import csv
import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from support.waiting import eventually
from system.deployment import MARKET_DAY, SYMBOLS
from system.host import Host

# Runs on the host, with the host's own key: the test process never sees it.
_ASK_SIMULATOR = """
import json, pathlib, sys, urllib.parse, urllib.request
key = pathlib.Path("/etc/market-pulse/credentials/mp_vendor_api_key").read_text().strip()
for symbol in sys.argv[2:]:
    query = dict(function="TIME_SERIES_INTRADAY", interval="1min", outputsize="full", datatype="csv")
    query |= dict(entitlement="realtime", symbol=symbol, apikey=key)
    with urllib.request.urlopen(sys.argv[1] + "?" + urllib.parse.urlencode(query), timeout=30) as answer:
        print(json.dumps([symbol, answer.read().decode()]))
"""
_STORED = """
select symbol, to_char(bar_time at time zone 'America/New_York', 'YYYY-MM-DD HH24:MI:SS'),
  open, high, low, close, volume
from market.bar where interval = '1min' and is_final order by symbol, bar_time
"""
# Rows with a key of their own that another row has, too, and records that two batches claim.
_DOUBLED = """
select (select count(*) - count(distinct (symbol, interval, bar_time)) from market.bar)
  + (select coalesce(sum(greatest(reached - from_offset, 0)), 0) from (
      select from_offset, lag(until_offset) over (partition by topic_id, partition, log_epoch order by from_offset)
        as reached from market.batch) as b)
"""
_NOT_THE_NEWEST = """
select b.symbol, b.bar_time from market.bar as b where b.fetched_at < (select max(r.fetched_at)
  from market.bar_revision as r where (r.symbol, r.interval, r.bar_time) = (b.symbol, b.interval, b.bar_time))
"""

_MINUTE_FORM = "%Y-%m-%d %H:%M:%S"
# What a bar needs at most, in market time, to end, to be fetched and to be stored as final.
_UNDER_WAY = timedelta(minutes=3)

Bars = dict[tuple[str, str], tuple[Decimal, ...]]


class Tally(NamedTuple):
    """How many bars were served and are not stored, and how many rows or records are there twice."""

    lost: int
    doubled: int


def stored_bars(host: Host) -> Bars:
    """Return the final one-minute bars in the database: (symbol, exchange time) to prices and volume."""
    return {(row[0], row[1]): tuple(map(Decimal, row[2:])) for row in host.sql(_STORED)}


def served_bars(host: Host, symbols: list[str], url: str | None = None) -> Bars:
    """Return what the simulator tells today about every minute so far, the one still forming included.

    Without a `url` it is the one of this host.
    """
    if url is None:
        address = host.run(". /etc/market-pulse/simulator.env && echo $MP_SIMULATOR_HOST:$MP_SIMULATOR_PORT")
        url = f"http://{address}/query"
    arguments = " ".join([url, *symbols])
    printed = host.run(f"/opt/market-pulse/venv/bin/python - {arguments}", stdin=_ASK_SIMULATOR)
    bars: Bars = {}
    for line in printed.splitlines():
        symbol, text = json.loads(line)
        for row in list(csv.reader(text.splitlines()))[1:]:
            bars[symbol, row[0]] = tuple(map(Decimal, row[1:]))
    return bars


def assert_nothing_lost_or_doubled(host: Host) -> Tally:
    """Compare the database with what the simulator serves of every symbol, and the ledger with the topic.

    The comparison ends shortly before the simulator's newest minute, and is repeated until what is under way is stored.
    """
    served = served_bars(host, SYMBOLS)
    newest = max(minute for _, minute in served)
    horizon = format(datetime.strptime(newest, _MINUTE_FORM) - _UNDER_WAY, _MINUTE_FORM)  # noqa: DTZ007 - exchange time on both sides
    complete = {key: bar for key, bar in served.items() if key[1] <= horizon}
    eventually(lambda: _all_is_stored(host, complete, newest[:10]), within=60, what=f"all up to {horizon} is stored")
    assert_ledger_adds_up(host)
    due, stored = _due_and_stored(host, complete, newest[:10])
    doubled = host.number(_DOUBLED)
    assert doubled == 0, f"{doubled} rows or records are there twice"
    older = host.sql(_NOT_THE_NEWEST)
    assert older == [], f"a newer telling of these bars is known: {older[:3]}"
    return Tally(lost=len(due.keys() - stored.keys()), doubled=doubled)


def _due_and_stored(host: Host, complete: Bars, today: str) -> tuple[Bars, Bars]:
    """Return all bars of today since each symbol's first one, which its first answer decides, and the stored ones."""
    stored = {key: bar for key, bar in stored_bars(host).items() if key[0] in SYMBOLS and key[1] >= MARKET_DAY}
    due: Bars = {}
    for symbol in SYMBOLS:
        first = min((minute for owner, minute in stored if owner == symbol and minute >= today), default=None)
        assert first, f"no final bar of {symbol} of {today} is stored"
        due |= {key: bar for key, bar in complete.items() if key[0] == symbol and key[1] >= first}
    return due, stored


def _all_is_stored(host: Host, complete: Bars, today: str) -> bool:
    due, stored = _due_and_stored(host, complete, today)
    lost = sorted(due.keys() - stored.keys())
    assert not lost, f"{len(lost)} bars were served and are not stored as final: {lost[:5]}"
    wrong = [key for key, bar in due.items() if stored[key] != bar]
    assert not wrong, f"bars stored with other values than served: {[(k, stored[k], due[k]) for k in wrong[:3]]}"
    return True


def assert_ledger_adds_up(host: Host) -> None:
    """Every record received is accounted for, and the ledger covers each partition without gap or overlap."""
    assert (
        host.number("select count(*) from market.batch where received <> stored + unchanged + superseded + quarantined")
        == 0
    ), "a batch does not add up"
    holes = host.sql(
        "select topic_id, partition, from_offset, expected from (select *, lag(until_offset) over "
        "(partition by topic_id, partition, log_epoch order by from_offset) as expected from market.batch) as b "
        "where expected is not null and from_offset <> expected"
    )
    assert holes == [], f"the ledger has a hole or an overlap: {holes}"
    ahead = host.sql(
        "select p.topic_id, p.partition, p.next_offset, max(b.until_offset) from market.stream_position as p "
        "join market.batch as b using (topic_id, partition, log_epoch) "
        "group by 1, 2, 3 having p.next_offset <> max(b.until_offset)"
    )
    assert ahead == [], f"a stored position is not where the ledger ends: {ahead}"


def assert_positions_reach_the_logs_end(host: Host) -> None:
    """Require that all that the topic holds now is stored soon, and that nothing is stored that it never had."""
    ends = {row["partition"]: row["end_offset"] for row in _partitions(host)}
    assert ends, "status tells of no partition"

    def nothing_waits() -> bool:
        rows = _partitions(host)
        beyond = [row for row in rows if row["next_offset"] > row["end_offset"]]
        assert not beyond, f"a position is beyond the log's end: {beyond}"
        waiting = [row for row in rows if row["next_offset"] < ends[row["partition"]]]
        assert not waiting, f"records that are not stored: {waiting}"
        return True

    eventually(nothing_waits, within=30, what="every record of the topic is stored")


def _partitions(host: Host) -> list[dict[str, int]]:
    facts = host.status()["facts"]
    assert isinstance(facts, dict)
    return list(facts["partitions"])


def await_progress(host: Host, *, within: float) -> None:
    """Wait until a newer bar of every symbol is stored."""
    before = _newest_bars(host)

    def all_went_on() -> bool:
        now = _newest_bars(host)
        standing = [symbol for symbol in SYMBOLS if now.get(symbol, "") <= before.get(symbol, "")]
        assert not standing, f"no newer bar of {', '.join(standing)}"
        return True

    eventually(all_went_on, within=within, what="a newer bar of every symbol is stored", every=1)


def _newest_bars(host: Host) -> dict[str, str]:
    form = "YYYY-MM-DD HH24:MI:SS"
    query = f"select symbol, to_char(max(bar_time), '{form}') from market.bar where interval = '1min' group by symbol"
    return dict(host.sql(query))
