"""What must hold after everything that the system tests do to a host."""

import csv
import json
from decimal import Decimal

from support.waiting import eventually
from system.host import Host

# Runs on the host, with the host's own key: the test process never sees it.
_ASK_SIMULATOR = """
import json, pathlib, sys, urllib.parse, urllib.request
key = pathlib.Path("/etc/market-pulse/credentials/mp_vendor_api_key").read_text().strip()
for symbol in sys.argv[2:]:
    query = dict(function="TIME_SERIES_INTRADAY", interval="1min", outputsize="full", datatype="csv")
    query |= dict(symbol=symbol, apikey=key)
    with urllib.request.urlopen(sys.argv[1] + "?" + urllib.parse.urlencode(query), timeout=30) as answer:
        print(json.dumps([symbol, answer.read().decode()]))
"""
_STORED = """
select symbol, to_char(bar_time at time zone 'America/New_York', 'YYYY-MM-DD HH24:MI:SS'),
  open, high, low, close, volume
from market.bar where interval = '1min' and is_final order by symbol, bar_time
"""

Bars = dict[tuple[str, str], tuple[Decimal, ...]]


def stored_bars(host: Host) -> Bars:
    """Return the final one-minute bars in the database: (symbol, exchange time) to prices and volume."""
    return {(row[0], row[1]): tuple(map(Decimal, row[2:])) for row in host.sql(_STORED)}


def served_bars(host: Host, symbols: list[str], url: str = "http://127.0.0.1:8090/query") -> Bars:
    """Return what the simulator tells today about every minute so far, the one still forming included."""
    arguments = " ".join([url, *symbols])
    printed = host.run(f"/opt/market-pulse/venv/bin/python - {arguments}", stdin=_ASK_SIMULATOR)
    bars: Bars = {}
    for line in printed.splitlines():
        symbol, text = json.loads(line)
        for row in list(csv.reader(text.splitlines()))[1:]:
            bars[symbol, row[0]] = tuple(map(Decimal, row[1:]))
    return bars


def assert_nothing_lost_or_doubled(host: Host) -> None:
    """Compare the database with what the simulator served, minute by minute, and the ledger with the topic."""
    stored = stored_bars(host)
    assert stored, "no final bar is stored"
    for symbol in sorted({symbol for symbol, _ in stored}):
        minutes = sorted(minute for owner, minute in stored if owner == symbol)
        served = {key: bar for key, bar in served_bars(host, [symbol]).items() if minutes[0] <= key[1] <= minutes[-1]}
        lost = sorted(served.keys() - stored.keys())
        assert not lost, f"{len(lost)} bars of {symbol} were served and are not stored: {lost[:5]}"
        wrong = [key for key, bar in served.items() if stored[key] != bar]
        assert not wrong, f"bars stored with other values than served: {[(k, stored[k], served[k]) for k in wrong[:3]]}"
    assert_ledger_adds_up(host)


def assert_ledger_adds_up(host: Host) -> None:
    """Every record received is accounted for, and the ledger covers each partition without gap or overlap."""
    assert (
        host.number("select count(*) from market.batch where received <> stored + unchanged + superseded + quarantined")
        == 0
    ), "a batch does not add up"
    holes = host.sql(
        "select topic_id, partition, from_offset, expected from (select *, lag(until_offset) over "
        "(partition by topic_id, partition order by from_offset) as expected from market.batch) as b "
        "where expected is not null and from_offset <> expected"
    )
    assert holes == [], f"the ledger has a hole or an overlap: {holes}"
    ahead = host.sql(
        "select p.topic_id, p.partition, p.next_offset, max(b.until_offset) from market.stream_position as p "
        "join market.batch as b using (topic_id, partition) "
        "group by 1, 2, 3 having p.next_offset <> max(b.until_offset)"
    )
    assert ahead == [], f"a stored position is not where the ledger ends: {ahead}"


def await_progress(host: Host, *, within: float) -> None:
    """Wait until a bar is stored that was not there before."""
    newest = "select coalesce(max(bar_time), '-infinity') from market.bar where interval = '1min'"
    before = host.sql(newest)
    eventually(lambda: host.sql(newest) != before, within=within, what="a newer bar is stored", every=1)
